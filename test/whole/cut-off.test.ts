import { describe, expect, onTestFinished } from 'vitest';
import { startRelay } from './support/relay.js';
import { lost, test, underLoad } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

takeTurns();

describe('a worker whose own network is cut during the bake', () => {
  test('moves no traffic while both environments look dead to it, asks a person, and goes on once healed', async ({
    aSandbox,
  }) => {
    const relay = await startRelay();
    onTestFinished(() => relay.close());
    const running = await aSandbox({
      serversPerEnvironment: 1,
      settings: {
        publicAddress: { url: relay.url, identify: { path: '/version', header: 'x-greeter-version' } },
        bake: { duration: '60s', watchEvery: '500ms' },
        health: { timeout: '1s' },
        prober: { timeout: '2s' },
      },
    });
    relay.lead(Number(new URL(running.sandbox.publicUrl).port));
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');
    await running.send('approve', { by: 'ann' });
    await running.untilStage('bake');
    const writes = running.writes();

    const { tally } = await underLoad(running, async () => {
      relay.cut(true);
      for (const { machine } of running.sandbox.servers) machine.faults.freeze(true);
      const { problem } = await running.untilStage('needs a person');
      expect(problem).toMatchObject({
        failure: 'RollbackBlind',
        message: expect.stringMatching(/nothing was moved(.|\n)*--force(.|\n)*verdigris retry/),
      });
      expect(running.writes()).toEqual(writes);
      expect(await running.servedBy()).toBe('2.0.0');

      relay.cut(false);
      for (const { machine } of running.sandbox.servers) await machine.faults.clear();
      await running.send('rollback', { by: 'ann' });
      expect(await handle.result()).toMatchObject({ kind: 'rolled back', during: 'bake', live: 'blue' });
    });

    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(await running.servedBy()).toBe('1.0.0');
    expect(running.refreshes()).toBe(2);
  });
});
