import { describe, expect, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import type { GreeterVariant } from '../../sandbox/programs.js';
import { lost, test, type RunningSandbox } from './support/running-sandbox.js';
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

/** The same load with nothing going on. */
async function aMoment(running: RunningSandbox) {
  const visitors = running.visitors();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return visitors.stop();
}
