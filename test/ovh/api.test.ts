import { once } from 'node:events';
import https from 'node:https';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../domain/secret.js';
import { createOvhApi, type OvhApiOptions, type OvhCall, type OvhClient } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';
import { realTime } from '../../ovh/time.js';
import { startOvhApi, type OvhApi as Emulator } from '../../sandbox/ovh-api/ovh-api.js';

let emulator: Emulator;
const clients: OvhClient[] = [];
const sharedAgent = https.globalAgent;

beforeAll(async () => {
  emulator = await startOvhApi({ behaviour: { todoMs: 0, doingMs: 0 } });
});
afterEach(() => {
  emulator.faults.clear();
  emulator.admin.behave({ successStatus: {}, clockWindowMs: 30_000 });
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => emulator.close());

function aClient(options: Partial<OvhApiOptions> = {}): OvhClient {
  const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
  const client = createOvhApi({
    endpoint: emulator.url,
    caFile: emulator.caFile,
    keys: {
      applicationKey: new Secret(applicationKey),
      applicationSecret: new Secret(applicationSecret),
      consumerKey: new Secret(consumerKey),
    },
    rate: { perSecond: 10_000, burst: 10_000 },
    readDeadlineMs: 5_000,
    writeDeadlineMs: 5_000,
    ...options,
  });
  clients.push(client);
  return client;
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
const aFrontend = async (client: OvhClient): Promise<string> => {
  const made = await client.post(`${root()}/http/frontend`, {
    port: '8080',
    zone: 'all',
    displayName: 'before',
  });
  return `${root()}/http/frontend/${(made as { frontendId: number }).frontendId}`;
};

describe('calls', () => {
  test('are signed, with query and body, through the package', async () => {
    const client = aClient();
    emulator.journal.clear();
    const frontend = await aFrontend(client);
    await client.put(frontend, { displayName: 'after é ☂' });
    expect(await client.get(frontend)).toMatchObject({ displayName: 'after é ☂' });
    expect(await client.get(`${root()}/http/frontend`, { query: { port: '8080' } })).toHaveLength(1);
    await client.delete(frontend);
    const signed = emulator.journal.entries.filter(({ path }) => path !== '/auth/time');
    expect(signed.map(({ signatureOk }) => signatureOk)).toEqual([true, true, true, true, true]);
  });

  test('do not touch what they are given, nor the agent that others use', async () => {
    const client = aClient();
    const frontend = await aFrontend(client);
    const body = { displayName: 'kept', port: undefined };
    await client.put(frontend, body);
    expect(body).toEqual({ displayName: 'kept', port: undefined });
    expect(https.globalAgent).toBe(sharedAgent);
    await client.delete(frontend);
  });

  test('clear a field with null, which the package cannot', async () => {
    const client = aClient();
    const frontend = await aFrontend(client);
    await client.put(frontend, { displayName: null });
    expect(await client.get(frontend)).toMatchObject({ displayName: null });
    await client.delete(frontend);
  });

  test('reach signed paths below /auth, which the package sends unsigned', async () => {
    expect(await aClient().get('/auth/currentCredential')).toMatchObject({ status: 'validated' });
  });

  test('reach /v2, which stands beside /1.0', async () => {
    const urn = `urn:v1:eu:resource:loadbalancer:${emulator.serviceName}`;
    const actions = ['loadbalancer:apiovh:refresh'];
    const checked = await aClient().post(`/v2/iam/resource/${urn}/authorization/check`, { actions });
    expect(checked).toEqual({ authorizedActions: actions, unauthorizedActions: [] });
  });

  test('that write go over connections of their own, which no server can have closed meanwhile', async () => {
    let connections = 0;
    const relay = createServer((near) => {
      connections++;
      const far = connect(emulator.port, '127.0.0.1');
      near.pipe(far).pipe(near);
      near.on('error', () => far.destroy());
      far.on('error', () => near.destroy());
    }).listen(0, '127.0.0.1');
    await once(relay, 'listening');
    try {
      const { port } = relay.address() as AddressInfo;
      const client = aClient({ endpoint: `https://127.0.0.1:${port}/1.0` });
      const frontend = await aFrontend(client);
      for (let count = 0; count < 3; count++) await client.get(frontend);
      const before = connections;
      for (let count = 0; count < 3; count++) await client.get(frontend);
      expect(connections - before).toBe(0);
      for (let count = 0; count < 3; count++) await client.put(frontend, { displayName: `name ${count}` });
      expect(connections - before).toBe(3);
    } finally {
      relay.close();
    }
  });

  test('of one credential share its rate, whoever makes them', async () => {
    const { applicationKey, applicationSecret } = emulator.credentials;
    const application = emulator.admin.account.application(applicationKey);
    if (!application) throw new Error('the emulator has lost its application');
    const everything = [{ method: 'GET', path: '/*' }];
    const [busy, idle] = [0, 1].map(
      () =>
        emulator.admin.account.addCredential(application, { rules: everything, state: 'validated' })
          .consumerKey,
    );
    const withKey = (consumerKey = ''): OvhClient =>
      aClient({
        keys: {
          applicationKey: new Secret(applicationKey),
          applicationSecret: new Secret(applicationSecret),
          consumerKey: new Secret(consumerKey),
        },
        rate: { perSecond: 0.001, burst: 3 },
      });
    // Each asks for the time once. The three turns of this key are then used up, by two clients together.
    await withKey(busy).get('/me');
    const impatient = AbortSignal.timeout(300);
    await expect(withKey(busy).get('/me', { signal: impatient })).rejects.toThrow(/timeout|aborted/i);
    expect(await withKey(idle).get('/me')).toMatchObject({ nichandle: expect.any(String) });
  });

  test('ask for the time once, however many start at once', async () => {
    const client = aClient();
    emulator.journal.clear();
    await Promise.all(Array.from({ length: 20 }, () => client.get('/me')));
    expect(emulator.journal.calls('GET', '/auth/time')).toHaveLength(1);
  });

  test('tell status, query id and duration of each, and nothing secret', async () => {
    const calls: OvhCall[] = [];
    const client = aClient({ onCall: (call) => calls.push(call) });
    await client.get('/me');
    await errorOf(client.get('/nowhere'));
    expect(calls.map(({ path, status }) => [path, status])).toEqual([
      ['/auth/time', 200],
      ['/me', 200],
      ['/nowhere', 404],
    ]);
    expect(calls.every(({ queryId }) => queryId?.startsWith('EU.ext'))).toBe(true);
    await client.post('/auth/credential', {
      accessRules: [{ method: 'GET', path: '/me' }],
      consumerKey: 'hunter2',
    });
    expect(calls.at(-1)).toMatchObject({
      sent: { accessRules: [{ method: 'GET', path: '/me' }], consumerKey: '[secret]' },
    });
    const told = JSON.stringify(calls);
    expect(told).not.toContain('hunter2');
    for (const secret of Object.values(emulator.credentials)) expect(told).not.toContain(secret);
  });

  test.each([201, 204])('take %i for success', async (status) => {
    const client = aClient();
    emulator.admin.behave({ successStatus: { PUT: status, POST: 201, GET: status === 204 ? 200 : status } });
    const frontend = await aFrontend(client);
    await client.put(frontend, { displayName: 'x' });
    expect(await client.get(frontend)).toMatchObject({ displayName: 'x' });
    emulator.admin.behave({ successStatus: { DELETE: 204 } });
    expect(await client.delete(frontend)).toBeNull();
  });
});

describe('an error', () => {
  test('says what the API said', async () => {
    const error = await errorOf(aClient().get(`${root()}/http/farm/12`));
    expect(error).toMatchObject({
      trouble: 'refused',
      status: 404,
      class: 'Client::NotFound',
      method: 'GET',
      path: `${root()}/http/farm/12`,
      ambiguous: false,
    });
    expect(error.message).toContain('farmId = 12');
    expect(error.queryId).toMatch(/^EU\.ext/);
  });

  test.each([
    ['drop-before', { trouble: 'cut', ambiguous: true }],
    ['drop-after', { trouble: 'cut', ambiguous: true }],
    ['cut-body', { trouble: 'cut', ambiguous: true }],
    ['hang', { trouble: 'late', ambiguous: true }],
    ['500', { trouble: 'refused', status: 500, ambiguous: true }],
    ['502-html', { trouble: 'garbled', status: 502, ambiguous: true }],
    ['429', { trouble: 'refused', status: 429, ambiguous: false }],
    ['460', { trouble: 'refused', status: 460, ambiguous: false }],
    ['expired-credential', { trouble: 'refused', status: 403, ambiguous: false }],
  ] as const)(
    'of a write that meets %s is told apart, and the write is not repeated',
    async (action, facts) => {
      const client = aClient({ writeDeadlineMs: action === 'hang' ? 300 : 5_000 });
      await client.get('/me');
      emulator.faults.add({ method: 'POST', path: '*/http/frontend', action });
      emulator.journal.clear();
      expect(await errorOf(aFrontend(client))).toMatchObject(facts);
      expect(emulator.journal.calls('POST', '/http/frontend')).toHaveLength(1);
    },
  );

  test('of a server that refuses connections is no doubt about a write', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as { port: number };
    gone.close();
    await once(gone, 'close');
    const client = aClient({ endpoint: `https://127.0.0.1:${port}/1.0`, readDeadlineMs: 2_000 });
    const error = await errorOf(client.put('/me', { a: 1 }));
    expect(error).toMatchObject({ trouble: 'clock', ambiguous: false });
    expect(error.message).toContain('ECONNREFUSED');
  });

  test('of a certificate that nobody vouches for names it', async () => {
    const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
    const client = createOvhApi({
      endpoint: emulator.url,
      keys: {
        applicationKey: new Secret(applicationKey),
        applicationSecret: new Secret(applicationSecret),
        consumerKey: new Secret(consumerKey),
      },
      readDeadlineMs: 2_000,
    });
    clients.push(client);
    expect((await errorOf(client.get('/me'))).message).toMatch(/certificate/i);
  });
});

describe('reads', () => {
  test.each(['drop-before', 'cut-body', '500', '502-html'] as const)('outlast %s', async (action) => {
    emulator.faults.add({ path: '/me', times: 2, action });
    expect(await aClient().get('/me')).toMatchObject({ nichandle: expect.any(String) });
  });

  test('outlast a server that once says nothing', async () => {
    emulator.faults.add({ path: '/me', times: 1, action: 'hang' });
    expect(await aClient({ readDeadlineMs: 1_000 }).get('/me')).toMatchObject({
      nichandle: expect.any(String),
    });
  });

  test('wait as long as the API asks', async () => {
    const client = aClient();
    await client.get('/me');
    emulator.faults.add({ path: '/me', times: 1, action: '429', retryAfterS: 1 });
    const startedAtMs = performance.now();
    await client.get('/me');
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(990);
  });

  test('are not repeated when the API says no', async () => {
    const client = aClient();
    emulator.journal.clear();
    await errorOf(client.get(`${root()}/http/farm/12`));
    expect(emulator.journal.calls('GET', '/http/farm/12')).toHaveLength(1);
  });

  test('end with the reason of a caller who gives up, in the middle of a silent call too', async () => {
    emulator.faults.add({ path: '/me', action: 'hang' });
    const gone = new AbortController();
    const read = aClient({ onCall: () => gone.abort(new Error('cancelled')) }).get('/me', {
      signal: gone.signal,
    });
    await expect(read).rejects.toThrow('cancelled');
  });
});

describe('keys that were replaced', () => {
  const application = () => {
    const found = emulator.admin.account.application(emulator.credentials.applicationKey);
    if (!found) throw new Error('the emulator has lost its application');
    return found;
  };
  const keysWith = (consumerKey: string, secret = emulator.credentials.applicationSecret) => ({
    applicationKey: new Secret(emulator.credentials.applicationKey),
    applicationSecret: new Secret(secret),
    consumerKey: new Secret(consumerKey),
  });
  const aKey = (): string =>
    emulator.admin.account.addCredential(application(), {
      rules: ['GET', 'POST', 'DELETE'].map((method) => ({ method, path: '/*' })),
      state: 'validated',
    }).consumerKey;

  test('are asked for once when the API refuses the old ones, and nothing is done twice', async () => {
    const [old, fresh] = [aKey(), aKey()];
    let asked = 0;
    const client = aClient({ keys: keysWith(old), renewKeys: async () => (asked++, keysWith(fresh)) });
    await client.get('/me');
    emulator.admin.setCredentialState(old, 'expired');
    emulator.journal.clear();
    const frontend = await aFrontend(client);
    await Promise.all(Array.from({ length: 8 }, () => client.get('/me')));
    expect(asked).toBe(1);
    const writes = emulator.journal.calls('POST', '/http/frontend');
    expect(writes.map(({ status }) => status)).toEqual([403, 200]);
    await client.delete(frontend);
  });

  test('are asked for when a secret does not fit any more, once its clock is out of question', async () => {
    const fresh = keysWith(aKey());
    const client = aClient({ keys: keysWith(aKey(), 'wrong'), renewKeys: async () => fresh });
    expect(await client.get('/me')).toMatchObject({ nichandle: expect.any(String) });
  });

  test('are no reason to call again when they are the same', async () => {
    const old = aKey();
    const client = aClient({ keys: keysWith(old), renewKeys: async () => keysWith(old) });
    emulator.admin.setCredentialState(old, 'refused');
    emulator.journal.clear();
    expect(await errorOf(client.get('/me'))).toMatchObject({ errorCode: 'INVALID_CREDENTIAL' });
    expect(emulator.journal.calls('GET', '/me')).toHaveLength(1);
  });
});

describe('the clock', () => {
  test('is asked for again when the API doubts it', async () => {
    const client = aClient();
    await client.get('/me');
    emulator.faults.add({ path: '*', action: 'clock-skew', skewMs: 3_600_000 });
    expect(await client.get('/me')).toMatchObject({ nichandle: expect.any(String) });
    const frontend = await aFrontend(client);
    await client.delete(frontend);
  });

  test('is read again when that fails, and a write that it keeps from being signed is no doubt', async () => {
    emulator.faults.add({ path: '/auth/time', times: 2, action: 'drop-before' });
    expect(await aClient().get('/me')).toMatchObject({ nichandle: expect.any(String) });

    emulator.faults.clear();
    emulator.faults.add({ path: '/auth/time', action: '500' });
    emulator.journal.clear();
    const error = await errorOf(aFrontend(aClient()));
    expect(error).toMatchObject({ trouble: 'clock', ambiguous: false, passing: true });
    expect(emulator.journal.calls('POST', '/http/frontend')).toEqual([]);
  });

  test('is read by one of all who find it old', async () => {
    let aheadMs = 0;
    const client = aClient({ time: { ...realTime, nowMs: () => realTime.nowMs() + aheadMs } });
    await client.get('/me');
    aheadMs = 11 * 60_000;
    emulator.journal.clear();
    await Promise.all(Array.from({ length: 8 }, () => client.get('/me')));
    expect(emulator.journal.calls('GET', '/auth/time')).toHaveLength(1);
  });

  test('is told in milliseconds', async () => {
    const now = await aClient().time();
    expect(Math.abs(now - Date.now())).toBeLessThan(30_000);
  });

  test('that is still doubted after that is an error that says so', async () => {
    const client = aClient();
    emulator.admin.behave({ clockWindowMs: -1 });
    const error = await errorOf(client.get('/me'));
    expect(error).toMatchObject({ errorCode: 'QUERY_TIME_OUT', aboutTime: true });
  });
});

test.each(['', ' key', 'key\n', '"key"'])('refuses the key %j without showing it', (value) => {
  const keys = {
    applicationKey: new Secret('a'),
    applicationSecret: new Secret('b'),
    consumerKey: new Secret(value),
  };
  expect(() => createOvhApi({ endpoint: 'ovh-eu', keys })).toThrow(
    /Cannot use the consumer key: .* needs letters/,
  );
});

test('refuses paths in which the package would replace words', async () => {
  await expect(aClient().get('/me/{x}')).rejects.toThrow('without braces');
});
