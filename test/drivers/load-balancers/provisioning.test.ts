import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { colors, type Color } from '../../../domain/color.js';
import { SecretName, ServerName, ServiceId } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhIplbSettings, Server } from '../../../domain/service.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { endless } from '../../../drivers/patience.js';
import { allTo } from '../../../domain/split.js';
import { discover, proposalFor } from '../../../drivers/load-balancers/ovh-iplb/discovery.js';
import { markerOf, type Wish } from '../../../drivers/load-balancers/ovh-iplb/provisioning-plan.js';
import { Provisioner, type Provisioned } from '../../../drivers/load-balancers/ovh-iplb/provisioning.js';
import { createOvhApi, type OvhApi, type OvhCall, type OvhClient } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { provisionRights, selfRights } from '../../../ovh/rights.js';
import { startOvhApi, type OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';

let emulator: Emulator;
let root: string;
let production: number;
const clients: OvhClient[] = [];

beforeEach(async () => {
  emulator = await startOvhApi({ behaviour: { todoMs: 0, doingMs: 0 } });
  root = `/ipLoadbalancing/${emulator.serviceName}`;
  const made = await emulator.admin.editAsSomebodyElse('POST', `${root}/http/frontend`, {
    port: '80',
    zone: 'all',
  });
  production = (made as { frontendId: number }).frontendId;
  await emulator.admin.editAsSomebodyElse('POST', `${root}/http/farm`, {
    zone: 'all',
    displayName: 'theirs',
  });
  await published();
  emulator.journal.clear();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await emulator.close();
});

/** Publishes what is stored, as somebody else. */
async function published(name = emulator.serviceName): Promise<void> {
  await emulator.admin.refreshAsSomebodyElse(name);
  while ((await pending(name)).length > 0) await sleep(1);
}
const pending = async (name = emulator.serviceName): Promise<readonly unknown[]> => {
  const answer = await emulator.admin.editAsSomebodyElse('GET', `/ipLoadbalancing/${name}/pendingChanges`);
  return answer as readonly unknown[];
};

function aClient(onCall: (call: OvhCall) => void = () => undefined, consumerKey?: string): OvhClient {
  const { credentials } = emulator;
  const client = createOvhApi({
    endpoint: emulator.url,
    caFile: emulator.caFile,
    keys: {
      applicationKey: new Secret(credentials.applicationKey),
      applicationSecret: new Secret(credentials.applicationSecret),
      consumerKey: new Secret(consumerKey ?? credentials.consumerKey),
    },
    rate: { perSecond: 10_000, burst: 10_000 },
    readDeadlineMs: 2_000,
    writeDeadlineMs: 300,
    onCall,
  });
  clients.push(client);
  return client;
}

function aServer(color: Color, index: number): Server {
  const port = 8080 + index;
  return {
    name: ServerName(`${color}-${index}`),
    color,
    address: color === 'blue' ? '10.0.0.1' : '10.0.0.2',
    port,
    unit: 'greeter.service',
    directory: '/srv/greeter',
    probe: { address: '127.0.0.1', port },
    connection: { driver: 'in-memory', world: 'servers' },
  };
}

function aWish(changed: Partial<Wish> = {}): Wish {
  const secret = { secret: SecretName('unused') };
  const settings: OvhIplbSettings = {
    driver: 'ovh-iplb',
    api: { endpoint: emulator.url, applicationKey: secret, applicationSecret: secret, consumerKey: secret },
    serviceName: emulator.serviceName,
    protocol: 'http',
    frontends: [production],
    stagingFrontend: 1,
    farms: { blue: 1, green: 2 },
    refreshDeadlineMs: 5_000,
  };
  return {
    service: {
      id: ServiceId('greeter', 'production'),
      environments: {
        blue: [aServer('blue', 0), aServer('blue', 1)],
        green: [aServer('green', 0), aServer('green', 1)],
      },
      health: { path: '/health', status: 200, timeoutMs: 1_000 },
    },
    settings,
    missing: { farms: colors, stagingFrontend: true },
    stagingSources: ['127.0.0.1/32'],
    ...changed,
  };
}

const quiet = (): void => undefined;

async function provisioned(wish = aWish(), client = aClient(), publishStaged = false): Promise<Provisioned> {
  const provisioner = new Provisioner(client, wish, { graceMs: 20 });
  return provisioner.apply(await provisioner.survey(), publishStaged, quiet);
}

/** Everything that is stored, by kind, without numbers and probes. */
async function stored(): Promise<readonly string[]> {
  const client = aClient();
  const [found] = await discover(client, emulator.serviceName);
  const { farms, servers, frontends } = found!.configuration;
  return [
    ...[...farms.values()].map(({ displayName }) => `farm ${String(displayName)}`),
    ...[...servers.values()].map(({ address, port }) => `server ${address}:${port}`),
    ...[...frontends.values()].map(({ port }) => `frontend ${String(port)}`),
  ].toSorted();
}

const whole = [
  'farm theirs',
  'farm verdigris:greeter@production:blue',
  'farm verdigris:greeter@production:green',
  'frontend 80',
  'frontend 8888',
  'server 10.0.0.1:8080',
  'server 10.0.0.1:8081',
  'server 10.0.0.2:8080',
  'server 10.0.0.2:8081',
];

const refreshes = () => emulator.journal.calls('POST', '/refresh').filter(({ by }) => by === 'client');

test('creates two farms, their servers and a staging frontend, in one refresh, and nothing the second time', async () => {
  const made = await provisioned();
  expect(await stored()).toEqual(whole);
  expect(await pending()).toEqual([]);
  const applied = emulator.admin.appliedOn(16_300);
  expect(applied?.get('frontend', made.stagingFrontend)?.fields).toMatchObject({
    defaultFarmId: made.farms.green,
    allowedSource: ['127.0.0.1/32'],
  });
  expect(applied?.get('farm', made.farms.blue)?.fields['probe']).toMatchObject({
    url: '/health',
    pattern: '200',
  });

  const again = await provisioned();
  expect(again).toEqual({ ...made, created: [] });
  expect(refreshes()).toHaveLength(1);
  const methods = emulator.journal.entries.filter(({ by }) => by === 'client').map(({ method }) => method);
  expect(new Set(methods)).toEqual(new Set(['GET', 'POST']));
});

test('needs no other rights than those that it asks for', async () => {
  const { account } = emulator.admin;
  const application = account.application(emulator.credentials.applicationKey);
  const rules = [...selfRights, ...provisionRights(aWish().settings)];
  const { consumerKey } = account.addCredential(application!, { rules, state: 'validated' });
  await provisioned(aWish(), aClient(undefined, consumerKey));
  expect(emulator.journal.entries.filter(({ status }) => status === 403)).toEqual([]);
});

describe('when the answer to a write is lost', () => {
  const writes = [...Array(8).keys()];
  test.each(['drop-before', 'drop-after', 'cut-body', 'hang', '500', '502-html', '429'] as const)(
    'by %s, at any write, everything is there once',
    async (action) => {
      for (const after of writes) {
        const name = emulator.admin.addLoadBalancer(emulatorPlane());
        const front = await emulator.admin.editAsSomebodyElse(
          'POST',
          `/ipLoadbalancing/${name}/http/frontend`,
          {
            port: '80',
            zone: 'all',
          },
        );
        await published(name);
        const path = `/ipLoadbalancing/${name}`;
        const wish = aWish();
        const settings = {
          ...wish.settings,
          serviceName: name,
          frontends: [(front as { frontendId: number }).frontendId],
        };
        emulator.faults.clear();
        emulator.faults.add({ method: 'POST', path: `${path}/*`, after, times: 1, action });
        await provisioned({ ...wish, settings });
        const [found] = await discover(aClient(), name);
        const { farms, servers, frontends } = found!.configuration;
        expect([action, after, farms.size, servers.size, frontends.size]).toEqual([action, after, 2, 4, 2]);
        expect(await pending(name)).toEqual([]);
      }
    },
  );
});

/** Another load balancer that carries nothing. */
const emulatorPlane = () => new SilentDataPlane();

test('where the API takes no probe every 30 s, says so in its words and publishes nothing', async () => {
  emulator.admin.behave({ leastProbeIntervalS: 60 });
  await expect(provisioned()).rejects.toThrow(/POST .*\/http\/farm: HTTP 400 .*interval/);
  expect(emulator.journal.calls('POST', '/refresh')).toEqual([]);
  expect(await stored()).toEqual(['farm theirs', 'frontend 80']);
});

test('waits for what it has created where the API does not know it at once', async () => {
  const client = aClient();
  const late = new Map<string, number>();
  /** The first two calls about anything new do not find it. */
  const isLate = (path: string): boolean => {
    if (!/farm\/(?!80001)\d+(\/server)?$/.test(path)) return false;
    const times = (late.get(path) ?? 0) + 1;
    late.set(path, times);
    return times <= 2;
  };
  const missing = (method: 'GET' | 'POST', path: string): OvhError =>
    new OvhError({ trouble: 'refused', method, path, message: 'does not exist', status: 404 });
  const forgetful: OvhApi = {
    ...bound(client),
    get: (path, options) => (isLate(path) ? Promise.reject(missing('GET', path)) : client.get(path, options)),
    post: (path, body, options) =>
      path.endsWith('/server') && isLate(path)
        ? Promise.reject(missing('POST', path))
        : client.post(path, body, options),
  };
  const provisioner = new Provisioner(forgetful, aWish(), { graceMs: 20 });
  const { created } = await provisioner.apply(await provisioner.survey(), false, quiet);
  expect(created).toHaveLength(7);
  expect(await stored()).toEqual(whole);
  expect([...late.values()].some((times) => times > 2)).toBe(true);
});

const bound = (client: OvhClient): OvhApi => ({
  host: client.host,
  get: (path, options) => client.get(path, options),
  put: (path, body, options) => client.put(path, body, options),
  post: (path, body, options) => client.post(path, body, options),
  delete: (path, options) => client.delete(path, options),
  time: (options) => client.time(options),
});

describe('what somebody else has stored', () => {
  test('before is not published unless that is asked for', async () => {
    await emulator.admin.editAsSomebodyElse('PUT', `${root}/http/frontend/${production}`, {
      displayName: 'x',
    });
    await expect(provisioned()).rejects.toMatchObject({ failure: 'StagedEditsFound' });
    expect(await stored()).toEqual(['farm theirs', 'frontend 80']);
    await provisioned(aWish(), aClient(), true);
    expect(await pending()).toEqual([]);
  });

  test('meanwhile is not published, and what an interrupted run has left is finished later', async () => {
    let posts = 0;
    let edited: Promise<unknown> | undefined;
    const client = aClient(({ method }) => {
      if (method === 'POST' && ++posts === 3) {
        edited = emulator.admin.editAsSomebodyElse('PUT', `${root}/http/frontend/${production}`, {
          hsts: true,
        });
      }
    });
    await expect(provisioned(aWish(), client)).rejects.toMatchObject({
      failure: 'StagedEditsFound',
      message: expect.stringContaining(`http/frontend/${production} was changed`),
    });
    await edited;
    expect(refreshes()).toEqual([]);
    const { created } = await provisioned(aWish(), aClient(), true);
    expect(created).toEqual([]);
    expect(await stored()).toEqual(whole);
    expect(await pending()).toEqual([]);
  });
});

describe('what is not its own', () => {
  test('is used where the configuration names it, and never changed', async () => {
    const theirs = await emulator.admin.editAsSomebodyElse('POST', `${root}/http/farm`, {
      zone: 'all',
      port: 8080,
    });
    await published();
    const blue = (theirs as { farmId: number }).farmId;
    const wish = aWish({ missing: { farms: ['green'], stagingFrontend: true } });
    const named = { ...wish, settings: { ...wish.settings, farms: { blue, green: 2 } } };
    const { plan } = await new Provisioner(aClient(), named).survey();
    expect(plan.notes).toContain(
      `http/farm/${blue} lacks blue-0, blue-1, and is not ours: add them yourself`,
    );
    const before = await emulator.admin.editAsSomebodyElse('GET', `${root}/http/farm/${blue}`);
    expect((await provisioned(named)).farms.blue).toBe(blue);
    expect(await emulator.admin.editAsSomebodyElse('GET', `${root}/http/farm/${blue}`)).toEqual(before);
    expect(await emulator.admin.editAsSomebodyElse('GET', `${root}/http/farm/${blue}/server`)).toEqual([]);
  });

  test('is refused where it is named and not there', async () => {
    const wish = aWish({ missing: { farms: [], stagingFrontend: false } });
    const { plan } = await new Provisioner(aClient(), wish).survey();
    expect(plan.steps).toEqual([]);
    expect(plan.refusals).toEqual([
      'there is no http farm 1, needs to be there: loadBalancer.farms.blue',
      'there is no http farm 2, needs to be there: loadBalancer.farms.green',
      'there is no http frontend 1, needs to be there: loadBalancer.stagingFrontend',
    ]);
  });

  test('keeps its port', async () => {
    await emulator.admin.editAsSomebodyElse('POST', `${root}/tcp/frontend`, {
      port: '8880-8889',
      zone: 'all',
    });
    await published();
    const taken = await new Provisioner(aClient(), aWish({ stagingPort: 8889 })).survey();
    expect(taken.plan.refusals).toEqual([expect.stringMatching(/port 8889 is taken by tcp\/frontend\/\d+/)]);
    await provisioned();
    expect(await stored()).toContain('frontend 8890');
  });
});

describe('what the configuration asks for beside two farms', () => {
  const none = 2_000_000_000;
  const equipped = (): Wish => {
    const wish = aWish();
    return {
      ...wish,
      settings: {
        ...wish.settings,
        mixed: { farm: none, stagingFrontend: none },
        fallback: 'old-environment',
        testers: { route: none, by: { kind: 'cookie', name: 'preview', value: 'please' } },
      },
      missing: { ...wish.missing, mixedFarm: true, mixedStagingFrontend: true, testersRoute: true },
    };
  };
  const withLiveBlue = async (): Promise<void> => {
    const { farms } = await provisioned();
    await emulator.admin.editAsSomebodyElse('PUT', `${root}/http/frontend/${production}`, {
      defaultFarmId: farms.blue,
    });
    await published();
    emulator.journal.clear();
  };

  test('is created in one refresh, nothing of it gets traffic, and the driver finds it able', async () => {
    await withLiveBlue();
    const wish = equipped();
    const made = await provisioned(wish);
    expect(refreshes()).toHaveLength(1);
    expect((await provisioned(wish)).created, 'the second time').toEqual([]);
    expect(refreshes()).toHaveLength(1);

    const { farms, stagingFrontend, mixed, testersRoute = 0 } = made;
    const settings = {
      ...wish.settings,
      farms,
      stagingFrontend,
      ...(mixed ? { mixed } : {}),
      testers: { ...wish.settings.testers!, route: testersRoute },
    };
    const servers = colors.flatMap((color) => wish.service.environments[color]);
    const seen = await createOvhIplb({ api: aClient(), settings, servers }).observe(endless);
    expect(seen.traffic).toEqual({ kind: 'split', split: allTo('blue') });
    expect(seen).toMatchObject({ division: { kind: 'possible' } });
    expect([seen.backups, seen.testersReach, seen.unready, seen.diversions]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('waits with the route for testers until somebody is live: it leads to where everybody is', async () => {
    const { plan } = await new Provisioner(aClient(), equipped()).survey();
    expect(plan.notes.join()).toContain('the route for testers leads to where everybody is');
    expect(plan.steps.map(({ kind }) => kind)).not.toContain('testers route');
  });

  test('gives the route its rule where an earlier run was interrupted between the two', async () => {
    await withLiveBlue();
    const wish = equipped();
    emulator.faults.add({ method: 'POST', path: '*/rule', action: '500' });
    await expect(provisioned(wish)).rejects.toThrow();
    emulator.faults.clear();
    const made = await provisioned(wish, aClient(), true);
    const route = await emulator.admin.editAsSomebodyElse('GET', `${root}/http/route/${made.testersRoute}`);
    expect(route).toMatchObject({ rules: [{ field: 'cookie', subField: 'preview', pattern: 'please' }] });
    expect(await emulator.admin.editAsSomebodyElse('GET', `${root}/http/route`)).toHaveLength(1);
  });

  test('is refused where it is named and not there', async () => {
    const wish = equipped();
    const { plan } = await new Provisioner(aClient(), { ...wish, missing: aWish().missing }).survey();
    expect(plan.refusals).toEqual([
      `there is no http farm ${none}, needs to be there: loadBalancer.mixed.farm`,
      `there is no http frontend ${none}, needs to be there: loadBalancer.mixed.stagingFrontend`,
      `there is no http route ${none}, needs to be there: loadBalancer.testers.route`,
    ]);
  });
});

test('adds no server to a farm that has traffic: it would get some before any probe', async () => {
  const { farms } = await provisioned();
  await emulator.admin.editAsSomebodyElse('PUT', `${root}/http/frontend/${production}`, {
    defaultFarmId: farms.blue,
  });
  await published();
  const wish = aWish();
  const environments = {
    blue: [...wish.service.environments.blue, aServer('blue', 2)],
    green: [...wish.service.environments.green, aServer('green', 2)],
  };
  const { plan } = await new Provisioner(aClient(), {
    ...wish,
    service: { ...wish.service, environments },
  }).survey();
  expect(plan.steps).toMatchObject([{ kind: 'server', server: 'green-2' }]);
  expect(plan.notes).toEqual([expect.stringMatching(/lacks blue-2, and has traffic/)]);
});

test.each([
  ['greeter', 'verdigris:greeter@production:staging'],
  ['a-service-whose-name-is-as-long-as-it-may-be', /^verdigris:[0-9a-f]{16}:staging$/],
])('marks its objects in at most 50 signs (%s)', (name, marker) => {
  const marked = markerOf(ServiceId(name, 'production'), 'staging');
  expect(marked).toMatch(marker);
  expect(marked.length).toBeLessThanOrEqual(50);
});

describe('discovery', () => {
  test('proposes what provisioning has made, by the servers in the farms or by their names', async () => {
    const { farms, stagingFrontend } = await provisioned();
    await emulator.admin.editAsSomebodyElse('PUT', `${root}/http/frontend/${production}`, {
      defaultFarmId: farms.blue,
    });
    await published();
    const proposed = { protocol: 'http', farms, stagingFrontend, frontends: [production], open: [] };
    const [found] = await discover(aClient());
    expect(proposalFor(found!, aWish().service)).toMatchObject(proposed);
    expect(proposalFor(found!)).toMatchObject(proposed);
    for (const [color, displayName] of [
      ['blue', 'a'],
      ['green', 'b'],
    ] as const) {
      await emulator.admin.editAsSomebodyElse('PUT', `${root}/http/farm/${farms[color]}`, { displayName });
    }
    const [renamed] = await discover(aClient());
    expect(proposalFor(renamed!, aWish().service)).toMatchObject(proposed);
    expect(proposalFor(renamed!)).toMatchObject({
      frontends: [production, stagingFrontend],
      open: [
        'farms.blue: none found',
        'farms.green: none found',
        expect.stringContaining('verdigris ovh provision'),
      ],
    });
  });

  test('says what it cannot tell apart', async () => {
    for (const displayName of ['blue 1', 'Blue 2', 'green']) {
      await emulator.admin.editAsSomebodyElse('POST', `${root}/http/farm`, { zone: 'all', displayName });
    }
    const [found] = await discover(aClient());
    expect(proposalFor(found!).open[0]).toMatch(/^farms\.blue: could be \d+ or \d+$/);
  });
});
