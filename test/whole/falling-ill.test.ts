import { describe, expect, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import type { GreeterVariant } from '../../sandbox/programs.js';
import { lost, test, underLoad, type RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('a program that falls ill under traffic', () => {
  test.for<[GreeterVariant, RegExp]>([
    ['falls-ill-errors', /on green: under all the traffic.*requests failed/],
    ['falls-ill-slow', /on green: under all the traffic p99 is \d+ ms, was \d+ ms/],
  ])('%s: the traffic goes back by itself, and is whole again', async ([variant, words], { aSandbox }) => {
    const running = await aSandbox({
      serversPerEnvironment: 1,
      settings: { bake: { duration: '60s', latencyFloor: '250ms' } },
    });
    const before = await running.fingerprint('blue');
    const visitors = running.visitors();

    const outcome = await running.deploy('3.0.0', variant);
    const during = await visitors.stop();
    const after = await aMoment(running);

    expect(outcome).toMatchObject({
      kind: 'rolled back',
      // It may show before the switch is proved.
      during: expect.stringMatching(/^(switch|bake)$/),
      live: 'blue',
      because: { failure: 'IllUnderTraffic', message: expect.stringMatching(words) },
    });
    expect(outcome.kind === 'rolled back' && outcome.notes.join()).not.toContain('omebody else');
    // What the program itself answers is its own; nothing is cut or left unanswered by us.
    expect(during.streams.cut).toBe(0);
    expect(Object.keys(during.failures).filter((kind) => kind !== 'HTTP 500')).toEqual([]);
    expect(lost(after), JSON.stringify(after)).toBe(0);
    expect(await running.servedBy()).toBe('1.0.0');
    expect(await running.fingerprint('blue')).toEqual(before);
    expect(running.refreshes()).toBe(2);
    expect(running.pids('green')).toEqual([0]);
    expect(await running.releasesOn('green-1')).toEqual([]);
  });

  test('ignores SIGTERM: it is put back all the same, and its end by force stands in the journal', async ({
    aSandbox,
  }) => {
    const running = await aSandbox({ serversPerEnvironment: 1 });
    const handle = await running.start(await running.build('3.0.0', 'ignores-sigterm'), '3.0.0');
    await running.untilStage('approve');
    await running.send('reject', { by: 'ann', reason: 'not today' });

    expect((await handle.result()) as Outcome).toMatchObject({ kind: 'rejected', by: 'ann', live: 'blue' });
    expect(running.pids('green')).toEqual([0]);
    expect(await running.releasesOn('green-1')).toEqual([]);
    expect(running.journalOf('green-1').join('\n')).toMatch(/State 'stop-sigterm' timed out\. Killing\./);
  });
});

describe('an environment that dies as a whole in the bake', () => {
  test('is left by the load balancer itself, with no worker alive and no call of the API; the next worker settles it', async ({
    aSandbox,
  }) => {
    const running = await aSandbox({
      serversPerEnvironment: 1,
      fallback: true,
      settings: { bake: { duration: '10m' } },
    });
    const before = await running.fingerprint('blue');
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');
    await running.send('approve', { by: 'ann' });
    await running.untilStage('bake');
    const visitors = running.visitors();
    await running.killWorker();
    const calls = running.calls();
    expect(await running.servedBy()).toBe('2.0.0');

    await Promise.all(running.servers('green').map(({ machine }) => machine.init.powerOff()));
    await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000, interval: 20 });
    const during = await visitors.stop();
    expect(running.calls()).toBe(calls);
    expect(running.refreshes()).toBe(1);
    // Until its probes have failed, the load balancer answers for the dead: it cuts nobody, and lets nobody wait.
    expect(Object.keys(during.failures).filter((kind) => !/^HTTP 50[23]$/.test(kind))).toEqual([]);

    const { result: outcome, tally } = await underLoad(running, async () => {
      await running.startWorker();
      return (await handle.result()) as Outcome;
    });
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'bake', live: 'blue' });
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(running.refreshes()).toBe(2);
    expect(
      running.writes().filter((write) => write.includes('/server/')).length,
      'stands by, and no longer',
    ).toBe(2);
    expect(await running.servedBy()).toBe('1.0.0');
    expect(await running.fingerprint('blue')).toEqual(before);
  });
});

/** The same load with nothing going on. */
async function aMoment(running: RunningSandbox) {
  const visitors = running.visitors();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return visitors.stop();
}
