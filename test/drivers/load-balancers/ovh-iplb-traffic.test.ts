import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { colors, otherColor, type Color } from '../../../domain/color.js';
import { SecretName, ServerName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhIplbSettings, Server } from '../../../domain/service.js';
import { allTo, type Split } from '../../../domain/split.js';
import type { RouteChange } from '../../../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { ruleFor } from '../../../drivers/load-balancers/ovh-iplb/routes.js';
import { endless } from '../../../drivers/patience.js';
import { createOvhApi } from '../../../ovh/api.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { startHaproxy } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import { startOvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { ask } from '../../sandbox/load.js';
import { program, until } from '../../sandbox/program.js';
import type { CarryingDataPlane } from './switching-under-load.js';

const mark = { kind: 'header', name: 'X-Preview', value: 'please' } as const;

/** Real programs behind an emulated load balancer that really carries what is published, with all that it can be equipped with. */
async function aService(dataPlane: CarryingDataPlane) {
  const programs = { blue: await program('blue'), green: await program('green') };
  const emulator = await startOvhApi({ dataPlane, behaviour: { todoMs: 2, doingMs: 10 } });
  const create = async (path: string, body: JsonObject, idField: string): Promise<number> => {
    const full = `/ipLoadbalancing/${emulator.serviceName}/http/${path}`;
    const made = await emulator.admin.editAsSomebodyElse('POST', full, body);
    return (made as Record<string, number>)[idField] ?? 0;
  };
  const probe = { type: 'http', method: 'GET', url: '/', interval: 30 };
  const aFarm = () => create('farm', { zone: 'all', port: 80, balance: 'roundrobin', probe }, 'farmId');
  const place = (color: Color, farm: number, more: JsonObject = {}) =>
    create(
      `farm/${farm}/server`,
      { address: '127.0.0.1', port: programs[color].port, status: 'active', probe: true, ...more },
      'serverId',
    );
  const aFrontend = (port: string, defaultFarmId: number) =>
    create('frontend', { zone: 'all', port, defaultFarmId }, 'frontendId');

  const farms = { blue: await aFarm(), green: await aFarm() };
  const mixedFarm = await aFarm();
  for (const color of colors) {
    await place(color, farms[color]);
    await place(color, mixedFarm);
    await place(color, farms[otherColor(color)], { backup: true, status: 'inactive' });
  }
  const frontend = await aFrontend('80', farms.blue);
  const action = { type: 'farm', target: String(farms.blue) };
  const route = await create('route', { frontendId: frontend, action }, 'routeId');
  await create(`route/${route}/rule`, { ...ruleFor(mark) }, 'ruleId');
  const secret = { secret: SecretName('unused') };
  const settings: OvhIplbSettings = {
    driver: 'ovh-iplb',
    api: { endpoint: emulator.url, applicationKey: secret, applicationSecret: secret, consumerKey: secret },
    serviceName: emulator.serviceName,
    protocol: 'http',
    frontends: [frontend],
    stagingFrontend: await aFrontend('8888', farms.green),
    farms,
    mixed: { farm: mixedFarm, stagingFrontend: await aFrontend('8889', mixedFarm) },
    fallback: 'old-environment',
    testers: { route, by: mark },
    refreshDeadlineMs: 30_000,
  };
  const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
  const api = createOvhApi({
    endpoint: emulator.url,
    caFile: emulator.caFile,
    keys: {
      applicationKey: new Secret(applicationKey),
      applicationSecret: new Secret(applicationSecret),
      consumerKey: new Secret(consumerKey),
    },
    rate: { perSecond: 10_000, burst: 10_000 },
  });
  const driver = createOvhIplb({
    api,
    settings,
    servers: colors.map((color) => serverOf(color, programs[color].port)),
  });
  onTestFinished(async () => {
    api.close();
    await emulator.close();
    await dataPlane.close();
    await Promise.all([programs.blue.stop(), programs.green.stop()]);
  });
  await emulator.admin.refreshAsSomebodyElse();
  await driver.observe(endless);
  return {
    programs,
    observe: () => driver.observe(endless),
    ask: (headers: Record<string, string> = {}) => ask(dataPlane.portOf(frontend), { headers }),
    async route(to: Split, more: Partial<RouteChange> = {}) {
      const { objects } = await driver.observe(endless);
      return driver.route({ to, expected: objects, purpose: 'forward', leaveOut: [], ...more }, endless);
    },
  };
}

const serverOf = (color: Color, port: number): Server => ({
  name: ServerName(`${color}-1`),
  color,
  address: '127.0.0.1',
  port,
  unit: 'program.service',
  directory: '/srv/program',
  probe: { address: '127.0.0.1', port },
  connection: { driver: 'in-memory', world: 'programs' },
});

async function carriesWhatIsPublished(dataPlane: CarryingDataPlane): Promise<void> {
  const service = await aService(dataPlane);
  const bodies = async (count: number): Promise<Record<string, number>> => {
    const seen: Record<string, number> = {};
    for (let asked = 0; asked < count; asked++) {
      const { body } = await service.ask();
      seen[body] = (seen[body] ?? 0) + 1;
    }
    return seen;
  };
  const only = async (name: string): Promise<void> => {
    // What was accepted before a reload may still be answered as before it.
    await until(async () => (await service.ask()).body === name);
    expect(await bodies(10)).toEqual({ [name]: 10 });
  };

  await only('blue');
  await service.route(allTo('blue'), { testers: true });
  await until(async () => (await service.ask({ [mark.name]: mark.value })).body === 'green');
  await only('blue');

  const report = await service.route({ blue: 90, green: 10 });
  expect(report).toMatchObject({ changed: true, shares: 'of new connections' });
  await until(async () => (await service.ask()).body === 'green');
  const shares = await bodies(200);
  expect(shares['green']).toBeGreaterThanOrEqual(15);
  expect(shares['green']).toBeLessThanOrEqual(25);

  await service.route(allTo('green'), { fallback: true });
  await only('green');
  // The load balancer itself goes back, without any call of ours, once its probes have failed twice.
  await service.programs.green.stop();
  await until(async () => (await service.ask()).body === 'blue');
  expect((await service.observe()).backups).toEqual(['blue-1']);

  await service.route(allTo('blue'), { purpose: 'rollback' });
  await only('blue');
  expect((await service.observe()).backups).toBeUndefined();
}

test('testers, shares and the fallback reach who they shall', () => carriesWhatIsPublished(startDataPlane()));

const isHere = spawnSync('haproxy', ['-v']).status === 0;

describe.skipIf(!isHere && !process.env['VERDIGRIS_DEMAND_ALL'])('HAProxy', () => {
  test('testers, shares and the fallback reach who they shall', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-traffic-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    await carriesWhatIsPublished(startHaproxy({ directory }));
  });
});
