import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { colors } from '../../../domain/color.js';
import { ServiceId } from '../../../domain/names.js';
import type { OvhPublicCloudSettings } from '../../../domain/service.js';
import { allTo } from '../../../domain/split.js';
import { createOvhPublicCloud } from '../../../drivers/load-balancers/ovh-public-cloud.js';
import {
  balancerProposal,
  discoverBalancers,
} from '../../../drivers/load-balancers/ovh-public-cloud/discovery.js';
import type { Wish } from '../../../drivers/load-balancers/ovh-public-cloud/provisioning-plan.js';
import { createPublicCloudProvisioner } from '../../../drivers/load-balancers/ovh-public-cloud/provisioning.js';
import type { Survey } from '../../../drivers/load-balancers/provisioning.js';
import { ovhFailure } from '../../../drivers/load-balancers/ovh-failure.js';
import { endless } from '../../../drivers/patience.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { describeRight, provisionRights, selfRights } from '../../../ovh/rights.js';
import { shownAs, textOf } from '../../../sandbox/ovh-api/json.js';
import type { OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import { apiSettingsOf } from './emulation.js';
import { aServer, byKey, environments, mortal, ProvisioningWorld } from './provisioning-world.js';

let world: ProvisioningWorld;
let emulator: Emulator;
let root: string;
let web: string;
const service = ServiceId('greeter', 'production');

beforeAll(async () => {
  world = await ProvisioningWorld.create();
  emulator = world.emulator;
  const { project, region } = emulator.publicCloud;
  root = `/cloud/project/${project}/region/${region}/loadbalancing`;
});
beforeEach(async () => {
  web = await made('listener', { name: 'web', port: 80, protocol: 'http' });
  await made('pool', { name: 'theirs', algorithm: 'sourceIP', protocol: 'tcp' });
  emulator.journal.clear();
});
afterEach(() => world.reset());
afterAll(() => world.close());

/** Somebody else's call, and until it is applied. */
async function call<Answer>(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<Answer> {
  await world.balancer.settled();
  const answer = await world.call(method, `${root}/${path}`, body);
  await world.balancer.settled();
  return answer;
}
async function made(list: string, body: object): Promise<string> {
  const where = list === 'listener' || list === 'pool' ? { loadbalancerId: world.balancer.id } : {};
  return (await call<{ readonly id: string }>('POST', list, { ...where, ...body })).id;
}

const settings = (): Wish['settings'] => {
  const { project, region } = emulator.publicCloud;
  const { id } = world.balancer;
  return { project, region, id, listeners: [web], weights: {}, updateDeadlineMs: 300_000 };
};

const aWish = (changed: Partial<Wish> = {}): Wish => ({
  service: {
    id: service,
    environments,
    health: { path: '/health', status: 200, timeoutMs: 1_000 },
  },
  settings: settings(),
  pools: {},
  stagingListener: undefined,
  hasStaging: true,
  shares: [],
  stagingPort: undefined,
  stagingSources: ['127.0.0.1/32'],
  ...changed,
});

const surveyed = (wish = aWish(), client: OvhApi = world.client()): Promise<Survey> =>
  createPublicCloudProvisioner(client, wish, { time: world.time }).survey();

async function provisioned(wish = aWish(), client: OvhApi = world.client()) {
  const survey = await surveyed(wish, client);
  const { named, created } = await survey.apply(false, () => undefined);
  return { ids: byKey(named), created };
}

/** Everything that is applied, without ids. */
async function stored(): Promise<readonly string[]> {
  await world.balancer.settled();
  const { applied } = world.balancer;
  const poolName = (id: unknown): string => textOf(applied.get('pool', id)?.fields['name']) ?? 'nothing';
  return [
    ...applied
      .list('listener')
      .map(
        ({ fields: { port, defaultPoolId } }) => `listener ${shownAs(port)} -> ${poolName(defaultPoolId)}`,
      ),
    ...applied
      .list('pool')
      .map(({ fields: { name, protocol } }) => `pool ${shownAs(name)} ${shownAs(protocol)}`),
    ...applied.list('healthMonitor').map(({ parentId }) => `monitor of ${poolName(parentId)}`),
    ...applied
      .list('member')
      .map(
        ({ parentId, fields: { address, weight } }) =>
          `${shownAs(address)} weight ${shownAs(weight)} in ${poolName(parentId)}`,
      ),
  ].toSorted();
}

const whole = [
  '10.0.0.1 weight 1 in verdigris:greeter@production:blue',
  '10.0.0.2 weight 1 in verdigris:greeter@production:blue',
  '10.0.0.5 weight 1 in verdigris:greeter@production:green',
  '10.0.0.6 weight 1 in verdigris:greeter@production:green',
  'listener 80 -> nothing',
  'listener 8888 -> verdigris:greeter@production:green',
  'monitor of verdigris:greeter@production:blue',
  'monitor of verdigris:greeter@production:green',
  'pool theirs tcp',
  'pool verdigris:greeter@production:blue http',
  'pool verdigris:greeter@production:green http',
];

const clientCalls = () => emulator.journal.entries.filter(({ by }) => by === 'client');

/** What the driver sees with these ids. */
function observed(ids: Readonly<Record<string, unknown>>, more: Partial<OvhPublicCloudSettings> = {}) {
  const driver = createOvhPublicCloud({
    api: world.client(),
    settings: {
      ...settings(),
      driver: 'ovh-public-cloud',
      api: apiSettingsOf(emulator),
      stagingListener: String(ids['stagingListener']),
      pools: { blue: String(ids['pools.blue']), green: String(ids['pools.green']) },
      statusDelayMs: 10_000,
      ...more,
    },
    servers: colors.flatMap((color) => environments[color]),
    time: world.time,
  });
  return driver.observe(endless);
}

test('creates pools with monitors and members and a staging listener, one after the other, and nothing the second time', async () => {
  const first = await provisioned();
  expect(await stored()).toEqual(whole);
  const staging = world.balancer.applied.get('listener', first.ids['stagingListener']);
  expect(staging?.fields).toMatchObject({ allowedCidrs: ['127.0.0.1/32'], protocol: 'http' });
  const [monitor] = world.balancer.applied.list('healthMonitor', String(first.ids['pools.green']));
  expect(monitor?.fields).toMatchObject({
    monitorType: 'http',
    httpConfiguration: { httpMethod: 'GET', urlPath: '/health', expectedCodes: '200' },
  });
  expect(await provisioned()).toEqual({ ...first, created: [] });
  expect(clientCalls().filter(({ method }) => method !== 'GET')).toHaveLength(7);
  expect(new Set(clientCalls().map(({ method, status }) => `${method} ${status}`))).toEqual(
    new Set(['GET 200', 'POST 200']),
  );
});

test('what it has created is all that a deployment wants, once blue has the traffic', async () => {
  const { ids } = await provisioned();
  await call('PUT', `listener/${web}`, { defaultPoolId: ids['pools.blue'] });
  const seen = await observed(ids);
  expect(seen.traffic).toEqual({ kind: 'split', split: allTo('blue') });
  expect(seen.backends.map(({ state }) => state)).toEqual(['up', 'up', 'up', 'up']);
});

test('the rights are those that it asks for, and each of them is needed', async () => {
  const { pools, ...whereabouts } = { ...settings(), pools: { blue: web, green: web } };
  const rights = provisionRights({ ...whereabouts, pools });
  await provisioned(aWish(), world.clientThatMay([...selfRights, ...rights]));
  expect(clientCalls().filter(({ status }) => status === 403)).toEqual([]);
  const unneeded: string[] = [];
  for (const missing of rights) {
    await world.reset();
    web = await made('listener', { name: 'web', port: 80, protocol: 'http' });
    const client = world.clientThatMay(rights.filter((right) => right !== missing));
    const ended = await provisioned(aWish(), client).then(
      () => 'was not needed',
      (error: Error) => error.message,
    );
    if (!ended.includes('HTTP 403')) unneeded.push(`${describeRight(missing)}: ${ended}`);
  }
  expect(unneeded).toEqual([]);
});

test('a run that is killed after any write is finished by the next one, and a third changes nothing', async () => {
  const bare = emulator.publicCloud.state();
  for (let writes = 0; ; writes++) {
    await world.balancer.settled();
    await emulator.publicCloud.restore(bare);
    const ended = await provisioned(aWish(), mortal(world.client(), writes)).then(
      () => 'ended',
      (error: Error) => error.message,
    );
    const { ids } = await provisioned();
    expect([writes, ...(await stored())]).toEqual([writes, ...whole]);
    emulator.journal.clear();
    expect(await provisioned()).toEqual({ ids, created: [] });
    expect(clientCalls().filter(({ method }) => method !== 'GET')).toEqual([]);
    if (ended === 'ended') break;
    expect(ended).toBe('killed');
  }
});

describe('when the answer to a write is lost', () => {
  test.each(['drop-before', 'drop-after', 'cut-body', 'hang', '500', '502-html', '429'] as const)(
    'by %s, at any write, everything is there once',
    async (action) => {
      const bare = emulator.publicCloud.state();
      for (const after of [0, 1, 2, 6]) {
        await world.balancer.settled();
        await emulator.publicCloud.restore(bare);
        emulator.faults.clear();
        emulator.faults.add({ method: 'POST', path: `${root}/*`, after, times: 1, action });
        await provisioned();
        expect([action, after, ...(await stored())]).toEqual([action, after, ...whole]);
      }
    },
  );
});

test('a write that is carried out only after its caller has given up is waited for, and not repeated', async () => {
  // Else it would most likely meet the lock of what was created since.
  emulator.admin.behave({ updatingMs: 1 });
  const late = { action: 'latency', latencyMs: 10_000 } as const;
  emulator.faults.add({ method: 'POST', path: `${root}/pool`, times: 1, ...late });
  await provisioned(aWish(), world.client({ writeDeadlineMs: 5_000 }));
  await world.time.sleep(30_000);
  expect(await stored()).toEqual(whole);
});

test('of two that have seen the same the second one creates nothing', async () => {
  const surveys = [await surveyed(), await surveyed()];
  const made = [];
  for (const survey of surveys) made.push(await survey.apply(false, () => undefined));
  expect(made[1]).toEqual({ named: made[0]?.named, created: [] });
  expect(await stored()).toEqual(whole);
});

describe('the lock', () => {
  test.each(['immutable 409', 'pending 409', 'bare 409', 'immutable 400', 'immutable 500'] as const)(
    'is waited out where somebody else takes it before every write (%s)',
    async (lockedAnswer) => {
      emulator.admin.behave({ lockedAnswer });
      const theirs = emulator.publicCloud.state();
      const [pool] = world.balancer.objects.list('pool');
      const calls = [{ method: 'PUT' as const, path: `${root}/pool/${pool?.id}`, body: { name: 'theirs' } }];
      for (const path of ['pool', 'healthMonitor', 'pool/*/member', 'listener'])
        emulator.faults.add({
          method: 'POST',
          path: `${root}/${path}`,
          action: 'foreign-editor',
          times: 1,
          calls,
        });
      await provisioned();
      expect(await stored()).toEqual(whole);
      expect(
        clientCalls().filter(({ method, status }) => method === 'POST' && (status ?? 0) >= 400),
      ).toHaveLength(4);
      await emulator.publicCloud.restore(theirs);
    },
  );

  test('that is never given back ends in a refusal that names it', async () => {
    world.balancer.endNext({ status: 'stuck' });
    await world.call('PUT', `${root}/listener/${web}`, { name: 'web', description: 'x' });
    expect((await surveyed()).notes).toEqual(
      expect.arrayContaining(['it is updating now, which is waited for']),
    );
    await expect(provisioned()).rejects.toThrow(/it is still "updating" after 300 s, needs to be active/);
    world.balancer.recover();
  });

  test('in error needs a person: told before anything is tried, and where a creation ends so', async () => {
    world.balancer.endNext({ status: 'error' });
    await expect(provisioned()).rejects.toThrow(
      /its last change has failed \(provisioning status "error"\)[^]*then: verdigris ovh provision --apply/,
    );
    expect((await surveyed()).refusals).toEqual([
      expect.stringContaining('its provisioning status is "error"'),
      expect.stringMatching(
        /^pool \S+ \("verdigris:greeter@production:blue"\), .* is in provisioning status "error"/,
      ),
    ]);
    emulator.journal.clear();
    await expect(provisioned()).rejects.toThrow(/its provisioning status is "error"/);
    expect(clientCalls().filter(({ method }) => method === 'POST')).toEqual([]);
    world.balancer.recover();
    await world.balancer.settled();
    await provisioned();
    expect(await stored()).toEqual(whole);
  });
});

test('waits for what it has created where the API does not know it at once', async () => {
  emulator.admin.behave({ createLagMs: 9_000 });
  await provisioned();
  emulator.admin.behave({ createLagMs: 0 });
  expect(await stored()).toEqual(whole);
});

test.each([
  ['pool', 2],
  ['listener', 1],
  ['member', 3],
  ['healthMonitor', 1],
] as const)('says that the quota of %ss is used up, and goes on where there is room', async (kind, most) => {
  emulator.admin.behave({ publicCloudQuota: { [kind]: most } });
  const error = await provisioned().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OvhError);
  const { failure, message } = ovhFailure(error as OvhError, 'provision it');
  expect(failure, 'not a missing right').toBe('StateUnclear');
  expect(message).toMatch(
    /^Cannot provision it: the project's quota is used up \(.*Quota has been met for resources: \w+.*\), needs/,
  );
  emulator.admin.behave({ publicCloudQuota: {} });
  await provisioned();
  expect(await stored()).toEqual(whole);
});

describe('what is not its own', () => {
  /** Somebody's pool, which has blue's traffic. */
  async function theirPool(more: object = {}): Promise<string> {
    const pool = await made('pool', {
      name: 'app',
      algorithm: 'leastConnections',
      protocol: 'http',
      ...more,
    });
    await call('POST', `pool/${pool}/member`, { members: [{ address: '10.0.0.1', protocolPort: 8080 }] });
    await call('PUT', `listener/${web}`, { defaultPoolId: pool });
    return pool;
  }

  test('is used where the configuration names it, never changed, and green is made like it', async () => {
    const blue = await theirPool({ sessionPersistence: { type: 'appCookie', cookieName: 'sid' } });
    const monitor = { monitorType: 'http', delay: 7, timeout: 2, maxRetries: 4, maxRetriesDown: 2 };
    const httpConfiguration = { httpMethod: 'HEAD', urlPath: '/up', expectedCodes: '200-204' };
    await made('healthMonitor', { name: 'up', poolId: blue, ...monitor, httpConfiguration });
    const before = [await call('GET', `pool/${blue}`), await call('GET', `pool/${blue}/member`)];
    const wish = aWish({ pools: { blue } });
    expect((await surveyed(wish)).notes).toEqual([
      `pool ${blue} lacks blue-1, and is not ours: add them yourself`,
    ]);
    const { ids } = await provisioned(wish);
    const { applied } = world.balancer;
    const green = String(ids['pools.green']);
    expect(ids['pools.blue']).toBe(blue);
    expect(applied.get('pool', green)?.fields).toMatchObject({
      algorithm: 'leastConnections',
      sessionPersistence: { type: 'appCookie', cookieName: 'sid' },
    });
    expect(applied.list('healthMonitor', green)[0]?.fields).toMatchObject({ ...monitor, httpConfiguration });
    expect([await call('GET', `pool/${blue}`), await call('GET', `pool/${blue}/member`)]).toEqual(before);
    expect(applied.get('listener', web)?.fields['defaultPoolId']).toBe(blue);
    expect((await surveyed(wish)).steps).toEqual([]);
  });

  test('is refused where it is named and not there, all of it at once', async () => {
    const listeners = [web, 'l-1'];
    const wish = aWish({
      settings: { ...settings(), listeners },
      pools: { blue: 'p-1', green: 'p-2' },
      stagingListener: 's-1',
      mixed: { pools: ['p-3'], weights: 'set' },
    });
    const { steps, refusals } = await surveyed(wish);
    expect(steps).toEqual([]);
    expect(refusals).toEqual([
      'there is no listener l-1, needs to be there: loadBalancer.listeners',
      'there is no pool p-1, needs to be there: loadBalancer.pools.blue',
      'there is no pool p-2, needs to be there: loadBalancer.pools.green',
      'there is no pool p-3, needs to be there: loadBalancer.mixed.pools',
      'there is no listener s-1, needs to be there: loadBalancer.stagingListener',
    ]);
  });

  test('is told of where it differs, or has no monitor', async () => {
    const blue = await theirPool();
    const green = await made('pool', { name: 'g', algorithm: 'sourceIP', protocol: 'http' });
    const { notes } = await surveyed(aWish({ pools: { blue, green } }));
    expect(notes).toEqual([
      `pool ${blue} has no health monitor, without which no server is believed to be up, and is not ours: add one yourself`,
      `pool ${blue} lacks blue-1, and is not ours: add them yourself`,
      `pool ${green} is not as it would be made now: algorithm should be "leastConnections"`,
      `pool ${green} has no health monitor, without which no server is believed to be up, and is not ours: add one yourself`,
      `pool ${green} lacks green-0, green-1, and is not ours: add them yourself`,
    ]);
  });

  test('keeps its port', async () => {
    await made('listener', { name: 'x', port: 8888, protocol: 'tcp' });
    expect((await surveyed(aWish({ stagingPort: 80 }))).refusals).toEqual([
      `port 80 is taken by listener ${web}, needs another: --staging-port`,
    ]);
    await provisioned();
    expect(await stored()).toContain('listener 8889 -> verdigris:greeter@production:green');
  });
});

describe('the protocol of its pools', () => {
  test.each([
    [['https'], 'https', 'tls-hello'],
    [['tcp', 'http'], 'http', 'http'],
    [['tcp'], 'tcp', 'tcp'],
    [['terminatedHTTPS'], 'http', 'http'],
  ] as const)('is one that listeners of %s can send to: %s', async (protocols, protocol, monitorType) => {
    const listeners: string[] = [];
    for (const [index, one] of protocols.entries())
      listeners.push(await made('listener', { name: one, port: 443 + index, protocol: one }));
    const { ids } = await provisioned(aWish({ settings: { ...settings(), listeners } }));
    const { applied } = world.balancer;
    expect(applied.get('pool', ids['pools.blue'])?.fields['protocol']).toBe(protocol);
    expect(applied.list('healthMonitor', String(ids['pools.blue']))[0]?.fields).toMatchObject({
      monitorType,
    });
    expect(applied.get('listener', ids['stagingListener'])?.fields['protocol']).toBe(protocol);
  });

  test('is refused where none goes with all, or a named pool does not', async () => {
    const https = await made('listener', { name: 's', port: 443, protocol: 'https' });
    const both = { ...settings(), listeners: [web, https] };
    expect((await surveyed(aWish({ settings: both }))).refusals).toEqual([
      expect.stringMatching(/^no pool goes with all of its listeners: \S+ \(http\), \S+ \(https\), needs/),
    ]);
    const blue = await made('pool', { name: 'app', algorithm: 'roundRobin', protocol: 'http' });
    expect((await surveyed(aWish({ settings: both, pools: { blue } }))).refusals).toEqual([
      `listener ${https} (https) cannot send to pool ${blue} (http), needs one that it can`,
    ]);
  });
});

describe('mixed pools', () => {
  test('whose weights are set: one with everybody, by which the driver can divide', async () => {
    const wish = aWish({ mixed: { pools: [], weights: 'set' } });
    const { ids } = await provisioned(wish);
    await call('PUT', `listener/${web}`, { defaultPoolId: ids['pools.blue'] });
    expect(ids['mixed.pools']).toHaveLength(1);
    const mixed = { pools: ids['mixed.pools'] as readonly string[], weights: 'set' as const };
    expect(await observed(ids, { mixed })).toMatchObject({ division: { kind: 'possible' } });
    expect((await provisioned(wish)).created).toEqual([]);
    expect((await surveyed(aWish({ ...wish, mixed }))).steps).toEqual([]);
    const [found] = await discoverBalancers(world.client());
    expect(balancerProposal(found!, wish.service)).toMatchObject({
      listeners: [web],
      stagingListener: ids['stagingListener'],
      pools: { blue: ids['pools.blue'], green: ids['pools.green'] },
      mixed: { pools: ids['mixed.pools'] },
      open: [],
    });
  });

  test('whose weights are kept: one for each share, there and back, known again without the shares', async () => {
    const wish = aWish({ mixed: { pools: [], weights: 'keep' } });
    expect((await surveyed(wish)).refusals).toEqual([
      expect.stringContaining('nobody says what the mixed pools shall give, needs --share 5 25'),
    ]);
    const { ids } = await provisioned({ ...wish, shares: [25, 50] });
    const weights = (await stored()).filter((line) =>
      line.endsWith('in verdigris:greeter@production:mixed-25'),
    );
    expect(weights).toEqual([
      '10.0.0.1 weight 3 in verdigris:greeter@production:mixed-25',
      '10.0.0.2 weight 3 in verdigris:greeter@production:mixed-25',
      '10.0.0.5 weight 1 in verdigris:greeter@production:mixed-25',
      '10.0.0.6 weight 1 in verdigris:greeter@production:mixed-25',
    ]);
    expect((await stored()).filter((line) => line.startsWith('pool verdigris'))).toHaveLength(5);
    expect(await provisioned(wish)).toEqual({ ids, created: [] });
    const named = aWish({
      mixed: { pools: ids['mixed.pools'] as readonly string[], weights: 'keep' },
      shares: [5],
    });
    const { steps, notes } = await surveyed(named);
    expect([steps, notes[0]]).toEqual([[], expect.stringContaining('--share has no effect')]);
  });
});

test('adds no member to a pool that has traffic, by a listener or by a policy: it would get some before any probe', async () => {
  const { ids } = await provisioned();
  await call('PUT', `listener/${web}`, { defaultPoolId: ids['pools.blue'] });
  const more = {
    blue: [...environments.blue, aServer('blue', 2)],
    green: [...environments.green, aServer('green', 2)],
  };
  const wish = aWish({
    service: { ...aWish().service, environments: more },
    pools: { blue: String(ids['pools.blue']), green: String(ids['pools.green']) },
  });
  const { steps, notes } = await surveyed(wish);
  expect(steps).toEqual([expect.stringContaining('create its members green-2')]);
  expect(notes).toEqual([expect.stringMatching(/^pool \S+ lacks blue-2, and has traffic/)]);
  const redirectPoolId = ids['pools.green'];
  await made('l7Policy', { listenerId: web, action: 'redirectToPool', redirectPoolId });
  expect((await surveyed(wish)).steps).toEqual([]);
});

test('leaves out the staging listener where that is asked for, and servers weigh what the configuration says', async () => {
  const { ids } = await provisioned(
    aWish({ hasStaging: false, settings: { ...settings(), weights: { 'green-1': 4 } } }),
  );
  expect(ids).not.toHaveProperty('stagingListener');
  expect(await stored()).toContain('10.0.0.6 weight 4 in verdigris:greeter@production:green');
});

test('uses one of two pools with its name, always the same, and says so', async () => {
  const body = { name: 'verdigris:greeter@production:blue', algorithm: 'roundRobin', protocol: 'http' };
  const twins = [await made('pool', body), await made('pool', body)].toSorted();
  const { notes } = await surveyed();
  expect(notes).toContain(
    `pool ${twins[1]} has the name of pool ${twins[0]} (${body.name}): it is not used, delete it yourself`,
  );
  await call('PUT', `listener/${web}`, { defaultPoolId: twins[1] });
  expect((await provisioned()).ids['pools.blue'], 'the one that is used').toBe(twins[1]);
});
