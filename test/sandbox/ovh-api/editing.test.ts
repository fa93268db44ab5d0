import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { clientOf, refresh, type Client } from '../signed-client.js';

let api: OvhApi;
let client: Client;
let root: string;

beforeAll(async () => {
  api = await startOvhApi({
    dataPlane: new SilentDataPlane({ zones: ['gra', 'rbx'] }),
    behaviour: { todoMs: 0, doingMs: 0 },
  });
  client = clientOf(api);
  root = `/ipLoadbalancing/${api.serviceName}`;
});
afterAll(() => api.close());

const aFarm = async (more: object = {}): Promise<number> =>
  (await client.post(`${root}/http/farm`, { zone: 'all', port: 8080, ...more })).farmId;
const aServer = { address: '127.0.0.1', port: 9001, status: 'active' };

describe('objects', () => {
  test('are what was sent, completed without inventing settings', async () => {
    const farm = await client.post(`${root}/http/farm`, { zone: 'all', port: null, displayName: 'q' });

    const expected = {
      zone: 'all',
      port: null,
      displayName: 'q',
      balance: null,
      stickiness: null,
      probe: null,
    };
    expect(farm).toEqual({ ...expected, vrackNetworkId: null, farmId: expect.any(Number) });
    expect(await client.get(`${root}/http/farm/${farm.farmId}`)).toEqual(farm);
    expect(await client.get(`${root}/http/farm`)).toContain(farm.farmId);
    expect(await client.get(`${root}/tcp/farm`)).not.toContain(farm.farmId);
  });

  test('are certificates, too: stored until a refresh, and told without what is secret', async () => {
    await refresh(client, api.serviceName);
    const { id } = await client.post(`${root}/ssl`, {
      certificate: 'PEM',
      key: 'very secret',
      displayName: 'web',
    });
    expect(await client.get(`${root}/ssl`)).toContain(id);
    const told = await client.get(`${root}/ssl/${id}`);
    expect(told).toMatchObject({ id, displayName: 'web', type: 'custom' });
    expect(JSON.stringify(told)).not.toContain('secret');
    expect(await client.get(`${root}/pendingChanges`)).toEqual([
      { zone: 'gra', number: 1 },
      { zone: 'rbx', number: 1 },
    ]);
    await client.delete(`${root}/ssl/${id}`);
    expect(await client.get(`${root}/ssl`)).not.toContain(id);
  });

  test('take the keys of an edit, keep the others, and are cleared by null', async () => {
    const farmId = await aFarm();
    const { frontendId } = await client.post(`${root}/http/frontend`, {
      port: '80,8000-8010',
      zone: 'all',
      defaultFarmId: farmId,
      displayName: 'front',
    });

    expect(await client.put(`${root}/http/frontend/${frontendId}`, { defaultFarmId: null })).toBeNull();

    expect(await client.get(`${root}/http/frontend/${frontendId}`)).toMatchObject({
      defaultFarmId: null,
      displayName: 'front',
      port: '80,8000-8010',
      allowedSource: [],
    });
  });

  test('keep a weight of 0, and have 1 where none is given', async () => {
    const farmId = await aFarm();
    const weightOf = async (more: object) =>
      (await client.post(`${root}/http/farm/${farmId}/server`, more)).weight;

    expect(await weightOf({ ...aServer, weight: 0 })).toBe(0);
    expect(await weightOf(aServer)).toBe(1);
  });

  test('are given a cookie value where their farm needs one', async () => {
    const farmId = await aFarm({ stickiness: 'cookie' });

    expect((await client.post(`${root}/http/farm/${farmId}/server`, aServer)).cookie).toMatch(
      /^[0-9a-f]{16}$/,
    );
  });

  test('ignore read-only keys, take fixed ones only unchanged', async () => {
    const farmId = await aFarm();
    const server = await client.post(`${root}/http/farm/${farmId}/server`, aServer);
    const path = `${root}/http/farm/${farmId}/server/${server.serverId}`;

    expect(await client.put(path, server)).toBeNull();
    expect((await client.call('PUT', path, { address: '127.0.0.2' })).status).toBe(400);
  });

  test('are found by the filters of their list', async () => {
    const farmId = await aFarm();
    const path = `${root}/http/farm/${farmId}/server`;
    const { serverId } = await client.post(path, { ...aServer, address: '127.0.0.9', status: 'inactive' });
    await client.post(path, aServer);

    expect(await client.get(`${path}?address=127.0.0.9`)).toEqual([serverId]);
    expect(await client.get(`${path}?status=inactive`)).toEqual([serverId]);
  });

  test('are listed over all protocols', async () => {
    const { farmId } = await client.post(`${root}/tcp/farm`, { zone: 'gra', port: 90 });

    expect(await client.get(`${root}/definedFarms`)).toContainEqual({ type: 'tcp', id: farmId });
  });

  test('go in the order rules, frontends, servers, farms', async () => {
    const farmId = await aFarm();
    const farm = `${root}/http/farm/${farmId}`;
    const { serverId } = await client.post(`${farm}/server`, aServer);
    const front = await client.post(`${root}/http/frontend`, {
      port: '81',
      zone: 'all',
      defaultFarmId: farmId,
    });
    const action = { type: 'farm', target: String(farmId) };
    const route = await client.post(`${root}/http/route`, { frontendId: front.frontendId, action });
    const rule = { field: 'header', subField: 'X-Canary', match: 'is', pattern: 'yes' };
    await client.post(`${root}/http/route/${route.routeId}/rule`, rule);
    expect(await client.get(`${root}/http/route?frontendId=${front.frontendId}`)).toEqual([route.routeId]);
    expect((await client.get(`${root}/http/route/${route.routeId}`)).rules).toMatchObject([rule]);

    expect((await client.call('DELETE', farm)).status).toBe(409);
    expect((await client.call('DELETE', `${root}/http/frontend/${front.frontendId}`)).status).toBe(409);
    await client.delete(`${root}/http/route/${route.routeId}`);
    await client.delete(`${root}/http/frontend/${front.frontendId}`);
    expect((await client.call('DELETE', farm)).status).toBe(409);
    await client.delete(`${farm}/server/${serverId}`);
    await client.delete(farm);

    expect(await client.call('GET', farm)).toMatchObject({
      status: 404,
      body: {
        class: 'Client::NotFound',
        message: `The requested object (farmId = ${farmId}) does not exist`,
      },
    });
  });
});

describe('refused are', () => {
  test.each([
    ['a farm without a zone', 'http/farm', {}, '[zone] Missing parameter'],
    ['a zone that is not ours', 'http/farm', { zone: 'sbg' }, '[zone]'],
    ['port 0', 'http/farm', { zone: 'all', port: 0 }, '[port] Given data (0) is not valid for type port'],
    ['port 49152', 'http/farm', { zone: 'all', port: 49_152 }, '[port]'],
    ['a frontend port as number', 'http/frontend', { zone: 'all', port: 80 }, '[port]'],
    ['a falling range', 'http/frontend', { zone: 'all', port: '90-80' }, '[port]'],
    [
      'an unknown balance',
      'http/farm',
      { zone: 'all', balance: 'x' },
      '[balance] Given data (x) does not belong to',
    ],
    ['uri balance for TCP', 'tcp/farm', { zone: 'all', balance: 'uri' }, '[balance]'],
    ['probing every 29 s', 'http/farm', { zone: 'all', probe: { type: 'http', interval: 29 } }, '[interval]'],
    [
      'negation without a match',
      'http/farm',
      { zone: 'all', probe: { type: 'http', interval: 30, negate: true } },
      'A probe can not negate without a match',
    ],
    [
      'a farm that does not exist',
      'http/frontend',
      { zone: 'all', port: '80', defaultFarmId: 12 },
      'farmId = 12',
    ],
    [
      'sources both allowed and denied',
      'http/frontend',
      { zone: 'all', port: '80', allowedSource: ['10.0.0.0/8'], deniedSource: ['11.0.0.0/8'] },
      'mutually exclusive',
    ],
    [
      'null for a list',
      'http/frontend',
      { zone: 'all', port: '80', allowedSource: null },
      '[allowedSource] ipBlock Data is not an array for an array type',
    ],
    ['keys nobody knows', 'http/farm', { zone: 'all', size: 1 }, 'Received not described parameters: (size)'],
  ])('%s', async (_, path, body, message) => {
    const answer = await client.call('POST', `${root}/${path}`, body);

    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain(message);
  });

  test('a farm of the other protocol', async () => {
    const { farmId } = await client.post(`${root}/tcp/farm`, { zone: 'all' });

    const answer = await client.call('POST', `${root}/http/frontend`, {
      zone: 'all',
      port: '80',
      defaultFarmId: farmId,
    });

    expect(answer.status).toBe(400);
  });

  test('services that are not ours', async () => {
    expect(await client.call('GET', '/ipLoadbalancing/loadbalancer-none')).toMatchObject({
      status: 404,
      body: { message: 'This service does not exist' },
    });
  });
});

describe('pending changes', () => {
  test('count edits per zone until that zone is refreshed', async () => {
    await refresh(client, api.serviceName);
    const farmId = await aFarm();
    await client.post(`${root}/http/farm`, { zone: 'rbx', port: 1 });
    await client.put(`${root}/http/farm/${farmId}`, { port: 8081 });
    await client.put(`${root}/http/farm/${farmId}`, { port: 8080 });
    expect(await client.get(`${root}/pendingChanges`)).toEqual([
      { zone: 'gra', number: 3 },
      { zone: 'rbx', number: 4 },
    ]);

    expect((await refresh(client, api.serviceName, { zone: 'gra' })).zones).toEqual(['gra']);

    expect(await client.get(`${root}/pendingChanges`)).toEqual([{ zone: 'rbx', number: 4 }]);
  });
});

test('tells about the service what clients look for', async () => {
  expect(await client.get(root)).toMatchObject({
    serviceName: api.serviceName,
    state: 'ok',
    zone: ['gra', 'rbx'],
  });
  expect(await client.get(`${root}/serviceInfos`)).toMatchObject({ status: 'ok' });
  expect(await client.get(`${root}/zone`)).toEqual(['gra', 'rbx']);
  expect(await client.get(`${root}/zone/gra`)).toEqual({ name: 'gra', state: 'ok' });
  expect(await client.get(`${root}/natIp`)).toContainEqual({ zone: 'gra', ip: ['127.0.0.0/8'] });
  expect(await client.get(`${root}/instancesState`)).toMatchObject([
    { state: 'running' },
    { state: 'running' },
  ]);
  expect(await client.get(`${root}/status`)).toMatchObject({ service: { status: 'ok' } });
  expect(await client.get(`${root}/availableFarmProbes`)).toContainEqual(
    expect.objectContaining({ type: 'http' }),
  );
  expect(await client.get('/ipLoadbalancing/availableZones')).toContain('gra');
});
