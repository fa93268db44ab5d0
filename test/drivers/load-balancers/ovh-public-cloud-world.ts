import { colors, type Color } from '../../../domain/color.js';
import { ServerName } from '../../../domain/names.js';
import type { OvhPublicCloudSettings, Server } from '../../../domain/service.js';
import { allTo, type Split } from '../../../domain/split.js';
import { splitOf } from '../../../domain/weights.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhPublicCloud } from '../../../drivers/load-balancers/ovh-public-cloud.js';
import type { OvhApi } from '../../../ovh/api.js';
import type { DataPlane } from '../../../sandbox/data-plane/data-plane.js';
import type { OvhApi as Emulator, OvhApiBehaviour } from '../../../sandbox/ovh-api/ovh-api.js';
import type { PublicCloudLoadBalancer } from '../../../sandbox/ovh-api/public-cloud/load-balancer.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { endless } from '../../../drivers/patience.js';
import { ask } from '../../sandbox/load.js';
import { program, until } from '../../sandbox/program.js';
import { anEmulation, aServer, namesOf, type EmulatedWorld, type Emulation } from './emulation.js';
import type { Life } from './load-balancer.contract.js';
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
  readonly api: Emulation['api'];
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
  /** Beside the load balancers that are there already. */
  readonly beside?: Emulation;
}

const somePorts = { blue: [8001, 8002], green: [9001, 9002] };

/** An emulated Public Cloud Load Balancer with two production listeners, and somebody else's pool and listener beside. */
export async function aPublicCloud(options: PublicCloudWorldOptions = {}): Promise<PublicCloudWorld> {
  const { ports = somePorts, staging = true, isDivisible = false } = options;
  const { isVirtual: isSlow = false, inProcess = isSlow, behaviour = {} } = options;
  const emulation = options.beside ?? (await anEmulation({ isVirtual: isSlow, inProcess, behaviour }));
  const { emulator, isVirtual } = emulation;
  const { dataPlane = new SilentDataPlane({ clock: emulation.time.epochMs }) } = options;
  const { publicCloud } = emulator;
  const balancer = publicCloud.add(dataPlane);
  const { project, region } = publicCloud;
  const root = `/cloud/project/${project}/region/${region}/loadbalancing`;

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
    ports[color].map((port, index) => aServer(color, port, index + 1)),
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

  const settings: OvhPublicCloudSettings = {
    driver: 'ovh-public-cloud',
    api: emulation.apiSettings,
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

  const driverOver: PublicCloudWorld['driverOver'] = (over, changed = {}) =>
    createOvhPublicCloud({
      api: over,
      settings: { ...settings, ...changed },
      servers: members,
      time: emulation.time,
    });

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
  const atFirst = emulation.bookmark();
  return {
    emulation,
    stages: false,
    emulator,
    balancer,
    settings,
    members,
    root,
    otherPool,
    api: emulation.api,
    driverOver,
    call,
    aMixedPool,
    written: () =>
      emulator.journal.entries
        .filter(({ by, method }) => by === 'client' && method !== 'GET')
        .map(({ method, path, status }) => `${method} ${path.slice(root.length + 1)} ${status}`),
    servers: { blue: namesOf(members, 'blue'), green: namesOf(members, 'green') },
    driver: (callsToLive: number | Life = Infinity) => driverOver(emulation.mortal(callsToLive)),
    get calls() {
      return emulation.calls;
    },
    get writes() {
      return emulation.writes;
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
    /** Nothing is ever stored only: what somebody else does to a part of our traffic is in effect at once. */
    async stray(to) {
      await pointAll({ [listeners[1] ?? '']: pools[to] });
    },
    refresh: () => Promise.resolve(),
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
      emulator.journal.clear();
      balancer.untold.clear();
      if (dataPlane instanceof SilentDataPlane)
        for (const id of memberIds.values()) dataPlane.setUp(balancer.numberOf(id), true);
      await atFirst();
    },
    close: () => emulation.close(),
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
