import { colors, otherColor, type Color } from '../../../domain/color.js';
import { SecretName, ServerName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import { hashOf } from '../../../domain/hash.js';
import type { IplbEntry, OvhIplbSettings, Server, TestersMark } from '../../../domain/service.js';
import { allTo, type Split } from '../../../domain/split.js';
import { splitOf } from '../../../domain/weights.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { ruleFor } from '../../../drivers/load-balancers/ovh-iplb/routes.js';
import { createOvhApi, type OvhApi, type OvhApiOptions, type OvhClient } from '../../../ovh/api.js';
import { realTime, type Time } from '../../../ovh/time.js';
import {
  startOvhApi,
  type OvhApi as Emulator,
  type OvhApiBehaviour,
} from '../../../sandbox/ovh-api/ovh-api.js';
import type { Objects } from '../../../sandbox/ovh-api/iplb/objects.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { transportTo } from '../../support/in-process.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { lifeOf, type Life, type LoadBalancerWorld } from './load-balancer.contract.js';

export interface IplbWorld extends LoadBalancerWorld {
  readonly time: Time;
  /** Somebody points the second frontend at an environment, and stores that. */
  stray(to: Color): Promise<void>;
  readonly emulator: Emulator;
  readonly settings: OvhIplbSettings;
  readonly members: readonly Server[];
  readonly root: string;
  readonly otherFarm: number;
  readonly shared: OvhClient;
  /** A client with the world's keys, or others. */
  api(options?: Partial<OvhApiOptions>): OvhClient;
  driverOver(api: OvhApi): LoadBalancerDriver;
  orders(): number;
}

/** How time passes for the emulator and the drivers, and what takes how long. */
interface Pace {
  readonly time: Time;
  readonly behaviour: Partial<OvhApiBehaviour>;
  readonly client: Partial<OvhApiOptions>;
  readonly refreshDeadlineMs: number;
  /** How often the world looks whether a refresh has ended. */
  readonly lookEveryMs: number;
}

/** Over TLS, and quick. */
const fast: Pace = {
  time: realTime,
  behaviour: { todoMs: 2, doingMs: 6 },
  client: { rate: { perSecond: 10_000, burst: 10_000 }, readDeadlineMs: 2_000, writeDeadlineMs: 500 },
  refreshDeadlineMs: 10_000,
  lookEveryMs: 1,
};

/** As slow as the real one, in time that jumps over waiting; with the product's own rate and deadlines. */
const asSlowAsReal = (): Pace => ({
  time: new VirtualTime(),
  behaviour: { todoMs: 5_000, doingMs: 90_000, instanceStaggerMs: 10_000 },
  client: {},
  refreshDeadlineMs: 900_000,
  lookEveryMs: 10_000,
});

interface Equipment {
  readonly equipped?: boolean;
  /** A tcp frontend beside, on another port of the same servers. */
  readonly also?: boolean;
}

/** The same without a network, in virtual time. */
export const aSlowIplb = (protocol: 'http' | 'tcp' = 'http', equipment: Equipment = {}): Promise<IplbWorld> =>
  anIplb(protocol, asSlowAsReal(), equipment);

/** The object that stands for a server in the farm of a role. */
type Place = Color | 'mixed';

/**
 * An emulated OVHcloud Load Balancer in two zones, with two production frontends that are moved together. Equipped, it has a
 * mixed farm, backups, and a route for testers.
 */
export async function anIplb(
  protocol: 'http' | 'tcp' = 'http',
  pace = fast,
  { equipped = false, also = false }: Equipment = {},
): Promise<IplbWorld> {
  const { time } = pace;
  const clock = time.epochMs;
  const dataPlane = new SilentDataPlane({ zones: ['gra', 'rbx'], clock });
  const emulator = await startOvhApi({
    dataPlane,
    behaviour: pace.behaviour,
    clock,
    sleep: time.sleep,
  });
  const root = `/ipLoadbalancing/${emulator.serviceName}`;
  const clients: OvhClient[] = [];
  const create = async (
    path: string,
    body: Record<string, string | number | boolean | object>,
    idField: string,
    whole = `${protocol}/${path}`,
  ) => {
    const made = await emulator.admin.editAsSomebodyElse('POST', `${root}/${whole}`, body as never);
    return (made as Record<string, number>)[idField] as number;
  };
  const edit = (path: string, body: object) =>
    emulator.admin.editAsSomebodyElse('PUT', `${root}/${path}`, body as never);

  const probe = { type: 'tcp', interval: 30 };
  const aFarm = () => create('farm', { zone: 'all', port: 80, balance: 'roundrobin', probe }, 'farmId');
  const farms = { blue: await aFarm(), green: await aFarm() };
  const otherFarm = await aFarm();
  const mixedFarm = equipped ? await aFarm() : undefined;
  const members: Server[] = [];
  const serverIds = new Map<string, number>();
  const idOf = (name: ServerName, place: Place): number => serverIds.get(`${name} in ${place}`) ?? 0;
  const place = async (server: Server, where: Place, farm: number, body: object = {}): Promise<void> => {
    const { address, port, name } = server;
    const whole = { address, port, status: 'active', probe: true, ...body };
    serverIds.set(`${name} in ${where}`, await create(`farm/${farm}/server`, whole, 'serverId'));
  };
  for (const color of colors) {
    for (const [index, port] of [1, 2].entries()) {
      const server = aServer(color, index + 1, (color === 'blue' ? 8000 : 9000) + port);
      const other = otherColor(color);
      await place(server, color, farms[color]);
      if (mixedFarm !== undefined) {
        await place(server, 'mixed', mixedFarm);
        await place(server, other, farms[other], { backup: true, status: 'inactive' });
      }
      members.push(server);
    }
  }
  const aFrontend = (port: string, defaultFarmId: number, path = `${protocol}/frontend`) =>
    create('', { zone: 'all', port, defaultFarmId }, 'frontendId', path);
  const aTcpFarm = async (servers: readonly Server[]): Promise<number> => {
    const farm = await create('', { zone: 'all', port: 7000, probe }, 'farmId', 'tcp/farm');
    for (const { address } of servers) {
      const body = { address, port: 7000, status: 'active', probe: true };
      await create('', body, 'serverId', `tcp/farm/${farm}/server`);
    }
    return farm;
  };
  const frontends = [await aFrontend('80', farms.blue), await aFrontend('81', farms.blue)];
  const stagingFrontend = await aFrontend('8888', farms.green);
  await aFrontend('90', otherFarm);
  const equipment =
    mixedFarm === undefined
      ? {}
      : {
          mixed: { farm: mixedFarm, stagingFrontend: await aFrontend('8889', mixedFarm) },
          fallback: 'old-environment' as const,
          testers: { route: await aTestersRoute(), by: testersMark },
        };

  async function aTcpEntry(): Promise<IplbEntry> {
    const of = (color: Color): readonly Server[] => members.filter((server) => server.color === color);
    const tcp = { blue: await aTcpFarm(of('blue')), green: await aTcpFarm(of('green')) };
    const mixed = await aTcpFarm(members);
    return {
      protocol: 'tcp',
      frontends: [await aFrontend('70', tcp.blue, 'tcp/frontend')],
      stagingFrontend: await aFrontend('7888', tcp.green, 'tcp/frontend'),
      farms: tcp,
      mixed: { farm: mixed, stagingFrontend: await aFrontend('7889', mixed, 'tcp/frontend') },
    };
  }

  async function aTestersRoute(): Promise<number> {
    const action = { type: 'farm', target: String(farms.blue) };
    const route = await create('route', { frontendId: frontends[0] ?? 0, action }, 'routeId');
    await create(`route/${route}/rule`, ruleFor(testersMark), 'ruleId');
    return route;
  }

  const secret = { secret: SecretName('unused') };
  const settings: OvhIplbSettings = {
    driver: 'ovh-iplb',
    api: { endpoint: emulator.url, applicationKey: secret, applicationSecret: secret, consumerKey: secret },
    serviceName: emulator.serviceName,
    protocol,
    frontends,
    stagingFrontend,
    farms,
    ...equipment,
    ...(also ? { also: [await aTcpEntry()] } : {}),
    refreshDeadlineMs: pace.refreshDeadlineMs,
  };
  const farmOf = (where: Place): number | undefined => (where === 'mixed' ? mixedFarm : farms[where]);
  const pathIn = (name: ServerName, where: Place): string =>
    `${protocol}/farm/${farmOf(where)}/server/${idOf(name, where)}`;
  const serverPath = (name: ServerName): string => pathIn(name, colorOf(name));

  const quiet = async (): Promise<void> => {
    for (;;) {
      const open = await Promise.all(
        ['todo', 'doing'].map((status) =>
          emulator.admin.editAsSomebodyElse('GET', `${root}/task?status=${status}`),
        ),
      );
      if (open.flat().length === 0) return;
      await time.sleep(pace.lookEveryMs);
    }
  };
  const publish = async (): Promise<void> => {
    await emulator.admin.refreshAsSomebodyElse();
    await quiet();
  };

  const api = (options: Partial<OvhApiOptions> = {}): OvhClient => {
    const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
    const client = createOvhApi({
      endpoint: emulator.url,
      caFile: emulator.caFile,
      keys: {
        applicationKey: new Secret(applicationKey),
        applicationSecret: new Secret(applicationSecret),
        consumerKey: new Secret(consumerKey),
      },
      time,
      ...(time === realTime ? {} : { transport: transportTo(emulator) }),
      ...pace.client,
      ...options,
    });
    clients.push(client);
    return client;
  };
  const driverOver = (over: OvhApi): LoadBalancerDriver =>
    createOvhIplb({ api: over, settings, servers: members, time });
  const shared = api();
  let calls = 0;
  let writes = 0;
  const mortal = (life: Life): OvhApi => {
    const call = async <Answer>(isWrite: boolean, act: () => Promise<Answer>): Promise<Answer> => {
      if (life.left-- <= 0) throw new Error('killed');
      calls++;
      if (isWrite) writes++;
      return act();
    };
    return {
      host: shared.host,
      get: (path, options) => call(false, () => shared.get(path, options)),
      time: (options) => call(false, () => shared.time(options)),
      put: (path, body, options) => call(true, () => shared.put(path, body, options)),
      post: (path, body, options) => call(true, () => shared.post(path, body, options)),
      delete: (path, options) => call(true, () => shared.delete(path, options)),
    };
  };

  const dividedOn = (applied: Objects): Split | 'torn' =>
    splitOf(
      members.flatMap(({ name, color }) => {
        const { status, weight } = applied.get('server', idOf(name, 'mixed'))?.fields ?? {};
        return status === 'active' ? [[color, Number(weight)] as const] : [];
      }),
    ) ?? 'torn';

  await publish();
  const atFirst = emulator.admin.state();
  return {
    time,
    emulator,
    settings,
    members,
    root,
    otherFarm,
    api,
    shared,
    driverOver,
    orders: () =>
      emulator.journal.entries.filter(({ method, path }) => method === 'POST' && path.endsWith('/refresh'))
        .length,
    servers: { blue: namesOf(members, 'blue'), green: namesOf(members, 'green') },
    driver: (callsToLive = Infinity) => driverOver(mortal(lifeOf(callsToLive))),
    get calls() {
      return calls;
    },
    get writes() {
      return writes;
    },
    quiet,
    async published() {
      await quiet();
      const splits = dataPlane.instances.map(({ instanceId }) => {
        const applied = emulator.admin.appliedOn(instanceId);
        const reached = new Set(frontends.map((id) => applied?.get('frontend', id)?.fields['defaultFarmId']));
        const [farm] = reached;
        if (reached.size !== 1) return 'torn';
        const color = colors.find((one) => farm === farms[one]);
        if (color) return allTo(color);
        return farm === mixedFarm && applied ? dividedOn(applied) : 'torn';
      });
      const [first = 'torn'] = splits;
      return splits.every((split) => hashOf(split) === hashOf(first)) ? first : 'torn';
    },
    async inactive() {
      const applied = emulator.admin.appliedOn(dataPlane.instances[0]?.instanceId ?? 0);
      return members.flatMap(({ name, color }) =>
        applied?.get('server', idOf(name, color))?.fields['status'] === 'inactive' ? [name] : [],
      );
    },
    async backups() {
      const applied = emulator.admin.appliedOn(dataPlane.instances[0]?.instanceId ?? 0);
      return members.flatMap(({ name, color }) =>
        applied?.get('server', idOf(name, otherColor(color)))?.fields['status'] === 'active' ? [name] : [],
      );
    },
    async testersReach() {
      const applied = emulator.admin.appliedOn(dataPlane.instances[0]?.instanceId ?? 0);
      const action = applied?.get('route', settings.testers?.route ?? 0)?.fields['action'];
      const everybody = applied?.get('frontend', frontends[0] ?? 0)?.fields['defaultFarmId'];
      const target = Number((action as { target?: string } | undefined)?.target);
      return target === everybody ? undefined : colors.find((color) => farms[color] === target);
    },
    async edit(whose, how) {
      const object = `${protocol}/farm/${whose === 'ours' ? farms.blue : otherFarm}`;
      await edit(object, { balance: 'leastconn' });
      if (how === 'published') await publish();
      return object;
    },
    async stray(to) {
      await edit(`${protocol}/frontend/${frontends[1]}`, { defaultFarmId: farms[to] });
    },
    async move(to) {
      for (const id of frontends) await edit(`${protocol}/frontend/${id}`, { defaultFarmId: farms[to] });
      await publish();
    },
    loseAnswer(nth, moment) {
      const storing = frontends.length + 1 + (equipped ? 1 : 0);
      const action = moment === 'before' ? 'drop-before' : 'drop-after';
      if (nth <= storing) emulator.faults.add({ method: 'PUT', path: '*', after: nth - 1, times: 1, action });
      else emulator.faults.add({ method: 'POST', path: '*', times: 1, action });
    },
    async setBackend(server, state) {
      dataPlane.setUp(idOf(server, colorOf(server)), state !== 'down');
      await edit(serverPath(server), { probe: state !== 'unchecked' });
      await publish();
    },
    async reset() {
      emulator.faults.clear();
      emulator.journal.clear();
      await quiet();
      for (const { name, color } of members) dataPlane.setUp(idOf(name, color), true);
      await emulator.admin.restore(atFirst);
    },
    async close() {
      for (const client of clients) client.close();
      await emulator.close();
    },
  };
}

const testersMark: TestersMark = { kind: 'header', name: 'X-Preview', value: 'yes' };

const colorOf = (name: ServerName): Color => (name.startsWith('blue') ? 'blue' : 'green');

const namesOf = (members: readonly Server[], color: Color): readonly ServerName[] =>
  members.filter((server) => server.color === color).map(({ name }) => name);

function aServer(color: Color, index: number, port: number): Server {
  return {
    name: ServerName(`${color}-${index}`),
    color,
    address: `127.0.0.${index + (color === 'blue' ? 0 : 2)}`,
    port,
    unit: 'greeter.service',
    directory: '/srv/greeter',
    probe: { address: '127.0.0.1', port },
    connection: { driver: 'in-memory', world: 'servers' },
  };
}
