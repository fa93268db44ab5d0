import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { allTo } from '../../../domain/split.js';
import { endless } from '../../../drivers/patience.js';
import type { Habit } from '../../../sandbox/data-plane/data-plane.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { startHaproxy } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import { clientOf } from '../../sandbox/signed-client.js';
import { until } from '../../sandbox/program.js';
import { aCarryingIplb } from './carrying-iplb.js';

/** Four processes in two zones behind one address. What they do by themselves they do when the test says so. */
async function fourProcesses(habits: Readonly<Record<string, Habit>>) {
  const ahead = new Map<number, () => void>();
  const dataPlane = startDataPlane({
    zones: ['gra', 'rbx'],
    instancesPerZone: 2,
    after: (ms, work) => {
      ahead.set(ms, work);
      return () => ahead.delete(ms);
    },
  });
  const service = await aCarryingIplb(dataPlane);
  const { serviceName } = service.emulator;
  const path = `/sandbox/load-balancers/${serviceName}/data-plane`;
  const told = await clientOf(service.emulator).plain('PUT', path, JSON.stringify({ instances: habits }));
  expect(told.status).toBe(200);
  /** Lets happen what was to happen after so many milliseconds, and waits until visitors see it. */
  const pass = async (ms: number, instance: string, body: string): Promise<void> => {
    const work = ahead.get(ms);
    if (!work) throw new Error(`Cannot let ${ms} ms pass: nothing was to happen then`);
    work();
    await until(async () => {
      const answer = await service.ask();
      return answer.headers['x-iplb-instance'] === instance && answer.body === body;
    });
  };
  return { ...service, pass };
}

test('a switch is proved once the last process has changed, whatever the task of the refresh says', async () => {
  const service = await fourProcesses({
    16301: { applies: 'late', afterMs: 1 },
    16400: { applies: 'late', afterMs: 2 },
    16401: { applies: 'late', afterMs: 3 },
  });
  expect(await service.route(allTo('green'))).toMatchObject({ changed: true });
  expect(await service.answers(8), 'the task is done, and one process of four has changed').toEqual({
    green: 2,
    blue: 6,
  });

  const said: string[] = [];
  let isProved = false;
  const patience = { ...endless, progress: (what: string) => void said.push(what) };
  const proving = service.prove('green', 60_000, patience).finally(() => (isProved = true));
  const untilSaid = (words: RegExp) => until(() => words.test(said.at(-1) ?? ''));

  await untilSaid(/is behind \(3 of 4\)/);
  await service.pass(1, '16301', 'green');
  await service.pass(2, '16400', 'green');
  const before = said.length;
  await until(() => said.length > before + 20);
  expect(isProved, 'one process of four is behind').toBe(false);
  await untilSaid(/of the last \d+ answers \d+ \(\d+ %\) from "blue"; instance 16401 is behind \(1 of 4\)/);
  await service.pass(3, '16401', 'green');

  const { instances = [] } = await proving;
  expect(instances.map(({ name }) => name)).toEqual(['16300', '16301', '16400', '16401']);
  const [first, second, third, last] = instances.map(({ afterMs }) => afterMs);
  expect([first, second, third, last].toSorted((a, b) => a! - b!)).toEqual([first, second, third, last]);
  expect(first).toBeLessThan(last!);
});

test('a switch that one process never takes is not proved, and the way back is', async () => {
  const service = await fourProcesses({ 16401: { applies: 'never' } });
  expect(await service.route(allTo('green'))).toMatchObject({ changed: true });
  await expect(service.prove('green', 3_000)).rejects.toMatchObject({
    failure: 'TrafficNotMoved',
    message: expect.stringMatching(
      /served by green: of the last \d+ answers \d+ \(2\d %\) from "blue"; instance 16401 is behind \(1 of 4\), needs 10 in a row/,
    ),
  });
  await service.route(allTo('blue'), { purpose: 'rollback' });
  expect(await service.prove('blue', 60_000)).toMatchObject({ toldApart: true });
  expect(await service.answers(8)).toEqual({ blue: 8 });
});

test('a process that falls back after the proof is found by the next one', async () => {
  const service = await fourProcesses({ 16300: { applies: 'falls back', afterMs: 1 } });
  await service.route(allTo('green'));
  expect(await service.prove('green', 60_000)).toMatchObject({ toldApart: true });
  await service.pass(1, '16300', 'blue');
  expect((await service.observe()).traffic, 'the API does not know').toEqual({
    kind: 'split',
    split: allTo('green'),
  });
  await expect(service.prove('green', 500)).rejects.toMatchObject({
    failure: 'TrafficNotMoved',
    message: expect.stringMatching(/from "blue"; instance [\d, ]*16300[\d, ]* is behind/),
  });
});

const isHere = spawnSync('haproxy', ['-v']).status === 0;

test.skipIf(!isHere && !process.env['VERDIGRIS_DEMAND_ALL'])(
  'every process of a real HAProxy is met, though the kernel and no turn chooses which',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-instances-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const service = await aCarryingIplb(startHaproxy({ directory, instancesPerZone: 2 }));
    await service.route(allTo('green'));
    const { instances = [] } = await service.prove('green', 60_000);
    expect(instances.map(({ name }) => name)).toEqual(['16300', '16301']);
  },
);
