import { colors, type Color } from '../../../domain/color.js';
import { SecretName, ServerName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhPublicCloudSettings, Server } from '../../../domain/service.js';
import { allTo, type Split } from '../../../domain/split.js';
import { splitOf } from '../../../domain/weights.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhPublicCloud } from '../../../drivers/load-balancers/ovh-public-cloud.js';
import { createOvhApi, type OvhApi, type OvhApiOptions, type OvhClient } from '../../../ovh/api.js';
import { realTime, type Time } from '../../../ovh/time.js';
import type { DataPlane } from '../../../sandbox/data-plane/data-plane.js';
import {
  startOvhApi,
  type OvhApi as Emulator,
  type OvhApiBehaviour,
} from '../../../sandbox/ovh-api/ovh-api.js';
import type { PublicCloudLoadBalancer } from '../../../sandbox/ovh-api/public-cloud/load-balancer.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { endless } from '../../../drivers/patience.js';
import { ask } from '../../sandbox/load.js';
import { program, until } from '../../sandbox/program.js';
import { transportTo } from '../../support/in-process.js';
import { VirtualTime } from '../../support/virtual-time.js';
import type { EmulatedWorld } from './faulty-world.js';
import { lifeOf, type Life } from './load-balancer.contract.js';
import type { CarryingDataPlane } from './switching-under-load.js';

export interface PublicCloudWorld extends EmulatedWorld {
  readonly emulator: Emulator;
  readonly balancer: PublicCloudLoadBalancer;
  readonly settings: OvhPublicCloudSettings;
  readonly members: readonly Server[];
  readonly root: string;
  readonly otherPool: string;
  /** Given the share of green and every server's weight; tells its id. */
  aMixedPool(weights: Readonly<Record<Color, number>>, more?: object): Promise<string>;
  api(options?: Partial<OvhApiOptions>): OvhClient;
  driverOver(api: OvhApi, settings?: Partial<OvhPublicCloudSettings>): LoadBalancerDriver;
  /** Somebody's call past credentials, once the load balancer is free. */
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<never>;
  /** Writes of drivers that reached the API since its journal was cleared, with how they were answered. */
  written(): readonly string[];
}

export interface PublicCloudWorldOptions {
  readonly behaviour?: Partial<OvhApiBehaviour>;
  readonly dataPlane?: DataPlane;
  /** Ports of the programs. */
  readonly ports?: Readonly<Record<Color, readonly number[]>>;
  readonly staging?: boolean;
  /** As slow as the real one, without a network, in time that jumps over waiting. */
  readonly isVirtual?: boolean;
  /** With a mixed pool whose weights are set. */
  readonly isDivisible?: boolean;
  /** The API is called in this process, past TLS and the network. */
  readonly inProcess?: boolean;
}

const fast: Partial<OvhApiBehaviour> = { updatingMs: 2, creatingMs: 4 };
const asSlowAsReal: Partial<OvhApiBehaviour> = { updatingMs: 7_000, creatingMs: 120_000 };
const somePorts = { blue: [8001, 8002], green: [9001, 9002] };

/** An emulated Public Cloud Load Balancer with two production listeners, and somebody else's pool and listener beside. */
export async function aPublicCloud(options: PublicCloudWorldOptions = {}): Promise<PublicCloudWorld> {
  const { ports = somePorts, staging = true, isVirtual = false, inProcess = isVirtual } = options;
  const { isDivisible = false } = options;
  const time: Time = isVirtual ? new VirtualTime() : realTime;
  const clock = time.epochMs;
  const { dataPlane = new SilentDataPlane({ clock }) } = options;
  const pace = isVirtual ? asSlowAsReal : fast;
  const emulator = await startOvhApi({
    behaviour: { ...pace, ...options.behaviour },
    ...(isVirtual ? { clock, sleep: time.sleep } : {}),
  });
  const { publicCloud } = emulator;
  const balancer = publicCloud.add(dataPlane);
  const { project, region } = publicCloud;
  const root = `/cloud/project/${project}/region/${region}/loadbalancing`;
  const clients: OvhClient[] = [];

  const quiet = () => balancer.settled();
  const call: PublicCloudWorld['call'] = async (method, path, body) => {
    await quiet();
    const answer = await emulator.admin.editAsSomebodyElse(method, `${root}/${path}`, body as never);
    await quiet();
    return answer as never;
  };
  const create = async (path: string, body: object): Promise<string> =>
    ((await call('POST', path, body)) as { id: string }).id;
  const loadbalancerId = balancer.id;

  const monitor = {
    name: 'health',
    monitorType: 'http',
    delay: 2,
    timeout: 1,
    maxRetries: 1,
    maxRetriesDown: 1,
  };
  const httpConfiguration = { httpMethod: 'GET', urlPath: '/health', expectedCodes: '200' };
  const aPool = async (name: string, more: object = {}): Promise<string> => {
    const id = await create('pool', {
      loadbalancerId,
      name,
      algorithm: 'roundRobin',
      protocol: 'http',
      ...more,
    });
    await create('healthMonitor', { poolId: id, ...monitor, httpConfiguration });
    return id;
  };
  const members: Server[] = colors.flatMap((color) =>
    ports[color].map((port, index) => aServer(color, index + 1, port)),
  );
  const memberIds = new Map<ServerName, string>();
  const addMembers = (pool: string, given: readonly Server[], weight: (server: Server) => number) =>
    call('POST', `pool/${pool}/member`, {
      members: given.map((server) => ({
        name: server.name,
        address: server.address,
        protocolPort: server.port,
        weight: weight(server),
      })),
    }) as Promise<readonly { id: string; name: string }[]>;
  const pools = { blue: await aPool('blue'), green: await aPool('green') };
  for (const color of colors) {
    const own = members.filter((server) => server.color === color);
    for (const { id, name } of await addMembers(pools[color], own, () => 1))
      memberIds.set(ServerName(name), id);
  }
  const otherPool = await aPool('other');
  const aListener = (name: string, port: number, defaultPoolId: string) =>
    create('listener', {
      loadbalancerId,
      name,
      port,
      protocol: 'http',
      defaultPoolId,
      ...(dataPlane instanceof SilentDataPlane ? { allowedCidrs: ['192.0.2.0/24'] } : {}),
    });
  const listeners = [await aListener('web', 80, pools.blue), await aListener('web-alt', 81, pools.blue)];
  const stagingListener = staging ? await aListener('staging', 8888, pools.green) : undefined;
  await aListener('other', 90, otherPool);

  const aMixedPool: PublicCloudWorld['aMixedPool'] = async (weights, more = {}) => {
    const pool = await aPool('mixed', more);
    await addMembers(pool, members, ({ color }) => weights[color]);
    return pool;
  };
  const mixed = isDivisible ? await aMixedPool({ blue: 1, green: 1 }) : undefined;

  const secret = { secret: SecretName('unused') };
  const settings: OvhPublicCloudSettings = {
    driver: 'ovh-public-cloud',
    api: { endpoint: emulator.url, applicationKey: secret, applicationSecret: secret, consumerKey: secret },
    project,
    region,
    id: balancer.id,
    listeners,
    ...(stagingListener === undefined ? {} : { stagingListener }),
    pools,
    ...(mixed === undefined ? {} : { mixed: { pools: [mixed], weights: 'set' as const } }),
    weights: {},
    updateDeadlineMs: isVirtual ? 300_000 : 10_000,
    statusDelayMs: isVirtual ? 10_000 : 100,
  };

  const api = (more: Partial<OvhApiOptions> = {}): OvhClient => {
    const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
    const client = createOvhApi({
      endpoint: emulator.url,
      caFile: emulator.caFile,
      keys: {
        applicationKey: new Secret(applicationKey),
        applicationSecret: new Secret(applicationSecret),
        consumerKey: new Secret(consumerKey),
      },
      ...(isVirtual
        ? { time }
        : { rate: { perSecond: 10_000, burst: 10_000 }, readDeadlineMs: 2_000, writeDeadlineMs: 500 }),
      ...(inProcess ? { transport: transportTo(emulator) } : {}),
      ...more,
    });
    clients.push(client);
    return client;
  };
  const driverOver: PublicCloudWorld['driverOver'] = (over, changed = {}) =>
    createOvhPublicCloud({ api: over, settings: { ...settings, ...changed }, servers: members, time });
  const shared = api();
  let calls = 0;
  let writes = 0;
  const mortal = (callsToLive: number | Life): OvhApi => {
    const life = lifeOf(callsToLive);
    const counted = async <Answer>(isWrite: boolean, act: () => Promise<Answer>): Promise<Answer> => {
      if (life.left-- <= 0) throw new Error('killed');
      calls++;
      if (isWrite) writes++;
      return act();
    };
    return {
      host: shared.host,
      get: (path, given) => counted(false, () => shared.get(path, given)),
      time: (given) => counted(false, () => shared.time(given)),
      put: (path, body, given) => counted(true, () => shared.put(path, body, given)),
      post: (path, body, given) => counted(true, () => shared.post(path, body, given)),
      delete: (path, given) => counted(true, () => shared.delete(path, given)),
    };
  };

  const pointAll = async (to: Readonly<Record<string, string>>): Promise<void> => {
    for (const [id, defaultPoolId] of Object.entries(to)) {
      const { defaultPoolId: now } = (await call('GET', `listener/${id}`)) as { defaultPoolId: string };
      if (now !== defaultPoolId) await call('PUT', `listener/${id}`, { ...(await kept(id)), defaultPoolId });
    }
  };
  const kept = async (id: string): Promise<object> => {
    const { name, allowedCidrs } = (await call('GET', `listener/${id}`)) as {
      name: string;
      allowedCidrs: readonly string[];
    };
    return { name, allowedCidrs };
  };

  await quiet();
  const atFirst = publicCloud.state();
  return {
    emulator,
    balancer,
    settings,
    members,
    root,
    otherPool,
    time,
    shared,
    api,
    driverOver,
    call,
    aMixedPool,
    written: () =>
      emulator.journal.entries
        .filter(({ by, method }) => by === 'client' && method !== 'GET')
        .map(({ method, path, status }) => `${method} ${path.slice(root.length + 1)} ${status}`),
    servers: { blue: namesOf(members, 'blue'), green: namesOf(members, 'green') },
    driver: (callsToLive: number | Life = Infinity) => driverOver(mortal(callsToLive)),
    get calls() {
      return calls;
    },
    get writes() {
      return writes;
    },
    quiet,
    async published(): Promise<Split | 'torn'> {
      await quiet();
      const reached = new Set(
        listeners.map((id) => balancer.applied.get('listener', id)?.fields['defaultPoolId']),
      );
      const color = colors.find((one) => reached.size === 1 && reached.has(pools[one]));
      if (color) return allTo(color);
      if (mixed === undefined || reached.size !== 1 || !reached.has(mixed)) return 'torn';
      const weights = balancer.applied.list('member', mixed).map(({ fields }) => {
        const server = members.find(({ port }) => port === fields['protocolPort']);
        return [server?.color ?? 'blue', Number(fields['weight'])] as const;
      });
      return splitOf(weights) ?? 'torn';
    },
    async inactive() {
      await quiet();
      return members.flatMap(({ name }) =>
        balancer.applied.get('member', memberIds.get(name))?.fields['weight'] === 0 ? [name] : [],
      );
    },
    async edit(whose) {
      const object = `pool/${whose === 'ours' ? pools.blue : otherPool}`;
      await call('PUT', object, { algorithm: 'leastConnections' });
      return object;
    },
    async move(to) {
      await pointAll(Object.fromEntries(listeners.map((id) => [id, pools[to]])));
    },
    /** Nothing is ever stored only: an edit of somebody else is in effect at once, and is `move`. */
    stray: () => Promise.resolve(),
    refresh: () => Promise.resolve(),
    bookmark() {
      const state = publicCloud.state();
      return async () => {
        emulator.faults.clear();
        await quiet();
        await publicCloud.restore(state);
      };
    },
    loseAnswer(nth, moment) {
      const action = moment === 'before' ? 'drop-before' : 'drop-after';
      emulator.faults.add({ method: 'PUT', path: '*', after: nth - 1, times: 1, action });
    },
    setBackend(server, state) {
      const id = memberIds.get(server) ?? '';
      balancer.untold.delete(id);
      if (state === 'unchecked') balancer.untold.add(id);
      else if (dataPlane instanceof SilentDataPlane) dataPlane.setUp(balancer.numberOf(id), state === 'up');
      return Promise.resolve();
    },
    async reset() {
      emulator.faults.clear();
      emulator.journal.clear();
      await quiet();
      balancer.untold.clear();
      if (dataPlane instanceof SilentDataPlane)
        for (const id of memberIds.values()) dataPlane.setUp(balancer.numberOf(id), true);
      await publicCloud.restore(atFirst);
    },
    async close() {
      for (const client of clients) client.close();
      await emulator.close();
    },
  };
}

/** The same with programs that answer, so that what is published is what visitors meet. */
export async function aCarryingPublicCloud(
  dataPlane: CarryingDataPlane,
  more: Pick<PublicCloudWorldOptions, 'isDivisible'> = {},
): Promise<PublicCloudWorld> {
  const ill = new Set<string>();
  const started = await Promise.all(
    colors.flatMap((color) =>
      [1, 2].map((index) => {
        const name = `${color}-${index}`;
        return program(name, ({ url }, response) => {
          response.statusCode = url === '/health' && ill.has(name) ? 503 : 200;
          response.end(color);
        });
      }),
    ),
  );
  const portsOf = (color: Color): readonly number[] =>
    started.filter(({ name }) => name.startsWith(color)).map(({ port }) => port);
  const ports = { blue: portsOf('blue'), green: portsOf('green') };
  const world = await aPublicCloud({ dataPlane, ports, inProcess: true, ...more });
  const { balancer, settings } = world;
  const reached = async (): Promise<ReadonlySet<string>> => {
    const answers = settings.listeners.flatMap((id) =>
      Array.from({ length: 2 }, () => ask(dataPlane.portOf(balancer.numberOf(id)))),
    );
    return new Set((await Promise.all(answers)).map(({ body }) => body));
  };
  const stateOf = async (server: ServerName) => {
    const { backends } = await world.driver().observe(endless);
    return backends.find((backend) => backend.server === server)?.state;
  };
  return {
    ...world,
    get calls() {
      return world.calls;
    },
    get writes() {
      return world.writes;
    },
    async published() {
      await world.quiet();
      const answers = await reached();
      const color = colors.find((one) => answers.size === 1 && answers.has(one));
      return color ? allTo(color) : 'torn';
    },
    async setBackend(server, state) {
      if (state === 'down') ill.add(server);
      else ill.delete(server);
      await world.setBackend(server, state);
      await until(async () => (await stateOf(server)) === state);
    },
    async reset() {
      ill.clear();
      await world.reset();
    },
    async close() {
      await world.close();
      await dataPlane.close();
      await Promise.all(started.map((one) => one.stop()));
    },
  };
}

const namesOf = (members: readonly Server[], color: Color): readonly ServerName[] =>
  members.filter((server) => server.color === color).map(({ name }) => name);

export function aServer(color: Color, index: number, port: number): Server {
  return {
    name: ServerName(`${color}-${index}`),
    color,
    address: '127.0.0.1',
    port,
    unit: 'greeter.service',
    directory: '/srv/greeter',
    probe: { address: '127.0.0.1', port },
    connection: { driver: 'in-memory', world: 'servers' },
  };
}
