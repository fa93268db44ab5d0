import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Secret } from '../../domain/secret.js';
import { createOvhApi, type OvhApiOptions, type OvhCall, type OvhClient } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';
import { startOvhApi, type OvhApi as Emulator } from '../../sandbox/ovh-api/ovh-api.js';

let emulator: Emulator;
const clients: OvhClient[] = [];

beforeAll(async () => {
  emulator = await startOvhApi({ behaviour: { todoMs: 0, doingMs: 0 } });
});
afterEach(() => {
  emulator.admin.account.tokenLifetimeS = 3599;
  emulator.faults.clear();
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => emulator.close());

interface AnAccount {
  readonly client: OvhClient;
  readonly calls: OvhCall[];
  readonly tokens: () => number;
}

function anAccount(
  keys: { readonly clientId: string; readonly clientSecret: string } = emulator.credentials,
  options: Partial<OvhApiOptions> = {},
): AnAccount {
  const calls: OvhCall[] = [];
  const client = createOvhApi({
    endpoint: emulator.url,
    caFile: emulator.caFile,
    keys: { clientId: new Secret(keys.clientId), clientSecret: new Secret(keys.clientSecret) },
    rate: { perSecond: 10_000, burst: 10_000 },
    readDeadlineMs: 5_000,
    writeDeadlineMs: 5_000,
    onCall: (call) => calls.push(call),
    ...options,
  });
  clients.push(client);
  return { client, calls, tokens: () => calls.filter(({ path }) => path.endsWith('/token')).length };
}

const errorOf = async (promise: Promise<unknown>): Promise<OvhError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OvhError);
  return error as OvhError;
};

const root = (): string => `/ipLoadbalancing/${emulator.serviceName}`;

test('reads, writes, clears and deletes with one token, which many ask for at once', async () => {
  const { client, tokens } = anAccount();
  await Promise.all(Array.from({ length: 20 }, () => client.get('/me')));
  const made = await client.post(`${root()}/http/farm`, { zone: 'all', port: 80, displayName: 'é ☂' });
  const farm = `${root()}/http/farm/${(made as { farmId: number }).farmId}`;
  await client.put(farm, { displayName: null });
  expect(await client.get(farm)).toMatchObject({ displayName: null });
  await client.delete(farm);
  expect(tokens()).toBe(1);
});

test('reaches /v2, which stands beside /1.0', async () => {
  const { client } = anAccount(emulator.admin.account.addServiceAccount(['loadbalancer:apiovh:get']));
  const urn = `urn:v1:eu:resource:loadbalancer:${emulator.serviceName}`;
  expect(
    await client.post(`/v2/iam/resource/${urn}/authorization/check`, {
      actions: ['loadbalancer:apiovh:get', 'loadbalancer:apiovh:refresh'],
    }),
  ).toEqual({
    authorizedActions: ['loadbalancer:apiovh:get'],
    unauthorizedActions: ['loadbalancer:apiovh:refresh'],
  });
});

test('renews its token before it expires', async () => {
  emulator.admin.account.tokenLifetimeS = 1;
  const { client, calls, tokens } = anAccount();
  while (tokens() < 3) await client.get('/auth/time');
  expect(calls.map(({ status }) => status).filter((status) => status !== 200)).toEqual([]);
});

test('fetches another token once when one is refused, for writes too', async () => {
  const { client, tokens } = anAccount();
  await client.get('/me');
  emulator.admin.account.expireTokens();
  emulator.journal.clear();
  await client.post(`${root()}/http/farm`, { zone: 'all', port: 80 });
  expect(emulator.journal.calls('POST', '/http/farm').map(({ status }) => status)).toEqual([401, 200]);
  expect(tokens()).toBe(2);
});

test('gives up when the second token is refused too', async () => {
  emulator.admin.account.tokenLifetimeS = 0.000_001;
  const { client, tokens } = anAccount();
  expect(await errorOf(client.post(`${root()}/http/farm`, { zone: 'all' }))).toMatchObject({
    status: 401,
    ambiguous: false,
  });
  expect(tokens()).toBe(2);
});

test('with a wrong secret is told so, without a doubt about the write and without the secret', async () => {
  const { clientId } = emulator.credentials;
  const { client, calls } = anAccount({ clientId, clientSecret: 'hunter2' });
  emulator.journal.clear();
  const error = await errorOf(client.post(`${root()}/http/farm`, { zone: 'all' }));
  expect(error).toMatchObject({
    trouble: 'refused',
    errorCode: 'invalid_client',
    method: 'POST',
    ambiguous: false,
    passing: false,
  });
  expect(emulator.journal.entries).toEqual([]);
  expect(JSON.stringify([calls, error.message])).not.toContain('hunter2');
});

test('whose token server cannot be reached leaves no doubt about a write', async () => {
  const { client } = anAccount(emulator.credentials, { tokenUrl: 'https://127.0.0.1:1/token' });
  const error = await errorOf(client.post(`${root()}/http/farm`, { zone: 'all' }));
  expect(error).toMatchObject({ trouble: 'token', ambiguous: false, passing: true });
});

test('names the action that IAM does not allow', async () => {
  const { client } = anAccount(emulator.admin.account.addServiceAccount(['loadbalancer:apiovh:get']));
  expect(await errorOf(client.post(`${root()}/refresh`))).toMatchObject({
    status: 403,
    deniedActions: 'loadbalancer:apiovh:refresh',
  });
});
