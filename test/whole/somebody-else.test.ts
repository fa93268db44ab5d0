import { describe, expect, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { lost, test, underLoad, type RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('somebody else at the load balancer', () => {
  test('edits a farm of ours before the activation: undone, and the farm is named', async ({ aSandbox }) => {
    const running = await aSandbox({ serversPerEnvironment: 1 });
    const { faults } = running.server('green-1').machine;
    const before = await running.fingerprint('blue');
    faults.slowBytesPerSecond(12_000);
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('install');
    await editFarm(running);
    faults.slowBytesPerSecond(undefined);

    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'activate', live: 'blue' });
    expectEditTold(running, outcome);
    expect(running.starts('green-1')).toBe(0);
    expect(running.writes()).toEqual([]);
    expect(await running.fingerprint('blue')).toEqual(before);
  });

  test('edits a farm of ours before the switch: undone, and the farm is named', async ({ aSandbox }) => {
    const running = await aSandbox({ serversPerEnvironment: 1 });
    const before = await running.fingerprint('blue');
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');
    await editFarm(running);

    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'approve', live: 'blue' });
    expectEditTold(running, outcome);
    expect(running.writes()).toEqual([]);
    expect(running.pids('green')).toEqual([0]);
    expect(await running.fingerprint('blue')).toEqual(before);
  });

  test('edits a farm of ours during the bake: a person is asked, and lets it go on', async ({ aSandbox }) => {
    const running = await aSandbox({ serversPerEnvironment: 1, settings: { bake: { duration: '4s' } } });
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');
    await running.send('approve');
    await running.untilStage('bake');
    await editFarm(running);

    const { problem } = await running.untilStage('needs a person');
    expect(problem).toMatchObject({
      failure: 'LoadBalancerChanged',
      message: expect.stringContaining(`${running.sandbox.loadBalancer.farms.green}`),
    });
    expect(running.refreshes()).toBe(1);
    await running.send('retry', { by: 'ann' });
    expect(await handle.result()).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(running.refreshes()).toBe(1);
  });

  test('moves the traffic during the wait for an approval: what has it is left alone until it is moved back', async ({
    aSandbox,
  }) => {
    const running = await aSandbox({ serversPerEnvironment: 1 });
    const { result: outcome, tally } = await underLoad(running, async () => {
      const handle = await running.start(await running.build('2.0.0'), '2.0.0');
      await running.untilStage('approve');
      const green = await running.fingerprint('green');
      await running.moveInPanel('green');

      const { problem } = await running.untilStage('needs a person');
      expect(problem?.message).toMatch(/somebody moved the traffic(.|\n)*verdigris retry/);
      await running.send('rollback', { by: 'ann' });
      const refused = await running.until(({ problem: now }) => now?.failure === 'EnvironmentHasTraffic');
      expect(refused.problem?.message).toMatch(/green(.|\n)*verdigris take-over/);
      expect(await running.fingerprint('green')).toEqual(green);

      await running.moveInPanel('blue');
      await running.send('retry', { by: 'ann' });
      return (await handle.result()) as Outcome;
    });

    expect(outcome).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(running.writes()).toEqual([]);
    expect(running.pids('green')).toEqual([0]);
  });

  test('moves the traffic and back again: a retry goes on to the promotion', async ({ aSandbox }) => {
    const running = await aSandbox({ serversPerEnvironment: 1 });
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');
    await running.moveInPanel('green');
    await running.untilStage('needs a person');
    await running.moveInPanel('blue');
    await running.send('retry', { by: 'ann' });
    await running.untilStage('approve');
    await running.send('approve', { by: 'ann' });

    expect(await handle.result()).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(running.refreshes()).toBe(1);
  });
});

/** In the control panel, without applying it. */
const editFarm = (running: RunningSandbox): Promise<void> =>
  running.editInPanel(`/http/farm/${running.sandbox.loadBalancer.farms.green}`, { balance: 'leastconn' });

function expectEditTold(running: RunningSandbox, outcome: Outcome): void {
  const message = outcome.kind === 'rolled back' ? outcome.because.message : '';
  expect(message).toContain(`${running.sandbox.loadBalancer.farms.green}`);
  expect(message).toMatch(/edited since the plan was made(.|\n)*verdigris plan/);
}
