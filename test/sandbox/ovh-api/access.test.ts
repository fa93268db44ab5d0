import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { isGranted } from '../../../sandbox/ovh-api/access-rules.js';
import type { CredentialState } from '../../../sandbox/ovh-api/account.js';
import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { clientOf, type Client, type Twist } from '../signed-client.js';

let api: OvhApi;
let client: Client;

beforeAll(async () => {
  api = await startOvhApi();
  client = clientOf(api);
});
afterAll(() => api.close());
beforeEach(() => {
  api.admin.setCredentialState(api.credentials.consumerKey, 'validated');
  api.admin.behave({ errorShape: 'both', successStatus: {} });
});

test('is certified by its own authority, whose certificate is in the file that it names', async () => {
  expect(await readFile(api.caFile, 'utf8')).toBe(api.caPem);
  expect(new X509Certificate(api.caPem).ca).toBe(true);
});

test.each(['/1.0', '/v1'])('serves the same tree below %s', async (base) => {
  expect((await client.call('GET', '/ipLoadbalancing', undefined, { base })).body).toEqual([api.serviceName]);
});

test('tells its clock as a bare integer to anybody', async () => {
  const { text } = await client.plain('GET', '/1.0/auth/time');

  expect(text).toMatch(/^\d{10}$/);
});

test('takes a signature over the URL without its port', async () => {
  expect((await client.call('GET', '/me', undefined, { signWithoutPort: true })).status).toBe(200);
});

test('tells the caller a query id, for refusals too', async () => {
  for (const path of ['/me', '/ipLoadbalancing/none', '/nowhere']) {
    expect((await client.call('GET', path)).headers['x-ovh-queryid']).toMatch(/^EU\.ext-1\./);
  }
});

test.each<[string, Twist, number, string, string]>([
  [
    'an unknown application',
    { applicationKey: 'none' },
    403,
    'INVALID_KEY',
    'This application key is invalid',
  ],
  [
    'an unknown consumer key',
    { consumerKey: 'none' },
    403,
    'NOT_CREDENTIAL',
    'This credential does not exist',
  ],
  ['a wrong secret', { applicationSecret: 'wrong' }, 400, 'INVALID_SIGNATURE', 'Invalid signature'],
  ['a clock 31 s late', { clockOffS: -31 }, 400, 'QUERY_TIME_OUT', 'Query out of time'],
  ['a clock 32 s early', { clockOffS: 32 }, 400, 'QUERY_TIME_OUT', 'Query out of time'],
])('refuses %s', async (_, twist, status, errorCode, message) => {
  expect(await client.call('GET', '/me', undefined, twist)).toMatchObject({
    status,
    body: { errorCode, message },
  });
});

test.each<CredentialState>(['expired', 'pendingValidation', 'refused'])(
  'refuses a consumer key that is %s',
  async (state) => {
    api.admin.setCredentialState(api.credentials.consumerKey, state);

    const answer = await client.call('GET', '/me');

    expect(answer).toMatchObject({ status: 403, body: { errorCode: 'INVALID_CREDENTIAL' } });
  },
);

test('refuses who does not sign at all, except for the clock', async () => {
  expect(await client.plain('GET', '/1.0/me')).toMatchObject({ status: 401 });
  const application = { 'X-Ovh-Application': api.credentials.applicationKey };
  expect(await client.plain('GET', '/1.0/auth/currentCredential', '', application)).toMatchObject({
    status: 403,
    body: { errorCode: 'INVALID_CREDENTIAL' },
  });
});

test('grants a consumer key what its rules name, and nothing else', async () => {
  const application = { 'X-Ovh-Application': api.credentials.applicationKey };
  const asked = await client.plain(
    'POST',
    '/1.0/auth/credential',
    JSON.stringify({ accessRules: [{ method: 'GET', path: '/ipLoadbalancing/*' }] }),
    application,
  );
  const { consumerKey, state, validationUrl } = asked.body;
  expect(state).toBe('pendingValidation');
  const path = `/ipLoadbalancing/${api.serviceName}`;
  expect((await client.call('GET', path, undefined, { consumerKey })).status).toBe(403);

  const page = new URL(validationUrl).pathname + new URL(validationUrl).search;
  expect((await client.plain('GET', page)).text).toContain('<code>GET /ipLoadbalancing/*</code>');
  expect((await client.call('GET', path, undefined, { consumerKey })).status).toBe(403);
  expect(await client.plain('POST', page, 'answer=validate&validity=3600')).toMatchObject({ status: 200 });
  expect(await client.plain('POST', page, 'answer=refuse')).toMatchObject({ status: 404 });

  expect((await client.call('GET', path, undefined, { consumerKey })).status).toBe(200);
  expect((await client.call('GET', '/ipLoadbalancing', undefined, { consumerKey })).body).toMatchObject({
    errorCode: 'NOT_GRANTED_CALL',
    message: 'This call has not been granted',
  });
  expect((await client.call('POST', `${path}/refresh`, {}, { consumerKey })).status).toBe(403);
});

describe('a consumer key that was asked for', () => {
  const asked = async () => {
    const application = { 'X-Ovh-Application': api.credentials.applicationKey };
    const wanted = {
      accessRules: [
        { method: 'GET', path: '/auth/*' },
        { method: 'POST', path: '/auth/logout' },
      ],
      redirection: 'https://example.com/?a=1&b="2"',
    };
    const { body } = await client.plain('POST', '/1.0/auth/credential', JSON.stringify(wanted), application);
    const url = new URL(body.validationUrl);
    return { page: url.pathname + url.search, consumerKey: body.consumerKey as string };
  };
  const current = (consumerKey: string) =>
    client.call('GET', '/auth/currentCredential', undefined, { consumerKey });

  test('may be refused, and stays so', async () => {
    const { page, consumerKey } = await asked();
    const { text } = await client.plain('POST', page, 'answer=refuse');
    expect(text).toContain('may not use your account');
    expect(text).toContain('href="https://example.com/?a=1&#38;b=&#34;2&#34;"');
    expect(await current(consumerKey)).toMatchObject({
      status: 403,
      body: { errorCode: 'INVALID_CREDENTIAL' },
    });
  });

  test('ends when the time is over that it was granted for', async () => {
    const { page, consumerKey } = await asked();
    await client.plain('POST', page, 'answer=validate&validity=3600');
    const { expiration } = (await current(consumerKey)).body;
    expect(Date.parse(expiration) - Date.now()).toBeGreaterThan(3_500_000);
    api.faults.add({ path: '/auth/currentCredential', times: 1, action: 'clock-skew', skewMs: 3_700_000 });
    expect(await current(consumerKey)).toMatchObject({ status: 403 });
    expect(await current(consumerKey)).toMatchObject({
      status: 403,
      body: { errorCode: 'INVALID_CREDENTIAL' },
    });
  });

  test('ends itself by logging out', async () => {
    const { page, consumerKey } = await asked();
    await client.plain('POST', page, 'answer=validate');
    expect(await client.call('POST', '/auth/logout', {}, { consumerKey })).toMatchObject({ text: 'null' });
    expect(await current(consumerKey)).toMatchObject({ status: 403 });
  });

  test('changes its state at run time, by number', async () => {
    const { page, consumerKey } = await asked();
    await client.plain('POST', page, 'answer=validate');
    const { credentialId } = (await current(consumerKey)).body;
    const { body: listed, text } = await client.plain('GET', '/sandbox/credentials');
    expect(listed).toContainEqual(expect.objectContaining({ credentialId, state: 'validated' }));
    expect(text).not.toContain(consumerKey);
    for (const state of ['pendingValidation', 'expired', 'refused', 'validated'] as const) {
      await client.plain('PUT', `/sandbox/credentials/${credentialId}`, JSON.stringify({ state }));
      expect((await current(consumerKey)).status).toBe(state === 'validated' ? 200 : 403);
    }
    expect(await client.plain('PUT', '/sandbox/credentials/1', '{}')).toMatchObject({ status: 404 });
    expect(await client.plain('PUT', `/sandbox/credentials/${credentialId}`, '{')).toMatchObject({
      status: 400,
    });
  });
});

test.each([
  ['/x/*', '/x', false],
  ['/x/*', '/x/1', true],
  ['/x/*', '/x/1/y', true],
  ['/*/y', '/x/1/y', true],
  ['/x.y', '/xzy', false],
])('rule %s on %s: %s', (rule, path, granted) => {
  expect(isGranted([{ method: 'GET', path: rule }], 'GET', path)).toBe(granted);
  expect(isGranted([{ method: 'GET', path: rule }], 'PUT', path)).toBe(false);
});

test('tells who is calling', async () => {
  expect(await client.get('/auth/currentCredential')).toMatchObject({
    status: 'validated',
    allowedIPs: null,
  });
  expect(await client.get('/auth/details')).toMatchObject({ method: 'account', account: 'xx00000-ovh' });
  expect(await client.get('/me')).toMatchObject({ nichandle: 'xx00000-ovh', ovhSubsidiary: 'FR' });
});

test.each([
  ['class', { class: 'Client::BadRequest', message: 'Invalid signature', details: {} }],
  [
    'errorCode',
    { errorCode: 'INVALID_SIGNATURE', httpCode: '400 Bad Request', message: 'Invalid signature' },
  ],
  ['message', { message: 'Invalid signature' }],
] as const)('words errors by %s where that is asked for', async (errorShape, body) => {
  api.admin.behave({ errorShape });

  expect((await client.call('GET', '/me', undefined, { applicationSecret: 'wrong' })).body).toEqual(body);
});

test('tells success with other statuses where that is asked for', async () => {
  api.admin.behave({ successStatus: { PUT: 204 } });

  const answer = await client.call('PUT', `/ipLoadbalancing/${api.serviceName}`, { displayName: 'mine' });

  expect(answer).toMatchObject({ status: 204, text: '' });
});

describe('service accounts', () => {
  const token = async (form: Record<string, string>) =>
    client.plain('POST', '/auth/oauth2/token', new URLSearchParams(form).toString(), {
      'Content-Type': 'application/x-www-form-urlencoded',
    });

  test('get a token only with a scope', async () => {
    const { clientId, clientSecret } = api.credentials;
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret };

    expect((await token(form)).body).toEqual({ error: 'invalid_scope' });
    const { body } = await token({ ...form, scope: 'all' });
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 3599 });
    const bearer = { Authorization: `Bearer ${body.access_token}` };
    expect((await client.plain('GET', '/1.0/me', '', bearer)).status).toBe(200);

    api.admin.account.expireTokens();
    expect((await client.plain('GET', '/1.0/me', '', bearer)).status).toBe(401);
  });

  test('are told which action they lack', async () => {
    const { clientId, clientSecret } = api.admin.account.addServiceAccount(['loadbalancer:apiovh:get']);
    const issued = api.admin.account.issueToken(clientId, clientSecret);
    const bearer = { Authorization: `Bearer ${issued?.token}` };
    const path = `/1.0/ipLoadbalancing/${api.serviceName}`;

    expect((await client.plain('GET', path, '', bearer)).status).toBe(200);
    expect((await client.plain('POST', `${path}/refresh`, '', bearer)).body).toMatchObject({
      class: 'Client::Forbidden',
      details: { unauthorizedActionsByIAM: 'loadbalancer:apiovh:refresh' },
    });
    const actions = ['loadbalancer:apiovh:get', 'loadbalancer:apiovh:http/farm/edit'];
    const check = await client.plain(
      'POST',
      `/v2/iam/resource/urn:v1:eu:resource:loadbalancer:${api.serviceName}/authorization/check`,
      JSON.stringify({ actions }),
      { ...bearer, 'Content-Type': 'application/json' },
    );
    expect(check.body).toEqual({ authorizedActions: [actions[0]], unauthorizedActions: [actions[1]] });
    expect(
      await client.plain('POST', '/v2/iam/resource/lb-1/authorization/check', '{"actions":[]}', bearer),
    ).toMatchObject({ status: 400, body: { errorCode: 'INVALID_RESOURCE_URN' } });

    await client.plain('DELETE', '/sandbox/tokens');
    expect(await client.plain('GET', path, '', bearer)).toMatchObject({ status: 401 });
  });
});
