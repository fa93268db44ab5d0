import { describe, expect, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { startArtifactServer } from './support/artifact-server.js';
import { lost, test, underLoad, type RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 300_000 });
takeTurns();

describe.concurrent('a worker that is killed, with another one started', () => {
  test('in fetch, activate, approve and bake costs no request, and no step is taken twice', async ({
    aSandbox,
    onTestFinished,
  }) => {
    const artifacts = await startArtifactServer();
    onTestFinished(() => artifacts.close());
    const running = await aSandbox({ trust: artifacts.caPem });
    const before = await running.fingerprint('blue');
    const built = await running.build('2.0.0');
    const url = artifacts.publish(built.archive);

    const { result: outcome, tally } = await underLoad(running, async () => {
      const { held, release } = artifacts.hold();
      const handle = await running.startFrom({ url, sha256: built.sha256 }, '2.0.0');
      await Promise.race([held, handle.result()]);
      await running.replaceWorker(release);

      await running.untilStarted('green-1');
      await running.replaceWorker();

      await running.untilStage('approve');
      await running.replaceWorker();
      await running.send('approve', { by: 'ann' });

      await running.untilStage('bake');
      await running.replaceWorker();
      await running.untilStage('ended');
      return (await handle.result()) as Outcome;
    });

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', tally: { failed: 0 } });
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(await running.servedBy()).toBe('2.0.0');
    expect(await running.fingerprint('blue')).toEqual(before);
    expect(running.refreshes()).toBe(1);
    await expectOneRelease(running, 'green-1', 'green-2');
  });

  test('in inspect, install, verify, switch and retire costs no request, and no step is taken twice', async ({
    aSandbox,
  }) => {
    const running = await aSandbox({ before: 'nothing', settings: { retire: { old: 'stop' } } });
    await running.promote('2.0.0');
    const refreshes = running.refreshes();
    running.sandbox.api.admin.behave({ doingMs: 3_000 });
    const { machine } = running.server('blue-1');

    const { result: outcome, tally } = await underLoad(running, async () => {
      machine.faults.slowBytesPerSecond(12_000);
      const handle = await running.start(await running.build('3.0.0'), '3.0.0');
      await running.untilStage('inspect');
      await running.replaceWorker();

      await running.untilStage('install');
      await running.replaceWorker(() => machine.faults.slowBytesPerSecond(undefined));

      await running.untilStage('verify');
      await running.replaceWorker();

      await running.untilStage('approve');
      await running.send('approve', { by: 'ann' });
      await vi.waitUntil(() => running.refreshes() > refreshes, { timeout: 60_000, interval: 20 });
      await running.replaceWorker();

      await running.untilStage('retire');
      await running.replaceWorker();
      await running.untilStage('ended');
      return (await handle.result()) as Outcome;
    });

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'blue', tally: { failed: 0 } });
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(await running.servedBy()).toBe('3.0.0');
    expect(running.refreshes()).toBe(refreshes + 1);
    await expectOneRelease(running, 'blue-1', 'blue-2');
    for (const name of ['green-1', 'green-2']) {
      expect((await running.stepsOn(name)).filter((step) => /^stops [^,]*$/.test(step))).toHaveLength(1);
    }
  });
});

async function expectOneRelease(running: RunningSandbox, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    expect({ name, starts: running.starts(name) }).toEqual({ name, starts: 1 });
    expect(await running.stepsOn(name)).toEqual([
      expect.stringMatching(/^installs /),
      expect.stringMatching(/^stops .* activates /),
      expect.stringMatching(/^starts /),
    ]);
  }
}
