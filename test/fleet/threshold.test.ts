import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { lost } from '../whole/support/running-service.js';
import { takeTurns } from '../whole/support/turns.js';
import { describeOnFleet } from './support/needs.js';
import { RunningFleet } from './support/running-fleet.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

describeOnFleet('ten Debian machines, of which one is down', () => {
  takeTurns();
  let running: RunningFleet;

  beforeAll(async () => {
    running = await RunningFleet.start({
      serversPerEnvironment: 5,
      privilege: 'sudo',
      settings: { fleet: { mayFail: '20 %' }, verify: { minimum: '2s' }, bake: { duration: '10s' } },
    });
    await running.startWorker();
    await running.runByHand('blue', await running.build('1.0.0'));
    await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000 });
  });
  afterAll(() => running.close());

  test('where one in five may fail: it is left behind, nothing is lost, and converge brings it back', async () => {
    const machine = running.machine('green-5');
    await machine.cutPower();
    const visitors = running.visitors(50);

    const outcome = await running.deploy('2.0.0');

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', leftBehind: [{ server: 'green-5' }] });
    await machine.powerOn();
    const converged = await running.verdigris(['converge']);
    expect(converged, converged.output).toMatchObject({ exitCode: 0 });
    const tally = await visitors.stop();
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(await running.releasesOn('green-5')).toEqual(await running.releasesOn('green-1'));
  });
});
