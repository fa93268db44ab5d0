import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { colors } from '../../../domain/color.js';
import { ServiceId } from '../../../domain/names.js';
import type { OvhIplbSettings } from '../../../domain/service.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { endless } from '../../../drivers/patience.js';
import { allTo } from '../../../domain/split.js';
import { discover, proposalFor } from '../../../drivers/load-balancers/ovh-iplb/discovery.js';
import type { Wish, WishedEntry } from '../../../drivers/load-balancers/ovh-iplb/provisioning-plan.js';
import { createIplbProvisioner } from '../../../drivers/load-balancers/ovh-iplb/provisioning.js';
import { markerOf, type Survey } from '../../../drivers/load-balancers/provisioning.js';
import type { OvhApi, OvhCall, OvhClient } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { describeRight, provisionRights, selfRights } from '../../../ovh/rights.js';
import type { OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import { apiSettingsOf } from './emulation.js';
import { aServer, byKey, environments, mortal, ProvisioningWorld } from './provisioning-world.js';

let world: ProvisioningWorld;
let emulator: Emulator;
let root: string;
let production: number;
let theirs: number;

beforeAll(async () => {
  world = await ProvisioningWorld.create();
  emulator = world.emulator;
  root = `/ipLoadbalancing/${emulator.serviceName}`;
});
beforeEach(async () => {
  production = await made('http/frontend', { port: '80', zone: 'all' });
  theirs = await made('http/farm', { zone: 'all', displayName: 'theirs' });
  await published();
  emulator.journal.clear();
});
afterEach(() => world.reset());
afterAll(() => world.close());

/** Created by somebody else, and stored only. */
async function made(list: string, body: object): Promise<number> {
  const answer: Readonly<Record<string, number>> = await world.call('POST', `${root}/${list}`, body);
  return answer[`${list.split('/')[1]}Id`] ?? 0;
}

const edit = (object: string, body: object) => world.call('PUT', `${root}/${object}`, body);

/** Publishes what is stored, as somebody else. */
async function published(): Promise<void> {
  await emulator.admin.refreshAsSomebodyElse();
  while ((await pending()).length > 0 || (await busy())) await world.time.sleep(1_000);
}
const pending = (): Promise<readonly unknown[]> => world.call('GET', `${root}/pendingChanges`);
const busy = async (): Promise<boolean> => {
  const tasks = ['todo', 'doing'].map((status) => world.call('GET', `${root}/task?status=${status}`));
  return (await Promise.all<readonly unknown[]>(tasks)).flat().length > 0;
};

const aClient = (onCall: (call: OvhCall) => void = () => undefined): OvhClient => world.client({ onCall });

/** The only way in that most services have. */
const anEntry = (changed: Partial<WishedEntry> = {}): WishedEntry => ({
  path: [],
  protocol: 'http',
  frontends: [production],
  farms: {},
  stagingFrontend: undefined,
  ...changed,
});

const aWish = (changed: Partial<Wish> = {}): Wish => ({
  service: {
    id: ServiceId('greeter', 'production'),
    environments,
    health: { path: '/health', status: 200, timeoutMs: 1_000 },
  },
  settings: { serviceName: emulator.serviceName, refreshDeadlineMs: 900_000 },
  entries: [anEntry()],
  stagingPort: undefined,
  stagingSources: ['127.0.0.1/32'],
  ...changed,
});

const quiet = (): void => undefined;

const surveyed = (wish = aWish(), client: OvhApi = aClient()): Promise<Survey> =>
  createIplbProvisioner(client, wish, { time: world.time }).survey();

/** What was created, and what every key names now. */
async function provisioned(wish = aWish(), client: OvhApi = aClient(), publishStaged = false) {
  const survey = await surveyed(wish, client);
  const { named, created } = await survey.apply(publishStaged, quiet);
  const ids = byKey(named);
  const farms = { blue: Number(ids['farms.blue']), green: Number(ids['farms.green']) };
  return { ids, created, farms, stagingFrontend: Number(ids['stagingFrontend']) };
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
  'server 10.0.0.2:8081',
  'server 10.0.0.5:8080',
  'server 10.0.0.6:8081',
];

const refreshes = () => emulator.journal.calls('POST', '/refresh').filter(({ by }) => by === 'client');

test('creates two farms, their servers and a staging frontend, in one refresh, and nothing the second time', async () => {
  const first = await provisioned();
  expect(await stored()).toEqual(whole);
  expect(await pending()).toEqual([]);
  const applied = emulator.admin.appliedOn(16_300);
  expect(applied?.get('frontend', first.stagingFrontend)?.fields).toMatchObject({
    defaultFarmId: first.farms.green,
    allowedSource: ['127.0.0.1/32'],
  });
  expect(applied?.get('farm', first.farms.blue)?.fields['probe']).toMatchObject({
    url: '/health',
    pattern: '200',
  });

  const again = await provisioned();
  expect(again).toEqual({ ...first, created: [] });
  expect(refreshes()).toHaveLength(1);
  const methods = emulator.journal.entries.filter(({ by }) => by === 'client').map(({ method }) => method);
  expect(new Set(methods)).toEqual(new Set(['GET', 'POST']));
});

describe('rights', () => {
  /** With what makes every right needed: objects of every kind, and a lost answer for each list that is looked through then. */
  async function aDemandingWish(): Promise<{ readonly wish: Wish; readonly settings: OvhIplbSettings }> {
    await made('http/route', { frontendId: production, action: { type: 'reject', status: 403 } });
    await made('tcp/route', { action: { type: 'reject' } });
    await world.call('POST', `${root}/ssl`, { certificate: 'PEM', key: 'PEM' });
    const { farms } = await provisioned(aWish(), aClient(), true);
    await edit(`http/frontend/${production}`, { defaultFarmId: farms.blue });
    await published();
    emulator.journal.clear();
    const tcp = await made('tcp/frontend', { zone: 'all', port: '72' });
    await published();
    for (const list of ['http/farm', 'http/frontend', 'http/route', 'tcp/farm', 'tcp/frontend'])
      emulator.faults.add({ method: 'POST', path: `${root}/${list}`, times: 1, action: 'drop-after' });
    const by = { kind: 'cookie', name: 'preview', value: 'please' } as const;
    const mixed = { farm: undefined, stagingFrontend: undefined };
    return {
      wish: aWish({
        entries: [
          anEntry({ mixed }),
          anEntry({ protocol: 'tcp', frontends: [tcp], path: ['also', 0], mixed }),
        ],
        testers: { route: undefined, by },
      }),
      settings: {
        driver: 'ovh-iplb',
        api: apiSettingsOf({ url: 'ovh-eu' }),
        serviceName: emulator.serviceName,
        protocol: 'http',
        frontends: [production],
        stagingFrontend: 1,
        farms: { blue: 1, green: 2 },
        also: [{ protocol: 'tcp', frontends: [tcp], stagingFrontend: 1, farms: { blue: 1, green: 2 } }],
        testers: { route: 1, by },
        refreshDeadlineMs: 1_000,
      },
    };
  }

  test('are those that it asks for, and each of them is needed', async () => {
    const { wish, settings } = await aDemandingWish();
    const before = emulator.admin.state();
    const rights = provisionRights(settings);
    await provisioned(wish, world.clientThatMay([...selfRights, ...rights]));
    expect(emulator.journal.entries.filter(({ status }) => status === 403)).toEqual([]);

    const unneeded: string[] = [];
    for (const missing of rights) {
      emulator.faults.clear();
      await emulator.admin.restore(before);
      for (const list of ['http/farm', 'http/frontend', 'http/route', 'tcp/farm', 'tcp/frontend'])
        emulator.faults.add({ method: 'POST', path: `${root}/${list}`, times: 1, action: 'drop-after' });
      const client = world.clientThatMay(rights.filter((right) => right !== missing));
      const ended = await provisioned(wish, client).then(
        () => 'was not needed',
        (error: Error) => error.message,
      );
      if (!ended.includes('HTTP 403') && !ended.includes('may not'))
        unneeded.push(`${describeRight(missing)}: ${ended}`);
    }
    // Of these the emulated load balancer has none.
    expect(unneeded).toEqual(['frontend', 'farm'].map((kind) => `GET ${root}/udp/${kind}/*: was not needed`));
  });
});

describe('when the answer to a write is lost', () => {
  test.each(['drop-before', 'drop-after', 'cut-body', 'hang', '500', '502-html', '429'] as const)(
    'by %s, at any write, everything is there once',
    async (action) => {
      const bare = emulator.admin.state();
      for (const after of [0, 1, 6, 7]) {
        await emulator.admin.restore(bare);
        emulator.faults.clear();
        emulator.faults.add({ method: 'POST', path: `${root}/*`, after, times: 1, action });
        await provisioned();
        expect([action, after, ...(await stored())]).toEqual([action, after, ...whole]);
        expect(await pending()).toEqual([]);
      }
    },
  );
});

test('a run that is killed after any write is finished by the next one, and a third changes nothing', async () => {
  const bare = emulator.admin.state();
  for (let writes = 0; ; writes++) {
    await emulator.admin.restore(bare);
    const ended = await provisioned(aWish(), mortal(aClient(), writes)).then(
      () => 'ended',
      (error: Error) => error.message,
    );
    const { ids } = await provisioned(aWish(), aClient(), true);
    expect([writes, ...(await stored())]).toEqual([writes, ...whole]);
    expect(await pending()).toEqual([]);
    emulator.journal.clear();
    expect(await provisioned()).toMatchObject({ ids, created: [] });
    expect(emulator.journal.entries.filter(({ method }) => method !== 'GET')).toEqual([]);
    if (ended === 'ended') break;
    expect(ended).toBe('killed');
  }
});

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
    if (!/farm\/\d+(\/server)?$/.test(path) || path.includes(`/${theirs}`)) return false;
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
  const { created } = await provisioned(aWish(), forgetful);
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
    await edit(`http/frontend/${production}`, { displayName: 'x' });
    expect((await surveyed()).staged).toHaveLength(1);
    await expect(provisioned()).rejects.toMatchObject({ failure: 'StagedEditsFound' });
    expect(await stored()).toEqual(['farm theirs', 'frontend 80']);
    await provisioned(aWish(), aClient(), true);
    expect(await pending()).toEqual([]);
  });

  test('meanwhile is not published, and what an interrupted run has left is finished later', async () => {
    let posts = 0;
    let edited: Promise<unknown> | undefined;
    const client = aClient(({ method }) => {
      if (method === 'POST' && ++posts === 3) edited = edit(`http/frontend/${production}`, { hsts: true });
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
    const blue = await made('http/farm', { zone: 'all', port: 8080 });
    await published();
    const named = aWish({ entries: [anEntry({ farms: { blue } })] });
    expect((await surveyed(named)).notes).toContain(
      `http/farm/${blue} lacks blue-0, blue-1, and is not ours: add them yourself`,
    );
    const before = await world.call('GET', `${root}/http/farm/${blue}`);
    expect((await provisioned(named)).farms.blue).toBe(blue);
    expect(await world.call('GET', `${root}/http/farm/${blue}`)).toEqual(before);
    expect(await world.call('GET', `${root}/http/farm/${blue}/server`)).toEqual([]);
  });

  test('is what else is made for: farms and servers that serve visitors alike', async () => {
    const blue = await made('http/farm', { zone: 'all', port: 8080, stickiness: 'cookie' });
    const manner = { proxyProtocolVersion: 'v2', onMarkedDown: 'shutdown-sessions' };
    const address = { address: '10.0.0.1', port: 8080, status: 'active', probe: true };
    await made(`http/farm/${blue}/server`, { ...address, ...manner });
    await published();
    const mixed = { farm: undefined, stagingFrontend: undefined };
    const { ids, farms } = await provisioned(aWish({ entries: [anEntry({ farms: { blue }, mixed })] }));
    for (const farm of [farms.green, Number(ids['mixed.farm'])]) {
      expect(await world.call('GET', `${root}/http/farm/${farm}`)).toMatchObject({ stickiness: 'cookie' });
      const servers: readonly number[] = await world.call('GET', `${root}/http/farm/${farm}/server`);
      expect(servers.length).toBeGreaterThan(0);
      for (const server of servers)
        expect(await world.call('GET', `${root}/http/farm/${farm}/server/${server}`)).toMatchObject(manner);
    }
  });

  test('is refused where it is named and not there, all of it at once', async () => {
    const farms = { blue: 1, green: 2 };
    const mixed = { farm: 3, stagingFrontend: 4 };
    const entries = [
      anEntry({ farms, stagingFrontend: 1, mixed }),
      anEntry({ path: ['also', 0], protocol: 'tcp', frontends: [9], farms, stagingFrontend: 1 }),
    ] as const;
    const by = { kind: 'source', address: '192.0.2.1' } as const;
    const { steps, refusals } = await surveyed(aWish({ entries, testers: { route: 5, by } }));
    expect(steps).toEqual([]);
    expect(refusals).toEqual([
      'there is no http farm 1, needs to be there: loadBalancer.farms.blue',
      'there is no http farm 2, needs to be there: loadBalancer.farms.green',
      'there is no http frontend 1, needs to be there: loadBalancer.stagingFrontend',
      'there is no http farm 3, needs to be there: loadBalancer.mixed.farm',
      'there is no http frontend 4, needs to be there: loadBalancer.mixed.stagingFrontend',
      'there is no tcp frontend 9, needs to be there: loadBalancer.also[0].frontends',
      'there is no tcp farm 1, needs to be there: loadBalancer.also[0].farms.blue',
      'there is no tcp farm 2, needs to be there: loadBalancer.also[0].farms.green',
      'there is no tcp frontend 1, needs to be there: loadBalancer.also[0].stagingFrontend',
      'there is no http route 5, needs to be there: loadBalancer.testers.route',
    ]);
    await expect(provisioned(aWish({ entries }))).rejects.toThrow(/there is no http farm 1/);
  });

  test('keeps its port', async () => {
    await made('tcp/frontend', { port: '8880-8889', zone: 'all' });
    await published();
    const taken = await surveyed(aWish({ stagingPort: 8889 }));
    expect(taken.refusals).toEqual([expect.stringMatching(/port 8889 is taken by tcp\/frontend\/\d+/)]);
    await provisioned();
    expect(await stored()).toContain('frontend 8890');
  });
});

/** Blue has the traffic of the production frontend. */
async function withLiveBlue(): Promise<void> {
  const { farms } = await provisioned();
  await edit(`http/frontend/${production}`, { defaultFarmId: farms.blue });
  await published();
  emulator.journal.clear();
}

const bareSettings = (): OvhIplbSettings => ({
  driver: 'ovh-iplb',
  api: apiSettingsOf(emulator),
  serviceName: emulator.serviceName,
  protocol: 'http',
  frontends: [production],
  stagingFrontend: 1,
  farms: { blue: 1, green: 2 },
  refreshDeadlineMs: 900_000,
});

/** What the driver sees with these ids. */
const observed = (settings: OvhIplbSettings) => {
  const servers = colors.flatMap((color) => environments[color]);
  return createOvhIplb({ api: aClient(), settings, servers, time: world.time }).observe(endless);
};

describe('what the configuration asks for beside two farms', () => {
  const by = { kind: 'cookie', name: 'preview', value: 'please' } as const;
  const equipped = (): Wish =>
    aWish({
      settings: { ...aWish().settings, fallback: 'old-environment' },
      entries: [anEntry({ mixed: { farm: undefined, stagingFrontend: undefined } })],
      testers: { route: undefined, by },
    });

  test('is created in one refresh, nothing of it gets traffic, and the driver finds it able', async () => {
    await withLiveBlue();
    const { ids, farms, stagingFrontend } = await provisioned(equipped());
    expect(refreshes()).toHaveLength(1);
    expect((await provisioned(equipped())).created, 'the second time').toEqual([]);
    expect(refreshes()).toHaveLength(1);

    const seen = await observed({
      ...bareSettings(),
      farms,
      stagingFrontend,
      mixed: { farm: Number(ids['mixed.farm']), stagingFrontend: Number(ids['mixed.stagingFrontend']) },
      fallback: 'old-environment',
      testers: { route: Number(ids['testers.route']), by },
    });
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
    const { notes, steps } = await surveyed(equipped());
    expect(notes.join()).toContain('the route for testers leads to where everybody is');
    expect(steps.join()).not.toContain('create route');
  });

  test('gives the route its rule where an earlier run was interrupted between the two', async () => {
    await withLiveBlue();
    emulator.faults.add({ method: 'POST', path: '*/rule', action: '500' });
    await expect(provisioned(equipped())).rejects.toThrow();
    emulator.faults.clear();
    const { ids } = await provisioned(equipped(), aClient(), true);
    const route = await world.call('GET', `${root}/http/route/${String(ids['testers.route'])}`);
    expect(route).toMatchObject({ rules: [{ field: 'cookie', subField: 'preview', pattern: 'please' }] });
    expect(await world.call('GET', `${root}/http/route`)).toHaveLength(1);
  });

  test('is told of where it is there and otherwise, and left as it is', async () => {
    await withLiveBlue();
    const { farms } = await provisioned();
    const backup = { address: '10.0.0.5', port: 8080, status: 'inactive' };
    await world.call('POST', `${root}/http/farm/${farms.blue}/server`, backup);
    const action = { type: 'farm', target: String(farms.blue) };
    const route = await made('http/route', { frontendId: production, action });
    await world.call('POST', `${root}/http/route/${route}/rule`, {
      field: 'uri',
      match: 'is',
      pattern: '/x',
    });
    await published();
    const { notes } = await surveyed({ ...equipped(), testers: { route, by } });
    expect(notes).toContain(
      `http/farm/${farms.blue} has green-0, which is no backup there: make it one yourself, or delete it`,
    );
    expect(notes.join()).toContain(`http/route/${route} has other rules than would be made now`);
  });
});

describe('further ways in', () => {
  const mixed = { farm: undefined, stagingFrontend: undefined };
  const ports = { blue: 9090, green: 9091 };
  let tcp: readonly number[];

  beforeEach(async () => {
    await withLiveBlue();
    tcp = [
      await made('tcp/frontend', { port: '90', zone: 'all' }),
      await made('tcp/frontend', { port: '91', zone: 'all' }),
    ];
    await published();
    emulator.journal.clear();
  });

  const also = (index: number, path: number): WishedEntry =>
    anEntry({ path: ['also', path], protocol: 'tcp', frontends: [tcp[index] ?? 0], ports, mixed });
  const wide = (): Wish =>
    aWish({
      settings: { ...aWish().settings, fallback: 'old-environment' },
      entries: [anEntry({ mixed }), also(0, 0), also(1, 1)],
    });

  test('get farms and what has them probed of their own, in the same refresh, at their own ports', async () => {
    const { ids, farms, stagingFrontend } = await provisioned(wide());
    expect(refreshes()).toHaveLength(1);
    for (const [index, frontend] of tcp.entries())
      await edit(`tcp/frontend/${frontend}`, { defaultFarmId: Number(ids[`also.${index}.farms.blue`]) });
    await published();
    const entryAt = (at: string) => ({
      farms: { blue: Number(ids[`${at}farms.blue`]), green: Number(ids[`${at}farms.green`]) },
      stagingFrontend: Number(ids[`${at}stagingFrontend`]),
      mixed: {
        farm: Number(ids[`${at}mixed.farm`]),
        stagingFrontend: Number(ids[`${at}mixed.stagingFrontend`]),
      },
    });
    const seen = await observed({
      ...bareSettings(),
      ...entryAt(''),
      fallback: 'old-environment',
      also: tcp.map((frontend, index) => ({
        protocol: 'tcp',
        frontends: [frontend],
        ports,
        ...entryAt(`also.${index}.`),
      })),
    });
    expect(seen).toMatchObject({
      traffic: { kind: 'split', split: allTo('blue') },
      division: { kind: 'possible' },
    });
    expect([seen.unready, seen.unprobed]).toEqual([undefined, undefined]);
    const green = await world.call('GET', `${root}/tcp/farm/${String(ids['also.1.farms.green'])}`);
    expect(green).toMatchObject({ port: 9091, probe: { type: 'tcp' } });
    expect(new Set(Object.values(ids)).size, 'each another object').toBe(Object.keys(ids).length);
    expect([farms.blue, stagingFrontend].every(Number.isInteger)).toBe(true);
  });

  test('are known again when their order is another one, and by their own objects only', async () => {
    const { ids } = await provisioned(wide());
    const swapped = aWish({ ...wide(), entries: [anEntry({ mixed }), also(1, 0), also(0, 1)] });
    const again = await provisioned(swapped);
    expect(again.created).toEqual([]);
    expect(again.ids['also.0.farms.blue']).toBe(ids['also.1.farms.blue']);
    expect(again.ids['also.1.mixed.stagingFrontend']).toBe(ids['also.0.mixed.stagingFrontend']);
  });
});

test('adds no server to a farm that has traffic: it would get some before any probe', async () => {
  await withLiveBlue();
  const more = {
    blue: [...environments.blue, aServer('blue', 2)],
    green: [...environments.green, aServer('green', 2)],
  };
  const { service } = aWish();
  const { steps, notes } = await surveyed(aWish({ service: { ...service, environments: more } }));
  expect(steps).toEqual([expect.stringContaining('create server green-2')]);
  expect(notes).toEqual([expect.stringMatching(/lacks blue-2, and has traffic/)]);
});

test('knows its own objects also where the configuration names them by now', async () => {
  const { farms, stagingFrontend } = await provisioned();
  const { service } = aWish();
  const more = { ...environments, green: [...environments.green, aServer('green', 2)] };
  const named = aWish({
    service: { ...service, environments: more },
    entries: [anEntry({ farms, stagingFrontend })],
  });
  const { steps, notes } = await surveyed(named);
  expect([steps, notes]).toEqual([[expect.stringContaining('create server green-2')], []]);
  expect((await provisioned(named)).created).toEqual([
    expect.stringContaining(`http/farm/${farms.green}/server/`),
  ]);
});

test.each([
  ['greeter', 'staging', 'verdigris:greeter@production:staging'],
  ['a-service-whose-name-is-as-long-as-it-may-be', 'staging', /^verdigris:[0-9a-f]{16}:staging$/],
  [
    'a-service-whose-name-is-as-long-as-it-may-be',
    'http-700000951-mixed-staging',
    /^verdigris:[0-9a-f]{40}$/,
  ],
])('marks its objects in at most 50 signs (%s, %s)', (name, role, marker) => {
  const marked = markerOf(ServiceId(name, 'production'), role);
  expect(marked).toMatch(marker);
  expect(marked.length).toBeLessThanOrEqual(50);
});

describe('discovery', () => {
  test('proposes what provisioning has made, by the servers in the farms or by their names', async () => {
    const { farms, stagingFrontend } = await provisioned();
    await edit(`http/frontend/${production}`, { defaultFarmId: farms.blue });
    await published();
    const proposed = { protocol: 'http', farms, stagingFrontend, frontends: [production], open: [] };
    const [found] = await discover(aClient());
    expect(proposalFor(found!, aWish().service)).toMatchObject(proposed);
    expect(proposalFor(found!)).toMatchObject(proposed);
    for (const [color, displayName] of [
      ['blue', 'a'],
      ['green', 'b'],
    ] as const) {
      await edit(`http/farm/${farms[color]}`, { displayName });
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

  test('proposes mixed farms and further ways in too, and takes no backup for a server', async () => {
    await withLiveBlue();
    const tcp = await made('tcp/frontend', { port: '90', zone: 'all' });
    await published();
    const mixed = { farm: undefined, stagingFrontend: undefined };
    const by = { kind: 'cookie', name: 'preview', value: 'please' } as const;
    const { ids } = await provisioned(
      aWish({
        settings: { ...aWish().settings, fallback: 'old-environment' },
        testers: { route: undefined, by },
        entries: [
          anEntry({ mixed }),
          anEntry({ path: ['also', 0], protocol: 'tcp', frontends: [tcp], mixed }),
        ],
      }),
    );
    await edit(`tcp/frontend/${tcp}`, { defaultFarmId: Number(ids['also.0.farms.blue']) });
    await published();
    const [found] = await discover(aClient());
    expect(proposalFor(found!, aWish().service)).toMatchObject({
      protocol: 'http',
      farms: { blue: ids['farms.blue'], green: ids['farms.green'] },
      mixed: { farm: ids['mixed.farm'], stagingFrontend: ids['mixed.stagingFrontend'] },
      also: [
        {
          protocol: 'tcp',
          frontends: [tcp],
          farms: { blue: ids['also.0.farms.blue'], green: ids['also.0.farms.green'] },
          mixed: { farm: ids['also.0.mixed.farm'] },
        },
      ],
      fallback: 'old-environment',
      testers: { route: Number(ids['testers.route']), by },
      open: [],
    });
    // One backup less, and a route beside that could be meant by nobody.
    const members = `tcp/farm/${Number(ids['also.0.farms.green'])}/server`;
    const [last] = ((await world.call('GET', `${root}/${members}`)) as readonly number[]).toReversed();
    await edit(`${members}/${last}`, { backup: false });
    await made('http/route', {
      frontendId: production,
      action: { type: 'farm', target: String(ids['farms.blue']) },
    });
    const proposal = proposalFor((await discover(aClient()))[0]!, aWish().service);
    expect(proposal).not.toHaveProperty('fallback');
    expect(proposal.testers, 'a route without a rule is for nobody').toMatchObject({ by });
  });

  test('says what it cannot tell apart', async () => {
    for (const displayName of ['blue 1', 'Blue 2', 'green']) {
      await made('http/farm', { zone: 'all', displayName });
    }
    const [found] = await discover(aClient());
    expect(proposalFor(found!).open[0]).toMatch(/^farms\.blue: could be \d+ or \d+$/);
  });
});
