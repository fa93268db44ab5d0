import { afterEach, expect, test } from 'vitest';

import { startDataPlane, type DataPlaneOptions } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { startOvhApi, type OvhApiBehaviour } from '../../../sandbox/ovh-api/ovh-api.js';
import { ask, startLoad } from '../load.js';
import { program, until, type Program } from '../program.js';
import { clientOf, refresh } from '../signed-client.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Two farms, a production and a staging frontend: the provider's own recipe. */
async function aBlueGreenPair(
  options: {
    readonly blue?: Program;
    readonly green?: Program;
    readonly behaviour?: Partial<OvhApiBehaviour>;
    readonly dataPlane?: DataPlaneOptions;
  } = {},
) {
  const blue = options.blue ?? (await program('blue'));
  const green = options.green ?? (await program('green'));
  cleanups.push(
    () => blue.stop(),
    () => green.stop(),
  );
  const dataPlane = startDataPlane({ probeSpeed: 600, ...options.dataPlane });
  cleanups.push(() => dataPlane.close());
  const api = await startOvhApi({ dataPlane, behaviour: { todoMs: 0, doingMs: 10, ...options.behaviour } });
  cleanups.push(() => api.close());

  const client = clientOf(api);
  const root = `/ipLoadbalancing/${api.serviceName}`;
  const farmOf = async ({ name, port }: Program): Promise<{ farmId: number; serverId: number }> => {
    const probe = { type: 'http', method: 'GET', url: '/', interval: 30, match: 'status', pattern: '200' };
    const { farmId } = await client.post(`${root}/http/farm`, {
      zone: 'all',
      port: 8080,
      displayName: name,
      probe,
    });
    const { serverId } = await client.post(`${root}/http/farm/${farmId}/server`, {
      address: '127.0.0.1',
      port,
      status: 'active',
      probe: true,
    });
    return { farmId, serverId };
  };
  const farms = { blue: await farmOf(blue), green: await farmOf(green) };
  const production = await client.post(`${root}/http/frontend`, {
    port: '80',
    zone: 'all',
    defaultFarmId: farms.blue.farmId,
  });
  const staging = await client.post(`${root}/http/frontend`, {
    port: '8888',
    zone: 'all',
    defaultFarmId: farms.green.farmId,
  });
  await refresh(client, api.serviceName);

  const pointAt = async (color: 'blue' | 'green'): Promise<void> => {
    const other = color === 'blue' ? 'green' : 'blue';
    await client.put(`${root}/http/frontend/${production.frontendId}`, {
      defaultFarmId: farms[color].farmId,
    });
    await client.put(`${root}/http/frontend/${staging.frontendId}`, { defaultFarmId: farms[other].farmId });
  };
  const stateOf = async (color: 'blue' | 'green') => {
    const { farmId, serverId } = farms[color];
    return (await client.get(`${root}/http/farm/${farmId}/server/${serverId}`)).serverState;
  };
  return {
    api,
    client,
    dataPlane,
    root,
    blue,
    green,
    publicPort: dataPlane.portOf(production.frontendId),
    stagingPort: dataPlane.portOf(staging.frontendId),
    pointAt,
    publish: () => refresh(client, api.serviceName),
    stateOf,
  };
}

test('serves the old environment until what was edited is refreshed', async () => {
  const shop = await aBlueGreenPair();

  await shop.pointAt('green');
  expect((await ask(shop.publicPort)).body).toBe('blue');
  expect(await shop.client.get(`${shop.root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 2 }]);

  await shop.publish();
  expect((await ask(shop.publicPort)).body).toBe('green');
  expect((await ask(shop.stagingPort)).body).toBe('blue');
  expect(await shop.client.get(`${shop.root}/pendingChanges`)).toEqual([]);
});

test('loses no request over 20 switches, on kept and on new connections', async () => {
  const shop = await aBlueGreenPair();
  const load = startLoad(shop.publicPort, 4);

  for (let count = 0; count < 20; count++) {
    await shop.pointAt(count % 2 === 0 ? 'green' : 'blue');
    await shop.publish();
  }

  const { failures, failed, byBody } = await load.stop();
  expect(failures).toEqual([]);
  expect(failed).toBe(0);
  expect(byBody.get('blue')).toBeGreaterThan(0);
  expect(byBody.get('green')).toBeGreaterThan(0);
});

test('lets a stream that was open end on the old environment', async () => {
  let finish = (): void => undefined;
  const blue = await program('blue', (request, response) => {
    if (request.url !== '/stream') return void response.end('blue');
    response.write('begun ');
    finish = () => response.end('and ended on blue');
  });
  const shop = await aBlueGreenPair({ blue });
  const stream = ask(shop.publicPort, { path: '/stream' });
  await until(() => shop.dataPlane.loadOn(blue.port).open === 1);

  await shop.pointAt('green');
  await shop.publish();
  expect((await ask(shop.publicPort)).body).toBe('green');
  expect(shop.dataPlane.loadOn(blue.port).open).toBe(1);
  finish();

  expect((await stream).body).toBe('begun and ended on blue');
});

test('leaves no connection on the old environment but those of probes', async () => {
  const quiet = await program('blue');
  const shop = await aBlueGreenPair({ blue: quiet, dataPlane: { probeSpeed: 1 } });
  await Promise.all(Array.from({ length: 20 }, () => ask(shop.publicPort)));
  expect(quiet.connections.size).toBeGreaterThan(0);

  await shop.pointAt('green');
  await shop.publish();

  await until(() => quiet.connections.size === 0);
  expect(shop.dataPlane.loadOn(quiet.port)).toEqual({ open: 0, idle: 0 });
});

test('tells a server to be down after two failed checks, and up after two good ones', async () => {
  let ill = false;
  const green = await program(
    'green',
    (_, response) => void response.writeHead(ill ? 503 : 200).end('green'),
  );
  const shop = await aBlueGreenPair({ green });
  await until(async () => (await shop.stateOf('green'))[0]?.checkTime !== null);
  expect((await shop.stateOf('green'))[0]).toMatchObject({
    status: 'UP',
    checkStatus: 'L7OK',
    checkCode: 200,
  });

  ill = true;
  await until(async () => (await shop.stateOf('green'))[0].status === 'DOWN');
  expect((await shop.stateOf('green'))[0]).toMatchObject({ checkStatus: 'L7STS', checkCode: 503 });
  expect((await ask(shop.stagingPort)).status).toBe(503);

  ill = false;
  await until(async () => (await shop.stateOf('green'))[0].status === 'UP');
  expect((await ask(shop.stagingPort)).body).toBe('green');
});

test('presumes servers up after each refresh, without a check to show for it', async () => {
  const shop = await aBlueGreenPair({ dataPlane: { probeSpeed: 0.001 } });

  await shop.publish();

  expect((await shop.stateOf('green'))[0]).toMatchObject({ status: 'UP', checkTime: null });
});

test('changes its instances one after the other', async () => {
  const shop = await aBlueGreenPair({
    dataPlane: { instancesPerZone: 2 },
    behaviour: { instanceStaggerMs: 3_000 },
  });
  const served: Record<string, string> = {};
  const untilServing = (...bodies: readonly string[]) =>
    until(async () => {
      const { body, headers } = await ask(shop.publicPort);
      served[String(headers['x-iplb-instance'])] = body;
      return Object.values(served).toSorted().join() === bodies.join();
    });
  await untilServing('blue', 'blue');
  await shop.pointAt('green');
  const task = shop.publish();

  await untilServing('blue', 'green');
  expect(Object.keys(served).toSorted()).toEqual(['16300', '16301']);
  await task;
  await untilServing('green', 'green');
});

test('leaves instances as they were when a refresh fails half way', async () => {
  const shop = await aBlueGreenPair({ dataPlane: { instancesPerZone: 2 } });
  await shop.pointAt('green');
  shop.api.admin.endNextRefresh({ status: 'error', afterInstances: 1 });

  expect((await shop.publish()).status).toBe('error');

  const bodies = await Promise.all([ask(shop.publicPort), ask(shop.publicPort)]);
  expect(bodies.map(({ body }) => body).toSorted()).toEqual(['blue', 'green']);
  expect(await shop.client.get(`${shop.root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 2 }]);
});
