import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { ServerName } from '../../../domain/names.js';
import { hashOf } from '../../../domain/hash.js';
import type { IplbEntry, OvhIplbSettings, Server, TestersMark } from '../../../domain/service.js';
import { allTo, type Split } from '../../../domain/split.js';
import { splitOf } from '../../../domain/weights.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { ruleFor } from '../../../drivers/load-balancers/ovh-iplb/routes.js';
import type { OvhApi, OvhClient } from '../../../ovh/api.js';
import type { OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import type { Objects } from '../../../sandbox/ovh-api/iplb/objects.js';
import {
  anEmulation,
  aServer,
  inTwoZones,
  namesOf,
  type EmulatedWorld,
  type Emulation,
} from './emulation.js';

export interface IplbWorld extends EmulatedWorld {
  readonly emulator: Emulator;
  readonly settings: OvhIplbSettings;
  readonly members: readonly Server[];
  readonly root: string;
  readonly otherFarm: number;
  readonly shared: OvhClient;
  readonly api: Emulation['api'];
  orders(): number;
}

interface Equipment {
  readonly equipped?: boolean;
  /** A tcp frontend beside, on another port of the same servers. */
  readonly also?: boolean;
  /** Beside the load balancers that are there already. */
  readonly beside?: Emulation;
  /** As slow as the real one, without a network, in virtual time. */
  readonly isVirtual?: boolean;
}

export const aSlowIplb = (protocol: 'http' | 'tcp' = 'http', equipment: Equipment = {}): Promise<IplbWorld> =>
  anIplb(protocol, { ...equipment, isVirtual: true });

/** The object that stands for a server in the farm of a role. */
type Place = Color | 'mixed';

/**
 * An emulated OVHcloud Load Balancer in two zones, with two production frontends that are moved together. Equipped, it has a
 * mixed farm, backups, and a route for testers.
 */
export async function anIplb(
  protocol: 'http' | 'tcp' = 'http',
  { equipped = false, also = false, isVirtual = false, beside }: Equipment = {},
): Promise<IplbWorld> {
  const emulation = beside ?? (await anEmulation({ isVirtual }));
  const { emulator, shared } = emulation;
  const dataPlane = beside ? inTwoZones(beside.time) : emulation.dataPlane;
  const serviceName = beside ? emulator.admin.addLoadBalancer(dataPlane) : emulator.serviceName;
  const root = `/ipLoadbalancing/${serviceName}`;
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
      const address = `127.0.0.${index + (color === 'blue' ? 1 : 3)}`;
      const server = aServer(color, (color === 'blue' ? 8000 : 9000) + port, index + 1, address);
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

  const settings: OvhIplbSettings = {
    driver: 'ovh-iplb',
    api: emulation.apiSettings,
    serviceName,
    protocol,
    frontends,
    stagingFrontend,
    farms,
    ...equipment,
    ...(also ? { also: [await aTcpEntry()] } : {}),
    refreshDeadlineMs: emulation.isVirtual ? 900_000 : 10_000,
  };
  const farmOf = (where: Place): number | undefined => (where === 'mixed' ? mixedFarm : farms[where]);
  const pathIn = (name: ServerName, where: Place): string =>
    `${protocol}/farm/${farmOf(where)}/server/${idOf(name, where)}`;
  const serverPath = (name: ServerName): string => pathIn(name, colorOf(name));

  const { quiet } = emulation;
  const refresh = async (): Promise<void> => void (await emulator.admin.refreshAsSomebodyElse(serviceName));
  const publish = async (): Promise<void> => {
    await refresh();
    await quiet();
  };

  const driverOver = (over: OvhApi): LoadBalancerDriver =>
    createOvhIplb({ api: over, settings, servers: members, time: emulation.time });
  const appliedOn = (instanceId = dataPlane.instances[0]?.instanceId ?? 0): Objects | undefined =>
    emulator.admin.appliedOn(instanceId, serviceName);

  const dividedOn = (applied: Objects): Split | 'torn' =>
    splitOf(
      members.flatMap(({ name, color }) => {
        const { status, weight } = applied.get('server', idOf(name, 'mixed'))?.fields ?? {};
        return status === 'active' ? [[color, Number(weight)] as const] : [];
      }),
    ) ?? 'torn';

  await publish();
  const atFirst = emulation.bookmark();
  return {
    emulation,
    stages: true,
    emulator,
    settings,
    members,
    root,
    otherFarm,
    api: emulation.api,
    shared,
    driverOver,
    refresh,
    orders: () =>
      emulator.journal.entries.filter(({ method, path }) => method === 'POST' && path.endsWith('/refresh'))
        .length,
    servers: { blue: namesOf(members, 'blue'), green: namesOf(members, 'green') },
    driver: (callsToLive = Infinity) => driverOver(emulation.mortal(callsToLive)),
    get calls() {
      return emulation.calls;
    },
    get writes() {
      return emulation.writes;
    },
    quiet,
    async published() {
      await quiet();
      const splits = dataPlane.instances.map(({ instanceId }) => {
        const applied = appliedOn(instanceId);
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
      const applied = appliedOn();
      return members.flatMap(({ name, color }) =>
        applied?.get('server', idOf(name, color))?.fields['status'] === 'inactive' ? [name] : [],
      );
    },
    async backups() {
      const applied = appliedOn();
      return members.flatMap(({ name, color }) =>
        applied?.get('server', idOf(name, otherColor(color)))?.fields['status'] === 'active' ? [name] : [],
      );
    },
    async testersReach() {
      const applied = appliedOn();
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
      emulator.journal.clear();
      for (const { name, color } of members) dataPlane.setUp(idOf(name, color), true);
      await atFirst();
    },
    close: () => emulation.close(),
  };
}

const testersMark: TestersMark = { kind: 'header', name: 'X-Preview', value: 'yes' };

const colorOf = (name: ServerName): Color => (name.startsWith('blue') ? 'blue' : 'green');
