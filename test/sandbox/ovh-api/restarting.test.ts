import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startOvhApi, type OvhApi, type OvhApiOptions } from '../../../sandbox/ovh-api/ovh-api.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { until } from '../program.js';
import { clientOf, refresh } from '../signed-client.js';

let directory: string;
const started: OvhApi[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-state-'));
});
afterEach(async () => {
  for (const api of started.splice(0)) await api.close();
  await rm(directory, { recursive: true });
});

async function anApi(options: OvhApiOptions = {}): Promise<OvhApi> {
  const api = await startOvhApi({
    directory,
    stateFile: join(directory, 'state.json'),
    behaviour: { todoMs: 0, doingMs: 0 },
    ...options,
  });
  started.push(api);
  return api;
}
const stop = async (): Promise<void> => started.pop()?.close();

test('goes on where it was: same address, keys, objects, tasks, faults and behaviour', async () => {
  const before = await anApi();
  const client = clientOf(before);
  const root = `/ipLoadbalancing/${before.serviceName}`;
  const farm = await client.post(`${root}/http/farm`, { zone: 'all', port: 1 });
  const task = await refresh(client, before.serviceName);
  await client.put(`${root}/http/farm/${farm.farmId}`, { port: 2 });
  const fault = { method: 'GET', path: '/me', action: '500', times: 1, after: 1 } as const;
  await client.plain('POST', '/sandbox/faults', JSON.stringify(fault));
  await client.plain('PUT', '/sandbox/behaviour', JSON.stringify({ whileBusy: 'reject409' }));
  await client.get('/me');
  const request = { accessRules: [{ method: 'GET', path: '/me' }] };
  const asked = await client.post('/auth/credential', request);
  const second = before.admin.addLoadBalancer(new SilentDataPlane({ zones: ['rbx'] }));
  await until(async () => (await readFile(join(directory, 'state.json'), 'utf8')).includes(second));
  await stop();

  const dataPlane = new SilentDataPlane();
  const after = await anApi({ dataPlane });
  const again = clientOf(after);
  expect(after).toMatchObject({
    url: before.url,
    caPem: before.caPem,
    credentials: before.credentials,
    serviceName: before.serviceName,
  });
  expect(await again.get(`${root}/http/farm/${farm.farmId}`)).toEqual({ ...farm, port: 2 });
  expect(await again.get(`${root}/task/${task.id}`)).toEqual(task);
  expect(await again.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 1 }]);
  expect(after.admin.appliedOn(16_300)?.get('farm', farm.farmId)?.fields['port']).toBe(1);
  expect(dataPlane.applied.get(16_300)?.farms.map(({ farmId }) => farmId)).toEqual([farm.farmId]);
  expect((await again.call('GET', '/me')).status).toBe(500);
  expect((await again.plain('GET', '/sandbox/behaviour')).body).toMatchObject({ whileBusy: 'reject409' });
  expect(
    (await again.plain('GET', new URL(asked.validationUrl).pathname + new URL(asked.validationUrl).search))
      .status,
  ).toBe(200);
  expect(await again.get('/ipLoadbalancing')).toEqual([before.serviceName, second]);
  expect(await again.get(`/ipLoadbalancing/${second}/zone`)).toEqual(['rbx']);
  const next = await again.post(`${root}/http/farm`, { zone: 'all' });
  expect(next.farmId).toBe(farm.farmId + 1);
});

test('carries out after a restart what was ordered before, with what was stored then', async () => {
  const before = await anApi({ behaviour: { todoMs: 3_600_000, doingMs: 0 } });
  const client = clientOf(before);
  const root = `/ipLoadbalancing/${before.serviceName}`;
  const { farmId } = await client.post(`${root}/http/farm`, { zone: 'all', port: 1 });
  const { id } = await client.post(`${root}/refresh`);
  await client.put(`${root}/http/farm/${farmId}`, { port: 2 });
  await client.plain('PUT', '/sandbox/behaviour', JSON.stringify({ todoMs: 0 }));
  await stop();

  const after = await anApi();
  const again = clientOf(after);
  await until(async () => (await again.get(`${root}/task/${id}`)).status === 'done');
  expect(after.admin.appliedOn(16_300)?.get('farm', farmId)?.fields['port']).toBe(1);
  expect(await again.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 1 }]);
});

test('has in its file what it has answered, and for its owner alone', async () => {
  const api = await anApi();
  const path = join(directory, 'state.json');
  const { farmId } = await clientOf(api).post(`/ipLoadbalancing/${api.serviceName}/http/farm`, {
    zone: 'all',
    displayName: 'answered',
  });
  expect(await readFile(path, 'utf8')).toContain(`"id":${farmId}`);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('refuses a file that is not its own', async () => {
  await writeFile(join(directory, 'state.json'), '{"version":7}');
  await expect(anApi()).rejects.toThrow(/Cannot go on from ".*state.json"/);
});

test('listens without TLS too where that is asked for, to signatures over that address', async () => {
  const api = await anApi({ plain: true });
  expect((await fetch(`${api.plainUrl}/auth/time`)).status).toBe(200);
  const { get } = clientOf(api);
  await get('/me');
  const signedForTls = api.journal.entries.length;
  const answer = await fetch(`${api.plainUrl}/me`, {
    headers: { 'x-ovh-application': api.credentials.applicationKey },
  });
  expect(answer.status).toBe(403);
  expect(api.journal.entries.length).toBe(signedForTls + 1);
});
