import https from 'node:https';
import { createRequire } from 'node:module';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { until } from '../program.js';

interface NpmOvh {
  // oxlint-disable-next-line typescript/no-explicit-any
  requestPromised(method: string, path: string, params?: object): Promise<any>;
}
const ovh = createRequire(import.meta.url)('ovh') as (options: object) => NpmOvh;

let api: OvhApi;
let client: NpmOvh;
const trustedBefore = https.globalAgent.options.ca;

beforeAll(async () => {
  api = await startOvhApi({ behaviour: { todoMs: 0, doingMs: 20 } });
  https.globalAgent.options.ca = [api.caPem];
  const { applicationKey, applicationSecret, consumerKey } = api.credentials;
  client = ovh({
    appKey: applicationKey,
    appSecret: applicationSecret,
    consumerKey,
    host: '127.0.0.1',
    port: api.port,
    basePath: '/1.0',
    timeout: 5000,
  });
});
afterAll(async () => {
  https.globalAgent.options.ca = trustedBefore;
  https.globalAgent.destroy();
  await api.close();
});

test('the npm package signs, lists, switches, refreshes and polls', async () => {
  const [serviceName] = await client.requestPromised('GET', '/ipLoadbalancing');
  const root = `/ipLoadbalancing/${serviceName}`;
  const farm = (displayName: string) =>
    client.requestPromised('POST', `${root}/http/farm`, { zone: 'all', port: 8080, displayName });
  const blue = await farm('bleu é');
  const green = await farm('vert');
  const front = await client.requestPromised('POST', `${root}/http/frontend`, {
    port: '80',
    zone: 'all',
    defaultFarmId: blue.farmId,
  });
  expect((await client.requestPromised('GET', `${root}/http/farm/${blue.farmId}`)).displayName).toBe(
    'bleu é',
  );

  const frontend = `${root}/http/frontend/${front.frontendId}`;
  expect(await client.requestPromised('PUT', frontend, { defaultFarmId: green.farmId })).toBeNull();
  const task = await client.requestPromised('POST', `${root}/refresh`);
  const statusOf = async () => (await client.requestPromised('GET', `${root}/task/${task.id}`)).status;
  await until(async () => (await statusOf()) === 'done');

  expect(await client.requestPromised('GET', `${root}/pendingChanges`)).toEqual([]);
  expect(
    await client.requestPromised('GET', `${root}/task`, { action: 'refreshIplb', status: 'done' }),
  ).toEqual([task.id]);
  expect(api.admin.appliedOn(16_300)?.get('frontend', front.frontendId)?.fields['defaultFarmId']).toBe(
    green.farmId,
  );
  expect(api.journal.entries.filter(({ signatureOk }) => signatureOk === false)).toEqual([]);
});

test('the npm package meets an error as its status and message', async () => {
  await expect(client.requestPromised('GET', '/ipLoadbalancing/none')).rejects.toEqual({
    error: 404,
    message: 'This service does not exist',
  });
});

test('the npm package is refused where it does not sign', async () => {
  await expect(client.requestPromised('GET', '/auth/currentCredential')).rejects.toMatchObject({
    error: 403,
  });
});
