import { request } from 'node:https';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { signatureOf } from '../../../ovh/signature.js';
import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';

/**
 * The calls that Terraform's provider for OVHcloud (2.19.0) makes for farms, servers, a frontend and a refresh, byte for
 * byte as it sends them, and the types that it decodes the answers with: where one is different it fails, or leaves
 * objects behind.
 */
let api: OvhApi;

beforeAll(async () => {
  api = await startOvhApi({ behaviour: { todoMs: 10, doingMs: 20 } });
});
afterAll(() => api.close());

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly queryId: unknown;
}

const agent = 'github.com/ovh/go-ovh (Terraform/1.11.4/2.19.0)';

function send(method: string, path: string, body?: string, isSigned = true): Promise<Answer> {
  const { applicationKey, applicationSecret, consumerKey } = api.credentials;
  const timestamp = Math.floor(Date.now() / 1000);
  const url = `${api.url}${path}`;
  const signature = {
    'X-Ovh-Timestamp': String(timestamp),
    'X-Ovh-Consumer': consumerKey,
    'X-Ovh-Signature': signatureOf(
      { method, url, body: body ?? '', timestamp },
      { applicationSecret, consumerKey },
    ),
  };
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method,
        ca: api.caPem,
        agent: false,
        headers: {
          Accept: 'application/json',
          'User-Agent': agent,
          'X-Ovh-Application': applicationKey,
          ...(isSigned && signature),
          ...(body !== undefined && {
            'Content-Type': 'application/json;charset=utf-8',
            'Content-Length': Buffer.byteLength(body),
          }),
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text, queryId: response.headers['x-ovh-queryid'] }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

async function decoded<Kind>(kind: z.ZodType<Kind>, ...call: Parameters<typeof send>): Promise<Kind> {
  const { status, text, queryId } = await send(...call);
  expect([call[0], call[1], status, text.slice(0, status === 200 ? 0 : 200)]).toEqual([
    ...call.slice(0, 2),
    200,
    '',
  ]);
  expect(queryId).toEqual(expect.any(String));
  return kind.parse(JSON.parse(text));
}

const word = z.string().min(1);
const whole = z.int();
const maybe = <Kind extends z.ZodType>(kind: Kind) => kind.nullish();

const Details = z.object({
  account: word,
  method: maybe(z.string()),
  description: maybe(z.string()),
  user: maybe(z.string()),
  identities: maybe(z.array(z.string())),
  roles: maybe(z.array(z.string())),
  allowedRoutes: maybe(z.array(z.object({ method: word, path: word }))),
});
const Service = z.object({
  serviceName: word,
  offer: word,
  ipLoadbalancing: word,
  state: word,
  zone: z.array(z.string()),
  vrackEligibility: z.boolean(),
  displayName: maybe(z.string()),
  ipv4: maybe(z.string()),
  ipv6: maybe(z.string()),
  metricsToken: maybe(z.string()),
  sslConfiguration: maybe(z.string()),
  vrackName: maybe(z.string()),
  orderableZone: z.array(z.unknown()),
  iam: z.object({ urn: word }),
});
const Probe = z.object({
  interval: maybe(whole),
  port: maybe(whole),
  forceSsl: maybe(z.boolean()),
  negate: maybe(z.boolean()),
  match: maybe(z.string()),
  method: maybe(z.string()),
  pattern: maybe(z.string()),
  type: maybe(z.string()),
  url: maybe(z.string()),
});
const Farm = z.object({
  farmId: whole,
  zone: z.string(),
  balance: maybe(z.string()),
  displayName: maybe(z.string()),
  stickiness: maybe(z.string()),
  port: maybe(whole),
  vrackNetworkId: maybe(whole),
  probe: maybe(Probe),
});
const Server = z.object({
  serverId: whole,
  backendId: whole,
  address: z.string(),
  status: z.string(),
  probe: z.boolean(),
  ssl: z.boolean(),
  backup: z.boolean(),
  port: maybe(whole),
  weight: maybe(whole),
  chain: maybe(z.string()),
  cookie: maybe(z.string()),
  displayName: maybe(z.string()),
  onMarkedDown: maybe(z.string()),
  proxyProtocolVersion: maybe(z.string()),
});
const Frontend = z.object({
  frontendId: whole,
  port: z.string(),
  zone: z.string(),
  disabled: z.boolean(),
  ssl: z.boolean(),
  hsts: z.boolean(),
  defaultFarmId: maybe(whole),
  defaultSslId: maybe(whole),
  allowedSource: maybe(z.array(z.string())),
  dedicatedIpfo: maybe(z.array(z.string())),
  httpHeader: maybe(z.array(z.string())),
  displayName: maybe(z.string()),
  redirectLocation: maybe(z.string()),
});
const Task = z.object({
  id: whole,
  action: word,
  status: word,
  progress: whole,
  creationDate: word,
  doneDate: maybe(z.string()),
  zones: z.array(z.string()),
});
const Numbers = z.array(whole);

/** What a frontend is created and switched with. */
const frontend = (farmId: number): string =>
  `{"port":"18090","zone":"all","allowedSource":[],"dedicatedIpfo":[],"defaultFarmId":${farmId},"disabled":false,"ssl":false,"hsts":false,"displayName":"tf-front","httpHeader":[]}`;

test('Terraform creates farms, servers and a frontend, switches it, refreshes, and takes all away', async () => {
  const P = `/ipLoadbalancing/${api.serviceName}`;
  const create = async <Kind>(
    kind: z.ZodType<Kind>,
    list: string,
    body: string,
    id: (made: Kind) => number,
  ) => {
    const made = await decoded(kind, 'POST', list, body);
    return {
      path: `${list}/${id(made)}`,
      id: id(made),
      read: await decoded(kind, 'GET', `${list}/${id(made)}`),
    };
  };

  // Every process of the provider begins with these.
  expect((await send('GET', '/auth/time', undefined, false)).text).toMatch(/^\d{10}$/);
  await decoded(Details, 'GET', '/auth/details');
  expect(await decoded(z.array(word), 'GET', '/ipLoadbalancing')).toEqual([api.serviceName]);
  expect((await decoded(Service, 'GET', P)).serviceName).toBe(api.serviceName);

  const farmBody =
    '{"balance":"roundrobin","displayName":"tf-green","port":8080,"probe":{"forceSsl":false,"interval":30,"match":"status","method":"GET","negate":false,"pattern":"200","type":"http","url":"/health"},"stickiness":null,"zone":"all"}';
  const green = await create(Farm, `${P}/http/farm`, farmBody, ({ farmId }) => farmId);
  expect(green.read).toMatchObject(JSON.parse(farmBody));
  const blue = await create(
    Farm,
    `${P}/http/farm`,
    '{"displayName":"q","port":null,"stickiness":null,"zone":"all"}',
    ({ farmId }) => farmId,
  );
  // A default that is filled in would be a difference for ever.
  expect([blue.read.balance ?? null, blue.read.port ?? null, blue.read.probe ?? null]).toEqual([
    null,
    null,
    null,
  ]);

  const server = await create(
    Server,
    `${green.path}/server`,
    '{"address":"192.0.2.21","backup":false,"displayName":"tf-blue-1","port":8080,"probe":true,"onMarkedDown":null,"ssl":false,"status":"active","weight":3}',
    ({ serverId }) => serverId,
  );
  expect(server.read).toMatchObject({ backendId: green.id, weight: 3, onMarkedDown: null });
  const unweighted = await create(
    Server,
    `${blue.path}/server`,
    '{"address":"192.0.2.31","backup":false,"displayName":"tf-green-1","port":null,"probe":true,"onMarkedDown":null,"ssl":false,"status":"active"}',
    ({ serverId }) => serverId,
  );
  const edit =
    '{"address":"192.0.2.31","backup":false,"chain":null,"displayName":"tf-green-1","port":8080,"probe":true,"proxyProtocolVersion":null,"onMarkedDown":null,"ssl":false,"status":"active"}';
  expect(await send('PUT', unweighted.path, edit)).toMatchObject({ status: 200, text: 'null' });
  expect(await decoded(Server, 'GET', unweighted.path)).toMatchObject({ port: 8080, address: '192.0.2.31' });
  // A farm is edited with all that it was created with, its zone too.
  expect(await send('PUT', green.path, farmBody)).toMatchObject({ status: 200, text: 'null' });
  await decoded(Farm, 'GET', green.path);

  const front = await create(
    Frontend,
    `${P}/http/frontend`,
    frontend(blue.id),
    ({ frontendId }) => frontendId,
  );
  expect(front.read).toMatchObject({ port: '18090', defaultFarmId: blue.id });
  expect(await send('PUT', front.path, frontend(green.id))).toMatchObject({ status: 200, text: 'null' });
  const switched = await decoded(Frontend, 'GET', front.path);
  expect(switched).toMatchObject({ port: '18090', defaultFarmId: green.id });
  expect([switched.allowedSource ?? [], switched.dedicatedIpfo ?? [], switched.httpHeader ?? []]).toEqual([
    [],
    [],
    [],
  ]);

  for (const status of ['todo', 'doing']) {
    expect(await decoded(Numbers, 'GET', `${P}/task?action=refreshIplb&status=${status}`)).toEqual([]);
  }
  const Pending = z.array(z.object({ zone: word, number: whole }));
  expect(await decoded(Pending, 'GET', `${P}/pendingChanges`)).not.toEqual([]);
  let task = await decoded(Task, 'POST', `${P}/refresh`);
  while (task.status !== 'done') {
    expect(['todo', 'doing']).toContain(task.status);
    task = await decoded(Task, 'GET', `${P}/task/${task.id}`);
  }
  expect(await decoded(Pending, 'GET', `${P}/pendingChanges`)).toEqual([]);
  expect(api.admin.appliedOn(16_300)?.get('frontend', front.id)?.fields['defaultFarmId']).toBe(green.id);

  // Frontend and servers in parallel, then the farms. No refresh: the deletions stay stored.
  for (const paths of [
    [front.path, server.path, unweighted.path],
    [green.path, blue.path],
  ]) {
    const answers = await Promise.all(paths.map((path) => send('DELETE', path)));
    expect(answers.map(({ status, text }) => [status, text])).toEqual(paths.map(() => [200, 'null']));
  }
  expect(await send('GET', green.path)).toMatchObject({ status: 404, queryId: expect.any(String) });
  expect(await decoded(Pending, 'GET', `${P}/pendingChanges`)).not.toEqual([]);

  expect(api.journal.entries.filter(({ signatureOk }) => signatureOk === false)).toEqual([]);
});

test('errors have no key that stops Go clients from reading them', async () => {
  const { text, status } = await send('GET', `/ipLoadbalancing/${api.serviceName}/http/farm/1`);
  expect(status).toBe(404);
  const body = JSON.parse(text) as Record<string, unknown>;
  expect(body).not.toHaveProperty('code');
  expect(
    Object.values((body['details'] as object | null) ?? {}).every((value) => typeof value === 'string'),
  ).toBe(true);
  // python-ovh decides by the one, go-ovh shows the other.
  expect(body).toMatchObject({ errorCode: 'NOT_FOUND', class: 'Client::NotFound' });
});
