import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { ServiceId } from '../../../domain/names.js';
import type { MixedPools, OvhPublicCloudSettings, Server, Service } from '../../../domain/service.js';
import { weightsFor } from '../../../domain/weights.js';
import { isKept, keyWords, markerOf, type EntrancePath } from '../provisioning.js';
import type { Listener, Monitor, Pool } from './documents.js';
import type { Inventory } from './inventory.js';

/** What a service needs on a load balancer that exists already. */
export interface Wish {
  readonly service: Pick<Service, 'id' | 'environments' | 'health'>;
  readonly settings: Pick<
    OvhPublicCloudSettings,
    'project' | 'region' | 'id' | 'listeners' | 'weights' | 'updateDeadlineMs'
  >;
  /** What is not named is created, or was by an earlier run. */
  readonly pools: Readonly<Partial<Record<Color, string>>>;
  readonly stagingListener: string | undefined;
  readonly hasStaging: boolean;
  /** No pools where none is named. */
  readonly mixed?: MixedPools;
  /** What mixed pools whose weights are kept shall give the new environment, in percent. */
  readonly shares: readonly number[];
  /** Default: the first free port from 8888. */
  readonly stagingPort: number | undefined;
  /** CIDR blocks that may reach the staging listener. */
  readonly stagingSources: readonly string[];
}

export type Body = Readonly<Record<string, unknown>>;

/** What an object is to the service: `blue`, `staging`, `mixed`, `mixed-5`. */
export type Role = string;

/** One call that creates something, which is one change of the load balancer. */
export interface Step {
  readonly kind: 'pool' | 'healthMonitor' | 'members' | 'listener';
  /** Its own; of a monitor and of members, that of their pool. */
  readonly role: Role;
  /** The role of the pool that a listener sends traffic to. */
  readonly leadsTo?: Role;
  readonly body: Body;
  /** For people. */
  readonly words: string;
}

export interface ProvisioningPlan {
  /** In the order in which they are created. */
  readonly steps: readonly Step[];
  /** What is there already and stays as it is. */
  readonly ids: ReadonlyMap<Role, string>;
  /** Mixed pools, in their order. */
  readonly mixed: readonly Role[];
  readonly notes: readonly string[];
  readonly refusals: readonly string[];
}

/** What has to be created. Pure: the same wish and inventory give the same plan. */
export const provisioningPlan = (wish: Wish, inventory: Inventory): ProvisioningPlan =>
  new Planner(wish, inventory).plan();

/** Whether a pool is, or may become, one of the service's. */
export function isCandidate({ service, pools, mixed }: Wish): (pool: Pool) => boolean {
  const named = [...Object.values(pools), ...(mixed?.pools ?? [])];
  const own = rolesByName(service.id);
  return ({ id, name }) => named.includes(id) || own.has(name ?? '');
}

/** The objects with our name: first the one that is used, else always the same. */
export function ownAmong<Kind extends { readonly id: string; readonly name?: string | null | undefined }>(
  objects: readonly Kind[],
  marker: string,
  isUsed: (object: Kind) => boolean = () => false,
): readonly Kind[] {
  return objects
    .filter(({ name }) => name === marker)
    .toSorted((a, b) => Number(isUsed(b)) - Number(isUsed(a)) || (a.id < b.id ? -1 : 1));
}

/** A pool of the service, as it is told apart. */
interface PoolWish {
  readonly role: Role;
  readonly named: string | undefined;
  readonly path: EntrancePath;
  readonly servers: readonly Server[];
  /** Of a pool of both environments. */
  readonly isMixed: boolean;
  readonly weightOf: (server: Server) => number;
  /** Whether servers may be added to it later without changing what it gives to whom. */
  readonly mayGrow: boolean;
}

const allShares = Array.from({ length: 99 }, (_, index) => index + 1);
const shareRole = (green: number): Role => `mixed-${green}`;

/** What pools are to a service, by the names that we give them. */
const rolesByName = (service: ServiceId): ReadonlyMap<string, Role> =>
  new Map([...colors, 'mixed', ...allShares.map(shareRole)].map((role) => [markerOf(service, role), role]));

class Planner {
  readonly #wish: Wish;
  readonly #inventory: Inventory;
  readonly #steps: Step[] = [];
  readonly #notes: string[] = [];
  readonly #refusals: string[] = [];
  readonly #ids = new Map<Role, string>();
  readonly #roles: ReadonlyMap<string, Role>;

  constructor(wish: Wish, inventory: Inventory) {
    this.#wish = wish;
    this.#inventory = inventory;
    this.#roles = rolesByName(wish.service.id);
  }

  plan(): ProvisioningPlan {
    this.#requireUsable();
    const environments = colors.map((color) => this.#environment(color));
    const mixed = this.#mixed();
    const all = [...environments, ...mixed];
    for (const one of all) this.#find(one);
    const model = this.#model();
    const protocol = this.#protocol(model);
    for (const one of environments) this.#planPool(one, protocol, model);
    this.#planStaging(protocol);
    for (const one of mixed) this.#planPool(one, protocol, model);
    return {
      steps: this.#refusals.length > 0 ? [] : this.#steps,
      ids: this.#ids,
      mixed: mixed.map(({ role }) => role),
      notes: this.#notes,
      refusals: this.#refusals,
    };
  }

  #requireUsable(): void {
    const { balancer, listeners } = this.#inventory;
    const { provisioningStatus: status } = balancer;
    if (['error', 'deleting', 'deleted'].includes(status))
      this.#refusals.push(
        `its provisioning status is "${status}", in which no change is accepted, needs a person: OVHcloud's support can do a failover`,
      );
    else if (status !== 'active') this.#notes.push(`it is ${status} now, which is waited for`);
    for (const id of this.#wish.settings.listeners.filter(
      (one) => !listeners.some((there) => there.id === one),
    ))
      this.#refusals.push(`there is no listener ${id}, needs to be there: ${keyWords(['listeners'])}`);
  }

  #environment(color: Color): PoolWish {
    const { pools, service, settings } = this.#wish;
    return {
      role: color,
      named: pools[color],
      path: ['pools', color],
      servers: service.environments[color],
      isMixed: false,
      weightOf: ({ name }) => settings.weights[name] ?? 1,
      mayGrow: true,
    };
  }

  /** Where weights are set, one pool; where they are kept, one for each share, there and back. */
  #mixed(): readonly PoolWish[] {
    const { mixed, service, shares } = this.#wish;
    if (!mixed) return [];
    const servers = colors.flatMap((color) => service.environments[color]);
    const base = { servers, isMixed: true, path: ['mixed', 'pools'], weightOf: () => 1 };
    const mayGrow = mixed.weights === 'set';
    if (mixed.pools.length > 0) {
      if (shares.length > 0)
        this.#notes.push(`--share has no effect: ${keyWords(['mixed', 'pools'])} names the pools already`);
      return mixed.pools.map((named, index) => {
        const green = allShares.find((share) => this.#ownRole(named) === shareRole(share));
        const [known] = green === undefined || mayGrow ? [] : this.#shared(green, base);
        return { ...base, role: `mixed ${index + 1}`, mayGrow, ...known, named };
      });
    }
    if (mayGrow) return [{ ...base, role: 'mixed', named: undefined, mayGrow }];
    const wanted = [...new Set(shares.flatMap((share) => [share, 100 - share]))].toSorted((a, b) => a - b);
    const known = allShares.filter((green) => this.#own(shareRole(green)).length > 0);
    const all = [...new Set([...wanted, ...known])].toSorted((a, b) => a - b);
    if (all.length === 0)
      this.#refusals.push(
        `nobody says what the mixed pools shall give, needs --share 5 25 for example, or ${keyWords(['mixed', 'weights'])}: set`,
      );
    return all.flatMap((green) => this.#shared(green, base));
  }

  #shared(green: number, base: Omit<PoolWish, 'role' | 'named' | 'mayGrow'>): readonly PoolWish[] {
    const { blue: ofBlue, green: ofGreen } = this.#wish.service.environments;
    const counts = { blue: ofBlue.length, green: ofGreen.length };
    const weights = weightsFor({ blue: 100 - green, green }, counts);
    if (!weights) {
      this.#refusals.push(
        `weights of 1 to 256 do not give green ${green} % with ${counts.blue} servers of blue and ${counts.green} of green, needs another --share`,
      );
      return [];
    }
    const weightOf = ({ color }: Server): number => weights[color];
    return [{ ...base, role: shareRole(green), named: undefined, mayGrow: false, weightOf }];
  }

  #find({ role, named, path }: PoolWish): void {
    const { pools } = this.#inventory;
    if (named !== undefined && !pools.some(({ id }) => id === named)) {
      this.#refusals.push(`there is no pool ${named}, needs to be there: ${keyWords(path)}`);
      return;
    }
    const [own, ...others] = this.#own(role);
    const id = named ?? own?.id;
    if (id === undefined) return;
    this.#ids.set(role, id);
    if (id === own?.id) this.#noteOthers('pool', own, others);
  }

  #own(role: Role): readonly Pool[] {
    const { pools, listeners } = this.#inventory;
    return ownAmong(pools, markerOf(this.#wish.service.id, role), ({ id }) =>
      listeners.some(({ defaultPoolId }) => defaultPoolId === id),
    );
  }

  /** What is left of an answer that came too late. */
  #noteOthers(kind: string, own: Pool | Listener, others: readonly { readonly id: string }[]): void {
    for (const { id } of others)
      this.#notes.push(
        `${kind} ${id} has the name of ${kind} ${own.id} (${own.name}): it is not used, delete it yourself`,
      );
    if (own['provisioningStatus'] === 'error')
      this.#refusals.push(
        `${kind} ${own.id} ("${own.name}"), which was created by us, is in provisioning status "error", needs a person: delete it, then run this again`,
      );
  }

  /** Somebody's pool that the others have to be like. */
  #model(): Pool | undefined {
    const { pools } = this.#inventory;
    return colors
      .map((color) => pools.find(({ id }) => id === this.#ids.get(color)))
      .find((pool) => pool !== undefined && this.#ownRole(pool.id) === undefined);
  }

  /** What a pool is by its name, where that is one of ours: named in the configuration or not. */
  #ownRole(id: string): Role | undefined {
    return this.#roles.get(this.#inventory.pools.find((pool) => pool.id === id)?.name ?? '');
  }

  /** One that all listeners of the world can send to. */
  #protocol(model: Pool | undefined): string | undefined {
    const listeners = this.#listeners();
    if (model) {
      for (const { id, protocol } of listeners)
        if (!poolProtocols[protocol]?.includes(model.protocol))
          this.#refusals.push(
            `listener ${id} (${protocol}) cannot send to pool ${model.id} (${model.protocol}), needs one that it can`,
          );
      return model.protocol;
    }
    const possible = listeners.map(({ protocol }) => poolProtocols[protocol] ?? []);
    const chosen = possible[0]
      // Whether the program reads the proxy protocol nobody has said.
      ?.filter((protocol) => !protocol.startsWith('proxy'))
      .find((protocol) => possible.every((others) => others.includes(protocol)));
    if (chosen === undefined && listeners.length > 0) {
      const words = listeners.map(({ id, protocol }) => `${id} (${protocol})`).join(', ');
      this.#refusals.push(
        `no pool goes with all of its listeners: ${words}, needs some of http and terminatedHTTPS, or of https and tcp`,
      );
    }
    return chosen;
  }

  #listeners(): readonly Listener[] {
    const { listeners } = this.#inventory;
    return this.#wish.settings.listeners.flatMap((id) => listeners.find((one) => one.id === id) ?? []);
  }

  #planPool(one: PoolWish, protocol: string | undefined, model: Pool | undefined): void {
    const { role, named } = one;
    const id = this.#ids.get(role);
    if (protocol === undefined || (id === undefined && named !== undefined)) return;
    const body = this.#poolBody(one, protocol, model);
    const monitor = this.#monitorBody(one, protocol, model);
    if (id === undefined) {
      this.#steps.push({ kind: 'pool', role, body, words: poolWords(one, body) });
      this.#steps.push(monitorStep(role, monitor), membersStep(one, one.servers));
      return;
    }
    if (id !== model?.id) this.#noteDifferences(id, body, monitor);
    this.#complete(one, id, monitor);
  }

  /** What a pool lacks that is there. One that is not ours, or has traffic, is left alone. */
  #complete(one: PoolWish, id: string, monitor: Body): void {
    const members = this.#inventory.members.get(id) ?? [];
    const absent = one.servers.filter(
      ({ address, port }) =>
        !members.some((member) => member.address === address && member.protocolPort === port),
    );
    const hasMonitor = (this.#inventory.monitors.get(id) ?? []).length > 0;
    const held =
      this.#ownRole(id) === undefined ? 'is not ours' : this.#carriesTraffic(id) ? 'has traffic' : undefined;
    if (!hasMonitor && held === undefined) this.#steps.push(monitorStep(one.role, monitor));
    if (!hasMonitor && held !== undefined)
      this.#notes.push(
        `pool ${id} has no health monitor, without which no server is believed to be up, and ${held}: add one yourself`,
      );
    if (absent.length === 0) return;
    const wouldChange = members.length > 0 && !one.mayGrow;
    const why =
      held === 'has traffic'
        ? 'has traffic, which a new server would get before any probe'
        : (held ?? (wouldChange ? 'gives a share that another server would change' : undefined));
    if (why === undefined) this.#steps.push(membersStep(one, absent));
    else
      this.#notes.push(
        `pool ${id} lacks ${absent.map(({ name }) => name).join(', ')}, and ${why}: add them yourself`,
      );
  }

  #poolBody({ role, isMixed }: PoolWish, protocol: string, model: Pool | undefined): Body {
    const { service, settings } = this.#wish;
    const persistence = model?.sessionPersistence;
    const keeps = !isMixed && persistence && persistence.type !== 'disabled';
    return {
      loadbalancerId: settings.id,
      name: markerOf(service.id, role),
      protocol,
      // Only by it weights are shares.
      algorithm: isMixed ? 'roundRobin' : (model?.algorithm ?? 'roundRobin'),
      ...(keeps ? { sessionPersistence: given(persistence) } : {}),
    };
  }

  #monitorBody({ role }: PoolWish, protocol: string, model: Pool | undefined): Body {
    const { service } = this.#wish;
    const name = markerOf(service.id, role);
    const [its] = this.#inventory.monitors.get(model?.id ?? '') ?? [];
    if (its) return { ...monitorFields(its), name };
    const { path, status, timeoutMs } = service.health;
    const asked = {
      httpConfiguration: { httpMethod: 'GET', urlPath: path, expectedCodes: String(status) },
    };
    return {
      name,
      monitorType: monitorTypes[protocol] ?? 'tcp',
      delay: everyS,
      timeout: Math.min(everyS - 1, Math.max(1, Math.ceil(timeoutMs / 1_000))),
      maxRetries: 2,
      maxRetriesDown: 3,
      ...(protocol === 'http' ? asked : {}),
    };
  }

  #noteDifferences(id: string, pool: Body, monitor: Body): void {
    const its = this.#inventory.pools.find((one) => one.id === id);
    const [itsMonitor] = this.#inventory.monitors.get(id) ?? [];
    const { name: _name, loadbalancerId: _of, sessionPersistence, ...wanted } = pool;
    const persistence = (sessionPersistence as { readonly type?: string } | undefined)?.type ?? 'disabled';
    const is = its?.sessionPersistence?.type ?? 'disabled';
    const { name: _named, ...monitorWanted } = monitor;
    const differing = [
      ...differingFields('', wanted, its ?? {}),
      ...(is === persistence ? [] : [`sessionPersistence should be ${persistence}`]),
      ...(itsMonitor ? differingFields('healthMonitor.', monitorWanted, itsMonitor) : []),
    ];
    if (differing.length > 0)
      this.#notes.push(`pool ${id} is not as it would be made now: ${differing.join(', ')}`);
  }

  /** Whether anything but what is for probes leads to a pool. */
  #carriesTraffic(poolId: string): boolean {
    const { listeners, redirected } = this.#inventory;
    const staging = this.#wish.stagingListener ?? this.#ownStaging()[0]?.id;
    return (
      redirected.has(poolId) ||
      listeners.some(({ id, defaultPoolId }) => defaultPoolId === poolId && id !== staging)
    );
  }

  #ownStaging(): readonly Listener[] {
    const marker = markerOf(this.#wish.service.id, 'staging');
    return ownAmong(this.#inventory.listeners, marker);
  }

  /** A listener that nobody needs to reach, so that the idle pool is probed. */
  #planStaging(protocol: string | undefined): void {
    const { service, stagingListener, stagingSources, hasStaging, settings } = this.#wish;
    const [own, ...others] = this.#ownStaging();
    const id = stagingListener ?? own?.id;
    if (id !== undefined) {
      this.#ids.set('staging', id);
      if (id === own?.id) this.#noteOthers('listener', own, others);
      if (!this.#inventory.listeners.some((one) => one.id === id))
        this.#refusals.push(
          `there is no listener ${id}, needs to be there: ${keyWords(['stagingListener'])}`,
        );
      return;
    }
    if (!hasStaging || protocol === undefined) return;
    const port = this.#stagingPort();
    const [first] = this.#listeners();
    if (port === undefined || !first) return;
    const live = colors.find((color) => this.#ids.has(color) && this.#ids.get(color) === first.defaultPoolId);
    if (live === undefined)
      this.#notes.push(
        `listener ${first.id} points at neither environment: once blue runs, point it at blue's pool yourself`,
      );
    const idle = otherColor(live ?? 'blue');
    const name = markerOf(service.id, 'staging');
    const speaks = first.protocol === 'terminatedHTTPS' ? 'http' : first.protocol;
    this.#steps.push({
      kind: 'listener',
      role: 'staging',
      leadsTo: idle,
      body: {
        loadbalancerId: settings.id,
        name,
        port,
        protocol: ['http', 'https', 'tcp'].includes(protocol) ? protocol : speaks,
        allowedCidrs: [...stagingSources],
      },
      words: `create listener "${name}" on port ${port}, which references ${idle} so that it is probed, open to ${stagingSources.join(', ')}`,
    });
  }

  #stagingPort(): number | undefined {
    const { stagingPort } = this.#wish;
    const taken = new Map(this.#inventory.listeners.map(({ port, id }) => [port, id]));
    const wanted =
      stagingPort ?? Array.from({ length: 100 }, (_, index) => 8888 + index).find((port) => !taken.has(port));
    if (wanted !== undefined && !taken.has(wanted)) return wanted;
    this.#refusals.push(
      `port ${wanted ?? '8888 to 8987'} is taken by listener ${taken.get(wanted ?? 8888)}, needs another: --staging-port`,
    );
    return undefined;
  }
}

/** Seconds between two checks. */
const everyS = 5;

/** The pools that a listener can send to, those first that look closest at the program. */
const poolProtocols: Readonly<Record<string, readonly string[]>> = {
  http: ['http', 'proxy', 'proxyV2'],
  terminatedHTTPS: ['http', 'proxy', 'proxyV2'],
  https: ['https', 'tcp', 'proxy', 'proxyV2'],
  tcp: ['tcp', 'https', 'http', 'proxy', 'proxyV2'],
};

/** TLS that is passed through is not ours to speak further. */
const monitorTypes: Readonly<Record<string, string>> = { http: 'http', https: 'tls-hello' };

const monitorStep = (role: Role, body: Body): Step => ({
  kind: 'healthMonitor',
  role,
  body,
  words: `create its health monitor: ${monitorWords(body)} every ${String(body['delay'])} s`,
});

function monitorWords({ monitorType, httpConfiguration }: Body): string {
  const { httpMethod, urlPath, expectedCodes } = (httpConfiguration ?? {}) as Body;
  return monitorType === 'http'
    ? `${String(httpMethod)} ${String(urlPath)} = ${String(expectedCodes)}`
    : String(monitorType);
}

const membersStep = ({ role, weightOf }: PoolWish, servers: readonly Server[]): Step => ({
  kind: 'members',
  role,
  body: {
    members: servers.map((server) => ({
      name: server.name,
      address: server.address,
      protocolPort: server.port,
      weight: weightOf(server),
    })),
  },
  words: `create its members ${servers
    .map((server) => `${server.name} (${server.address}:${server.port}, weight ${weightOf(server)})`)
    .join(', ')}`,
});

const poolWords = ({ role, isMixed }: PoolWish, { name, protocol, algorithm }: Body): string =>
  `create pool "${String(name)}" for ${isMixed ? `both environments${shareWords(role)}` : role}: ${String(protocol)}, ${String(algorithm)}`;

const shareWords = (role: Role): string => {
  const green = /^mixed-(\d+)$/.exec(role)?.[1];
  return green === undefined ? '' : `, green ${green} %`;
};

/** What a monitor is made of, without what it is called and where it is. */
function monitorFields(monitor: Monitor): Body {
  const names = ['monitorType', 'delay', 'timeout', 'maxRetries', 'maxRetriesDown', 'httpConfiguration'];
  return given(Object.fromEntries(names.map((name) => [name, monitor[name]])));
}

/** Null and nothing are left out, inside too: the API refuses a null where it wants something. */
const given = (fields: Body): Body =>
  Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => [
        name,
        typeof value === 'object' && !Array.isArray(value) ? given(value as Body) : value,
      ]),
  );

const differingFields = (prefix: string, wanted: Body, is: Body): readonly string[] =>
  Object.entries(wanted)
    .filter(([name, value]) => !isKept(value, is[name]))
    .map(([name, value]) => `${prefix}${name} should be ${JSON.stringify(value)}`);
