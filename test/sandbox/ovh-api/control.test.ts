import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { behaviourNames } from '../../../sandbox/ovh-api/behaviour.js';
import { controls } from '../../../sandbox/ovh-api/control.js';
import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { clientOf, refresh, type Client } from '../signed-client.js';

let api: OvhApi;
let client: Client;
let root: string;

beforeEach(async () => {
  api = await startOvhApi({ behaviour: { todoMs: 0, doingMs: 0 } });
  client = clientOf(api);
  root = `/ipLoadbalancing/${api.serviceName}`;
});
afterEach(() => api.close());

const control = (method: string, path: string, body?: object) =>
  client.plain(method, `/sandbox${path}`, body === undefined ? '' : JSON.stringify(body));
const behave = async (change: object) => {
  const answer = await control('PUT', '/behaviour', change);
  expect(answer.status).toBe(200);
  return answer.body;
};
const aFarm = async (more: object = {}): Promise<number> =>
  (await client.post(`${root}/http/farm`, { zone: 'all', port: 1, ...more })).farmId;

test('tells what can be set, all of it, and the documentation does too', async () => {
  expect((await control('GET', '')).body).toEqual(controls);
  const page = await readFile(new URL('../../../docs/sandbox.md', import.meta.url), 'utf8');
  for (const name of Object.keys(controls)) expect(page).toContain(`\`${name}\``);
  for (const name of behaviourNames) expect(page).toContain(`\`${name}\``);
  for (const name of Object.keys(controls).filter((one) => one.startsWith('GET') && !one.includes(':'))) {
    const [method = '', path = ''] = name.split(' ');
    expect((await client.plain(method, path)).text, name).not.toContain('Got an invalid');
  }
});

test('takes every option of behaviour while it runs, and no other', async () => {
  const before = (await control('GET', '/behaviour')).body;
  expect(Object.keys(before).toSorted()).toEqual([...behaviourNames].toSorted());
  for (const name of behaviourNames) expect(await behave({ [name]: before[name] })).toEqual(before);
  expect((await control('PUT', '/behaviour', { whileBusy: 'explode' })).status).toBe(400);
  expect((await control('PUT', '/behaviour', { nonsense: true })).text).toContain('nonsense');
  expect((await control('GET', '/behaviour')).body).toEqual(before);
});

describe('behaves as it is told', () => {
  test('about keys that an edit leaves out', async () => {
    const farm = await client.post(`${root}/http/farm`, { zone: 'all', port: 1 });
    await behave({ partialPut: 'refuse' });
    const refused = await client.call('PUT', `${root}/http/farm/${farm.farmId}`, { port: 2 });
    expect(refused).toMatchObject({ status: 400, body: { message: '[zone] Missing parameter' } });
    await client.put(`${root}/http/farm/${farm.farmId}`, { zone: 'all', port: 2 });
  });

  test.each([
    ['clear', null],
    ['ignore', 'a'],
  ])('about null: %s', async (nullInPut, displayName) => {
    const farmId = await aFarm({ displayName: 'a' });
    await behave({ nullInPut });
    await client.put(`${root}/http/farm/${farmId}`, { displayName: null });
    expect(await client.get(`${root}/http/farm/${farmId}`)).toMatchObject({ displayName });
  });

  test.each([
    ['keep', 0],
    ['drop', 7],
  ])('about a weight of 0: %s', async (weightZero, weight) => {
    const servers = `${root}/http/farm/${await aFarm()}/server`;
    const { serverId } = await client.post(servers, { address: '10.0.0.1', status: 'active', weight: 7 });
    await behave({ weightZero });
    await client.put(`${servers}/${serverId}`, { weight: 0 });
    expect(await client.get(`${servers}/${serverId}`)).toMatchObject({ weight });
  });

  test('about the shortest interval between probes', async () => {
    await behave({ leastProbeIntervalS: 31 });
    const body = { zone: 'all', probe: { type: 'tcp', interval: 30 } };
    expect((await client.call('POST', `${root}/http/farm`, body)).body.message).toContain('at least 31');
    await aFarm({ probe: { type: 'tcp', interval: 31 } });
  });

  test.each([
    ['edits', 2],
    ['differences', 0],
  ])('about what pendingChanges counts: %s', async (pendingCounts, number) => {
    const farmId = await aFarm();
    await refresh(client, api.serviceName);
    await behave({ pendingCounts, pendingZones: 'all' });
    expect(await client.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 0 }]);
    await client.put(`${root}/http/farm/${farmId}`, { port: 2 });
    expect(await client.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 1 }]);
    await client.put(`${root}/http/farm/${farmId}`, { port: 1 });
    expect(await client.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number }]);
    await client.delete(`${root}/http/farm/${farmId}`);
    await behave({ pendingZones: 'edited' });
    expect(await client.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number: number + 1 }]);
  });

  test('about farms that are in use', async () => {
    const farmId = await aFarm();
    await client.post(`${root}/http/frontend`, { zone: 'all', port: '80', defaultFarmId: farmId });
    expect((await client.call('DELETE', `${root}/http/farm/${farmId}`)).status).toBe(409);
    await behave({ deleteUsedFarm: true });
    await client.delete(`${root}/http/farm/${farmId}`);
  });

  test('about refreshes while another is carried out, and when they begin', async () => {
    await behave({ todoMs: 60_000, whileBusy: 'merge' });
    const { id } = await client.post(`${root}/refresh`);
    expect((await client.post(`${root}/refresh`)).id).toBe(id);
    await behave({ whileBusy: 'reject409' });
    expect((await client.call('POST', `${root}/refresh`)).status).toBe(409);
  });
});

test('ends the next refresh badly, forgets tasks, and tells what each instance runs', async () => {
  const farmId = await aFarm();
  const balancer = `/load-balancers/${api.serviceName}`;
  const ports = async () =>
    (await control('GET', `${balancer}/applied`)).body.map(
      ({ objects }: { objects: { id: number; port: number }[] }) =>
        objects.find(({ id }) => id === farmId)?.port,
    );
  expect(await ports()).toEqual([undefined]);

  await control('POST', `${balancer}/next-refresh`, { status: 'error', afterInstances: 1 });
  const task = await refresh(client, api.serviceName);
  expect(task.status).toBe('error');
  expect(await ports()).toEqual([1]);

  await control('DELETE', `${balancer}/tasks/${task.id}`);
  expect((await client.call('GET', `${root}/task/${task.id}`)).status).toBe(404);
  expect((await control('GET', '/load-balancers/nowhere/applied')).status).toBe(404);
  expect((await control('POST', `${balancer}/next-refresh`, { status: 'done' })).status).toBe(400);
});

test('probes what no frontend reaches where it is told to, and knows no other habit of a data plane', async () => {
  const farmId = await aFarm({ probe: { type: 'tcp', interval: 30 } });
  const server = { address: '10.0.0.1', status: 'active', probe: true };
  const { serverId } = await client.post(`${root}/http/farm/${farmId}/server`, server);
  await refresh(client, api.serviceName);
  const status = async () =>
    (await client.get(`${root}/http/farm/${farmId}/server/${serverId}`)).serverState[0].status;
  expect(await status()).toBe('no check');
  const path = `/load-balancers/${api.serviceName}/data-plane`;
  expect((await control('PUT', path, { probeUnreferenced: true, whenReloaded: 'cut' })).status).toBe(200);
  expect(await status()).toBe('UP');
  expect((await control('PUT', path, { whenReloaded: 'explode' })).status).toBe(400);
});

test('takes what single instances make of a change, where they are there, and refuses anything else', async () => {
  const carrying = await startOvhApi({ dataPlane: startDataPlane({ instancesPerZone: 2 }) });
  try {
    const path = `/sandbox/load-balancers/${carrying.serviceName}/data-plane`;
    const behaveAs = async (instances: object) =>
      clientOf(carrying).plain('PUT', path, JSON.stringify({ instances }));
    const habits = { 16300: { applies: 'late', afterMs: 1 }, 16301: { applies: 'never' } };
    expect(await behaveAs(habits)).toMatchObject({ status: 200, body: { instances: habits } });
    expect((await behaveAs({ 16300: { applies: 'falls back' } })).text).toContain('afterMs');
    expect((await behaveAs({ first: { applies: 'never' } })).text).toContain('instances/first');
    expect(await behaveAs({ 16302: { applies: 'never' } })).toMatchObject({
      status: 404,
      text: expect.stringContaining('needs one of 16300, 16301'),
    });
  } finally {
    await carrying.close();
  }
});

test('lets somebody else call at once, and between the calls that a rule names', async () => {
  const farmId = await aFarm();
  const path = `${root}/http/farm/${farmId}`;
  const edit = { method: 'PUT', path, body: { port: 7 } };
  expect((await control('POST', '/somebody-else', edit)).body).toBeNull();
  expect(await client.get(path)).toMatchObject({ port: 7 });
  expect((await control('POST', '/somebody-else', { ...edit, body: { port: 0 } })).status).toBe(400);

  const calls = [
    { ...edit, body: { port: 8 } },
    { method: 'POST', path: `${root}/refresh` },
  ];
  const rule = { method: 'GET', path: '*/farm/*', after: 1, times: 1, action: 'foreign-editor', calls };
  expect((await control('POST', '/faults', rule)).body.fault).toMatchObject({ when: 'before', times: 1 });
  expect(await client.get(path)).toMatchObject({ port: 7 });
  expect(await client.get(path)).toMatchObject({ port: 8 });
  const byThem = api.journal.entries.filter(({ by }) => by === 'somebody else');
  expect(byThem.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT', 'POST']);

  const later = { ...rule, after: 0, when: 'after', calls: [{ ...edit, body: { port: 9 } }] };
  await control('POST', '/faults', later);
  expect(await client.get(path)).toMatchObject({ port: 8 });
  expect(await client.get(path)).toMatchObject({ port: 9 });
});

test('408-html carries out and tells nothing', async () => {
  api.faults.add({ method: 'POST', path: '*', action: '408-html' });
  const answer = await client.call('POST', `${root}/http/farm`, { zone: 'all' });
  expect(answer).toMatchObject({ status: 408, headers: { 'content-type': 'text/html' } });
  expect((await client.get(`${root}/http/farm`)).length).toBe(1);
});
