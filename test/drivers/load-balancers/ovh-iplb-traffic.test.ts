import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Color } from '../../../domain/color.js';
import { ServerName } from '../../../domain/names.js';
import type { TestersMark } from '../../../domain/service.js';
import { allTo } from '../../../domain/split.js';
import { endless } from '../../../drivers/patience.js';
import type { Habit } from '../../../sandbox/data-plane/data-plane.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { startHaproxy } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import type { HttpAnswer } from '../../sandbox/load.js';
import { until } from '../../sandbox/program.js';
import { clientOf } from '../../sandbox/signed-client.js';
import { aCarryingIplb, type CarryingIplb } from './carrying-iplb.js';
import { paced } from './emulation.js';
import type { CarryingDataPlane } from './switching-under-load.js';

/** What was accepted before a reload may still be answered as before it. */
async function expectOnly(service: CarryingIplb, name: string, as = {}): Promise<void> {
  await until(async () => (await service.ask(as)).body === name);
  expect(await service.answers(6, as)).toEqual({ [name]: 6 });
}

async function carriesWhatIsPublished(dataPlane: CarryingDataPlane): Promise<void> {
  const service = await aCarryingIplb(dataPlane);
  await expectOnly(service, 'blue');

  const report = await service.route({ blue: 90, green: 10 });
  expect(report).toMatchObject({ changed: true, shares: 'of new connections' });
  await until(async () => (await service.ask()).body === 'green');
  const { green } = await service.answers(200);
  expect(green).toBeGreaterThanOrEqual(15);
  expect(green).toBeLessThanOrEqual(25);

  await service.route(allTo('green'), { fallback: true });
  await expectOnly(service, 'green');
  // The load balancer itself goes back, without any call of ours, once its probes have failed twice.
  for (const green of service.programs.green) await green.stop();
  await until(async () => (await service.ask()).body === 'blue');
  expect((await service.observe()).backups).toEqual(['blue-1']);

  await service.route(allTo('blue'), { purpose: 'rollback' });
  await expectOnly(service, 'blue');
  expect((await service.observe()).backups).toBeUndefined();
}

async function drainsWhatIsLeftOut(dataPlane: CarryingDataPlane): Promise<void> {
  const service = await aCarryingIplb(dataPlane, { each: 2 });
  const [kept, left] = service.programs.green;
  await service.route(allTo('green'));
  await expectOnly(service, 'green');
  const begun: Promise<HttpAnswer>[] = [];
  while (left!.waiting.length === 0) {
    const { length } = [...kept!.waiting, ...left!.waiting];
    begun.push(service.ask({ path: '/slowly' }));
    await until(() => kept!.waiting.length + left!.waiting.length > length);
  }

  await service.route(allTo('green'), { leaveOut: [ServerName(left!.name)] });
  await until(async () => (await service.ask()).headers['x-server'] === kept!.name);
  for (let asked = 0; asked < 6; asked++) expect((await service.ask()).headers['x-server']).toBe(kept!.name);
  for (const end of [...kept!.waiting, ...left!.waiting]) end();
  const ended = await Promise.all(begun);
  expect(ended.map(({ status }) => status)).toEqual(begun.map(() => 200));
  expect(ended.map(({ headers }) => headers['x-server'])).toContain(left!.name);
}

/** Requests that a mark tells from others, and some that only look like it. */
interface Marked {
  readonly mark: TestersMark;
  readonly testers: readonly Parameters<CarryingIplb['ask']>[0][];
  readonly others: readonly Parameters<CarryingIplb['ask']>[0][];
}

const byHeader: Marked = {
  mark: { kind: 'header', name: 'X-Preview', value: 'please' },
  testers: [{ headers: { 'X-Preview': 'please' } }, { headers: { 'x-preview': 'please' } }],
  others: [{}, { headers: { 'X-Preview': 'no' } }, { headers: { 'X-Previews': 'please' } }],
};
const byCookie: Marked = {
  mark: { kind: 'cookie', name: 'preview', value: 'please' },
  testers: [{ headers: { Cookie: 'preview=please' } }, { headers: { Cookie: 'a=1; preview=please; b=2' } }],
  others: [
    {},
    { headers: { Cookie: 'preview=no' } },
    { headers: { Cookie: 'xpreview=please' } },
    { headers: { preview: 'please' } },
  ],
};
const bySource: Marked = {
  mark: { kind: 'source', address: '127.0.0.7' },
  testers: [{ from: '127.0.0.7' }],
  others: [{}, { from: '127.0.0.8' }, { headers: { 'X-Forwarded-For': '127.0.0.7' } }],
};
const byBlock: Marked = {
  mark: { kind: 'source', address: '127.0.7.0/24' },
  testers: [{ from: '127.0.7.1' }, { from: '127.0.7.254' }],
  others: [{}, { from: '127.0.8.1' }],
};

/** Testers reach the new environment and nobody else does; afterwards nobody does, however it ended. */
async function letsInTestersAlone(dataPlane: CarryingDataPlane, { mark, testers, others }: Marked) {
  const service = await aCarryingIplb(dataPlane, { mark });
  const open = async (): Promise<void> => {
    await service.route(allTo('blue'), { testers: true });
    for (const tester of testers) await expectOnly(service, 'green', tester);
    for (const other of others) await expectOnly(service, 'blue', other);
    expect((await service.observe()).testersReach).toBe('green');
  };
  const expectClosed = async (everybody: string): Promise<void> => {
    for (const anybody of [...testers, ...others]) await expectOnly(service, everybody, anybody);
    expect((await service.observe()).testersReach).toBeUndefined();
  };

  await open();
  await service.route(allTo('blue'), { purpose: 'rollback' });
  await expectClosed('blue');
  await open();
  await service.route(allTo('green'));
  await expectClosed('green');
}

test('shares and the fallback reach who they shall', () => carriesWhatIsPublished(startDataPlane()));

test('a server that is set inactive gets nothing new, and ends what it has', () =>
  drainsWhatIsLeftOut(startDataPlane()));

test.each([
  ['a header', byHeader],
  ['a cookie', byCookie],
  ['an address', bySource],
  ['a block of addresses', byBlock],
])('testers told by %s are let in, others are not, and in the end nobody is', (_, marked) =>
  letsInTestersAlone(startDataPlane(), marked),
);

describe('a share of a farm that is sticky is one of new clients', () => {
  const split = { blue: 75, green: 25 };

  test('by cookie: new ones are divided, and who comes back stays', async () => {
    const service = await aCarryingIplb(startDataPlane(), { stickiness: 'cookie' });
    expect(await service.route(split)).toMatchObject({ shares: 'of new clients' });
    const met: Record<string, number> = {};
    for (let client = 0; client < 40; client++) {
      const { body, headers } = await service.ask();
      met[body] = (met[body] ?? 0) + 1;
      const [cookie = ''] = headers['set-cookie'] ?? [];
      const back = { headers: { Cookie: cookie.split(';')[0] ?? '' } };
      if (client < 8) expect(await service.answers(3, back)).toEqual({ [body]: 3 });
    }
    expect(met).toEqual({ blue: 30, green: 10 });
  });

  test('by address: new ones are divided, and who comes back stays', async () => {
    const service = await aCarryingIplb(startDataPlane(), { stickiness: 'sourceIp' });
    expect(await service.route(split)).toMatchObject({ shares: 'of new clients' });
    const met: Record<string, number> = {};
    for (let client = 1; client <= 40; client++) {
      const from = `127.0.1.${client}`;
      const { body } = await service.ask({ from });
      met[body] = (met[body] ?? 0) + 1;
      expect(await service.answers(2, { from })).toEqual({ [body]: 2 });
    }
    expect(met).toEqual({ blue: 30, green: 10 });
  });
});

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

describe.skipIf(!isHere && !process.env['VERDIGRIS_DEMAND_ALL'])('HAProxy', () => {
  const haproxy = async (instancesPerZone = 1): Promise<CarryingDataPlane> => {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-traffic-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    return startHaproxy({ directory, instancesPerZone });
  };

  test('servers are seen up only once it has looked at them', async () => {
    const service = await aCarryingIplb(await haproxy());
    const states = async () => (await service.observe()).backends.map(({ state }) => state);
    await until(async () => (await states()).every((state) => state === 'up'));
    await service.programs.green[0]!.stop();
    await until(async () => (await states()).includes('down'));
  });

  test('the traffic ends where it shall after a crash behind each write and the call that follows', async () => {
    const service = await aCarryingIplb(await haproxy());
    for (let writes = 0; writes < 4; writes++) {
      const to: Color = writes % 2 === 0 ? 'green' : 'blue';
      let written = 0;
      const dying = paced(service.api, async (_nth, isWrite) => {
        if (written > writes) throw new Error('killed');
        if (isWrite) written++;
      });
      const change = { to: allTo(to), expected: undefined, purpose: 'rollback', leaveOut: [] } as const;
      const [ended] = await Promise.allSettled([service.driverOver(dying).route(change, endless)]);
      if (ended.status === 'rejected') expect(String(ended.reason)).toContain('killed');
      await service.driver.route(change, endless);
      await expectOnly(service, to);
    }
  });

  test('every process is met, though the kernel and no turn chooses which', async () => {
    const service = await aCarryingIplb(await haproxy(2));
    await service.route(allTo('green'));
    const { instances = [] } = await service.prove('green', 60_000);
    expect(instances.map(({ name }) => name)).toEqual(['16300', '16301']);
  });

  test('shares and the fallback reach who they shall', async () => carriesWhatIsPublished(await haproxy()));

  test('a server that is set inactive gets nothing new, and ends what it has', async () =>
    drainsWhatIsLeftOut(await haproxy()));

  test.each([
    ['a cookie', byCookie],
    ['an address', bySource],
  ])('testers told by %s are let in, others are not, and in the end nobody is', async (_, marked) =>
    letsInTestersAlone(await haproxy(), marked),
  );
});
