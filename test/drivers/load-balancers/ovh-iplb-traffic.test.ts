import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { TestersMark } from '../../../domain/service.js';
import { allTo } from '../../../domain/split.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { startHaproxy } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import { until } from '../../sandbox/program.js';
import { aCarryingIplb, type CarryingIplb } from './carrying-iplb.js';
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
  await service.programs.green.stop();
  await until(async () => (await service.ask()).body === 'blue');
  expect((await service.observe()).backups).toEqual(['blue-1']);

  await service.route(allTo('blue'), { purpose: 'rollback' });
  await expectOnly(service, 'blue');
  expect((await service.observe()).backups).toBeUndefined();
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

const isHere = spawnSync('haproxy', ['-v']).status === 0;

describe.skipIf(!isHere && !process.env['VERDIGRIS_DEMAND_ALL'])('HAProxy', () => {
  const haproxy = async (): Promise<CarryingDataPlane> => {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-traffic-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    return startHaproxy({ directory });
  };

  test('shares and the fallback reach who they shall', async () => carriesWhatIsPublished(await haproxy()));

  test.each([
    ['a cookie', byCookie],
    ['an address', bySource],
  ])('testers told by %s are let in, others are not, and in the end nobody is', async (_, marked) =>
    letsInTestersAlone(await haproxy(), marked),
  );
});
