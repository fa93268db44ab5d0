import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { lost } from '../whole/support/running-service.js';
import { takeTurns } from '../whole/support/turns.js';
import { describeOnFleet } from './support/needs.js';
import { RunningFleet } from './support/running-fleet.js';
import { messageOf } from './support/warm-idle.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

describeOnFleet('ten idle Debian machines, of which one is down', () => {
  takeTurns();
  let running: RunningFleet;

  beforeAll(async () => {
    running = await RunningFleet.start({
      serversPerEnvironment: { blue: 2, green: 10 },
      privilege: 'sudo',
      settings: { fleet: { mayFail: '10 %' }, verify: { minimum: '2s' }, bake: { duration: '3s' } },
    });
    await running.startWorker();
    await running.runByHand('blue', await running.build('1.0.0'));
    await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000 });
    await running.machine('green-10').cutPower();
  });
  afterAll(() => running.close());

  test('where none may fail: refused, with nothing changed anywhere', async () => {
    const [blue, writes] = [await running.fingerprint('blue'), running.writes().length];
    const { fleet } = running.service;
    const handle = await running.start(await running.build('2.0.0'), '2.0.0', {
      fleet: { ...fleet, mayFail: 0 },
    });
    const outcome = (await handle.result()) as Outcome;

    expect(outcome).toMatchObject({ kind: 'refused', complaints: [{ failure: 'ServerUnreachable' }] });
    expect(messageOf(outcome)).toMatch(
      /"green-10": .* refuses connections .*\n {2}.*server doctor\n {2}.*fleet\.mayFail/,
    );
    expect(await running.fingerprint('blue')).toEqual(blue);
    expect(running.writes()).toHaveLength(writes);
    expect(await running.releasesOn('green-1')).toEqual([]);
  });

  test('where one in ten may fail: it is left behind, nothing is lost, and converge brings it back', async () => {
    const machine = running.machine('green-10');
    const visitors = running.visitors(50);

    const outcome = await running.deploy('2.0.0');

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', leftBehind: [{ server: 'green-10' }] });
    await machine.powerOn();
    const converged = await running.verdigris(['converge']);
    expect(converged, converged.output).toMatchObject({ exitCode: 0 });
    const tally = await visitors.stop();
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(await running.releasesOn('green-10')).toEqual(await running.releasesOn('green-1'));
  });
});
