import { afterEach, beforeEach, expect, test } from 'vitest';

import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { clientOf, type Client } from '../signed-client.js';

let api: OvhApi;
let client: Client;
let root: string;

beforeEach(async () => {
  api = await startOvhApi({ behaviour: { todoMs: 0, doingMs: 0 } });
  client = clientOf(api);
  root = `/ipLoadbalancing/${api.serviceName}`;
});
afterEach(() => api.close());

const aFarm = { zone: 'all', port: 1 };

test('happens to the calls that match, after some, and so many times', async () => {
  api.faults.add({ method: 'GET', path: '*/farm', after: 1, times: 2, action: '500' });

  const statuses = [];
  for (let count = 0; count < 4; count++)
    statuses.push((await client.call('GET', `${root}/http/farm`)).status);

  expect(statuses).toEqual([200, 500, 500, 200]);
  expect((await client.call('GET', root)).status).toBe(200);
});

test.each([
  ['drop-before', 0],
  ['drop-after', 1],
  ['cut-body', 1],
] as const)('%s leaves %i farm behind', async (action, farms) => {
  api.faults.add({ method: 'POST', path: '*', action });

  await expect(client.call('POST', `${root}/http/farm`, aFarm)).rejects.toThrow(/socket hang up|aborted/);

  expect((await client.get(`${root}/http/farm`)).length).toBe(farms);
});

test('hang gives no answer', async () => {
  api.faults.add({ path: '*/farm', action: 'hang' });
  let answered = false;
  const hanging = client.call('GET', `${root}/http/farm`).then(
    () => (answered = true),
    () => 'cut',
  );

  await client.get(root);

  expect(answered).toBe(false);
  await api.close();
  expect(await hanging).toBe('cut');
});

test('latency delays and carries out', async () => {
  api.faults.add({ path: '*', action: 'latency', latencyMs: 100 });
  const begun = performance.now();

  expect((await client.call('POST', `${root}/http/farm`, aFarm)).status).toBe(200);

  expect(performance.now() - begun).toBeGreaterThan(95);
});

test('429 tells when to come again where it is told to', async () => {
  api.faults.add({ path: '*', action: '429', retryAfterS: 7, times: 1 });
  api.faults.add({ path: '*', action: '429' });

  expect(await client.call('GET', root)).toMatchObject({ status: 429, headers: { 'retry-after': '7' } });
  expect((await client.call('GET', root)).headers).not.toHaveProperty('retry-after');
});

test('502-html is a page and no JSON', async () => {
  api.faults.add({ path: '*', action: '502-html' });

  const answer = await client.call('GET', root);

  expect(answer).toMatchObject({ status: 502, headers: { 'content-type': 'text/html' } });
  expect(answer.text).toContain('<html>');
});

test.each([
  ['460', 460, 'This service is expired'],
  ['500', 500, 'Internal server error'],
  ['expired-credential', 403, 'This credential is not valid'],
] as const)('%s refuses with %i', async (action, status, message) => {
  api.faults.add({ path: '*', action });

  expect(await client.call('GET', root)).toMatchObject({ status, body: { message } });
});

test('clock-skew moves the clock that is told and the one that signatures are held against', async () => {
  api.faults.add({ path: '*', action: 'clock-skew', skewMs: 3_600_000 });

  expect((await client.call('GET', root)).body.errorCode).toBe('QUERY_TIME_OUT');
  const told = Number((await client.plain('GET', '/1.0/auth/time')).text);
  expect(told * 1000 - Date.now()).toBeGreaterThan(3_590_000);
  expect((await client.call('GET', root, undefined, { clockOffS: 3600 })).status).toBe(200);
});

test('can be set, seen and cleared over HTTP', async () => {
  const fault = { method: 'GET', path: '/me', action: '500' };
  const set = await client.plain('POST', '/sandbox/faults', JSON.stringify(fault));
  expect((await client.call('GET', '/me')).status).toBe(500);
  expect((await client.plain('GET', '/sandbox/faults')).body).toEqual([
    { id: set.body.id, fault, matched: 1 },
  ]);

  await client.plain('DELETE', `/sandbox/faults/${set.body.id}`);

  expect((await client.call('GET', '/me')).status).toBe(200);
  expect((await client.plain('DELETE', '/sandbox/faults/99')).status).toBe(404);
  expect((await client.plain('POST', '/sandbox/faults', '{"action":"500"}')).status).toBe(400);
  expect((await client.plain('POST', '/sandbox/faults', 'nonsense')).status).toBe(400);
});

test('the journal has every call, what became of it, and no secret', async () => {
  api.faults.add({ method: 'PUT', path: '*', action: 'drop-before' });
  await client.post(`${root}/http/farm`, aFarm);
  await client.call('GET', '/me?x=1', undefined, { applicationSecret: 'wrong' });
  await client.call('PUT', root, { displayName: 'a' }).catch(() => undefined);
  await client.call('POST', root, { password: 'marker' });

  const plain = { by: 'client', faults: [] };
  expect(api.journal.entries).toMatchObject([
    { ...plain, method: 'POST', path: `${root}/http/farm`, body: aFarm, status: 200, signatureOk: true },
    { ...plain, method: 'GET', path: '/me?x=1', body: null, status: 400, signatureOk: false },
    {
      ...plain,
      method: 'PUT',
      path: root,
      body: { displayName: 'a' },
      status: null,
      signatureOk: null,
      faults: ['drop-before'],
    },
    {
      ...plain,
      method: 'POST',
      path: `/1.0${root}`,
      body: { password: '[secret]' },
      status: 404,
      signatureOk: null,
    },
  ]);
});
