import { colors, otherColor, type Color } from '../../../domain/color.js';
import { hashOf } from '../../../domain/hash.js';
import type { BackendObservation, Traffic } from '../../../domain/observation.js';
import type { OvhPublicCloudSettings, Server } from '../../../domain/service.js';
import { allTo, describeSplit, sameSplit, wholly, type Split } from '../../../domain/split.js';
import { splitOf } from '../../../domain/weights.js';
import type { Configuration } from './configuration.js';
import { defaultWeight, weightOf, type Listener, type Member, type Monitor } from './documents.js';

type Elsewhere = Extract<Traffic, { kind: 'elsewhere' }>;
type Target = { readonly kind: 'split'; readonly split: Split } | Elsewhere;

/** What a load balancer means to one service. Pure. */
export class View {
  readonly #settings: OvhPublicCloudSettings;
  readonly #servers: readonly Server[];

  constructor(settings: OvhPublicCloudSettings, servers: readonly Server[]) {
    this.#settings = settings;
    this.#servers = servers;
  }

  traffic(configuration: Configuration): Traffic {
    const targets = this.#settings.listeners.map((id) => this.#target(id, configuration));
    const strange = targets.find((target) => target.kind === 'elsewhere');
    if (strange) return strange;
    const splits = targets.flatMap((target) => (target.kind === 'split' ? [target.split] : []));
    const [first] = splits;
    if (first && splits.every((split) => sameSplit(split, first))) return { kind: 'split', split: first };
    const words = this.#settings.listeners.map((id) => this.#targetWords(id, configuration)).join(', ');
    return { kind: 'torn', detail: `its listeners point at different environments (${words})` };
  }

  targets(configuration: Configuration): readonly string[] {
    const { listeners, stagingListener } = this.#settings;
    const staging =
      stagingListener === undefined
        ? []
        : [`${this.#targetWords(stagingListener, configuration)}, for probes only`];
    return [...listeners.map((id) => this.#targetWords(id, configuration)), ...staging];
  }

  /** What policies take of the traffic before it is divided, in words. They stay as they are. */
  diversions({ policies }: Configuration): readonly string[] {
    return this.#settings.listeners.flatMap((listener) =>
      (policies.get(listener) ?? [])
        .filter(({ rules }) => rules.length > 0)
        .map(
          ({ id, action, redirectPoolId }) =>
            `l7Policy ${id} of listener ${listener} (${action}${redirectPoolId ? ` ${redirectPoolId}` : ''})`,
        ),
    );
  }

  /** Why nobody looks at the idle environment: a pool is checked where a listener uses it, and another one may. */
  unprobed(configuration: Configuration, backends: readonly BackendObservation[]): readonly string[] {
    const { stagingListener, pools } = this.#settings;
    const traffic = this.traffic(configuration);
    const live = traffic.kind === 'split' ? wholly(traffic.split) : undefined;
    if (stagingListener === undefined || live === undefined) return [];
    const idle = otherColor(live);
    const isLookedAt = !backends.some(({ color, state }) => color === idle && state === 'unchecked');
    if (isLookedAt || configuration.listeners.get(stagingListener)?.defaultPoolId === pools[idle]) return [];
    return [
      `${this.#targetWords(stagingListener, configuration)}, for probes only, needs pool ${pools[idle]} (${idle}): nobody probes ${idle}`,
    ];
  }

  /** The longest of its pools' intervals; a pool that nothing looks at has none. */
  probeEveryMs({ monitors }: Configuration): number | undefined {
    const delays = colors.flatMap((color) => monitors.get(this.#settings.pools[color]) ?? []);
    return delays.length === 0 ? undefined : Math.max(...delays.map(({ delay }) => delay * 1_000));
  }

  /** What all servers of an environment are in, or both of them. */
  poolColor(poolId: string | null | undefined): Color | 'both' | undefined {
    if (poolId !== undefined && poolId !== null && this.#settings.mixed?.pools.includes(poolId))
      return 'both';
    return colors.find((color) => this.#settings.pools[color] === poolId);
  }

  /** How new traffic of a pool is divided, or why that cannot be said. */
  splitIn(poolId: string | null | undefined, configuration: Configuration): Target {
    const color = this.poolColor(poolId);
    if (color === 'both') return this.#mixedSplit(poolId ?? '', configuration);
    if (color !== undefined) return { kind: 'split', split: allTo(color) };
    const { blue, green } = this.#settings.pools;
    return elsewhere(
      `points at ${poolId ? `pool ${poolId}` : 'no pool'}, which is neither blue (${blue}) nor green (${green})`,
    );
  }

  /** The members of a pool that stand for servers of the service, and those that stand for nobody. */
  membersIn(
    poolId: string,
    { members }: Configuration,
  ): { readonly known: readonly (readonly [Server, Member])[]; readonly strangers: readonly Member[] } {
    const found = (members.get(poolId) ?? []).map(
      (member) => [this.#servers.find((server) => standsFor(member, server)), member] as const,
    );
    return {
      known: found.flatMap(([server, member]) => (server === undefined ? [] : [[server, member] as const])),
      strangers: found.flatMap(([server, member]) => (server === undefined ? [member] : [])),
    };
  }

  memberOf(server: Server, poolId: string, { members }: Configuration): Member | undefined {
    return (members.get(poolId) ?? []).find((member) => standsFor(member, server));
  }

  /**
   * What a server's member weighs when it is given traffic again: as configured, else as the others of its environment do,
   * else as those of the other environment.
   */
  returningWeight({ name, color }: Server, { members }: Configuration): number {
    const configured = this.#settings.weights[name];
    if (configured !== undefined) return configured;
    const weights = (of: Color): readonly number[] =>
      (members.get(this.#settings.pools[of]) ?? [])
        .filter(
          (member) => !this.#servers.some((server) => server.name === name && standsFor(member, server)),
        )
        .map(weightOf)
        .filter((weight) => weight > 0);
    const own = weights(color);
    const all = own.length > 0 ? own : weights(color === 'blue' ? 'green' : 'blue');
    return all.length > 0 ? Math.max(...all) : defaultWeight;
  }

  /** The load balancer, its listeners that are ours with their policies, and our pools with their members and monitors. */
  ours(configuration: Configuration): readonly string[] {
    return Object.keys(this.digests(configuration));
  }

  /** Leaves out what a deployment itself moves, and what changes by itself. What is not there has none. */
  digests(configuration: Configuration): Readonly<Record<string, string>> {
    const { balancer, listeners, pools, monitors, policies } = configuration;
    const some = <Kind>(objects: ReadonlyMap<string, Kind>, ids: readonly string[]): readonly Kind[] =>
      ids.flatMap((id) => {
        const object = objects.get(id);
        return object === undefined ? [] : [object];
      });
    return Object.fromEntries([
      named('loadbalancer', balancer, 'updatedAt'),
      ...some(listeners, this.#listenerIds()).map((one) => named('listener', one, 'defaultPoolId')),
      ...some(policies, this.#listenerIds())
        .flat()
        .map((policy) => named('l7Policy', { ...policy, rules: policy.rules.map(settled) })),
      // Which listener it is the default of moves with the traffic.
      ...some(pools, this.#poolIds()).map((one) => named('pool', one, 'listenerId')),
      ...this.#poolIds().flatMap((id) => this.#memberDigests(id, configuration)),
      ...some(monitors, this.#poolIds())
        .flat()
        .map((monitor) => named('healthMonitor', monitor)),
    ]);
  }

  backends(configuration: Configuration): readonly BackendObservation[] {
    return this.#servers.map((server) => this.#backend(server, configuration));
  }

  /** A pool without a listener may not be probed: what is seen in one with a listener counts. */
  #backend(server: Server, configuration: Configuration): BackendObservation {
    const { name, color } = server;
    const own = this.#settings.pools[color];
    const member = this.memberOf(server, own, configuration);
    const base = { server: name, color };
    if (!member) return { ...base, state: 'absent' };
    if (weightOf(member) === 0) return { ...base, state: 'inactive' };
    const reached = [own, ...(this.#settings.mixed?.pools ?? [])].find(
      (pool) => this.#isReached(pool, configuration) && this.memberOf(server, pool, configuration),
    );
    const pool = reached ?? own;
    const seen = this.memberOf(server, pool, configuration) ?? member;
    const [monitor] = configuration.monitors.get(pool) ?? [];
    const state = monitor && checkedStates[seen.operatingStatus ?? ''];
    if (monitor === undefined || state === undefined) return { ...base, state: 'unchecked' };
    return { ...base, state, checkedWithinMs: this.#ageAtMost(monitor) };
  }

  /** A check that fails has to fail this often, and then it takes until the API tells. */
  #ageAtMost({ delay, timeout, maxRetriesDown }: Monitor): number {
    return (delay * (maxRetriesDown ?? 3) + timeout) * 1_000 + this.#settings.statusDelayMs;
  }

  #isReached(poolId: string, { listeners }: Configuration): boolean {
    return [...listeners.values()].some(({ defaultPoolId }) => defaultPoolId === poolId);
  }

  #memberDigests(poolId: string, configuration: Configuration): readonly (readonly [string, string])[] {
    const isMixed = this.poolColor(poolId) === 'both';
    const areSet = isMixed && this.#settings.mixed?.weights === 'set';
    return (configuration.members.get(poolId) ?? []).map((member) => {
      const server = this.#servers.find((one) => standsFor(member, one));
      const weight =
        server === undefined || weightOf(member) > 0 || isMixed
          ? weightOf(member)
          : this.returningWeight(server, configuration);
      const digested = areSet && server ? { ...member, weight: undefined } : { ...member, weight };
      const [name, digest] = named('member', digested);
      return [`pool/${poolId}/${name}`, digest] as const;
    });
  }

  #mixedSplit(poolId: string, configuration: Configuration): Target {
    const { known, strangers } = this.membersIn(poolId, configuration);
    const [stranger] = strangers.filter((member) => weightOf(member) > 0);
    if (stranger)
      return elsewhere(
        `points at pool ${poolId}, whose member ${stranger.address}:${stranger.protocolPort} is no server of this service`,
      );
    const split = splitOf(known.map(([server, member]) => [server.color, weightOf(member)] as const));
    return split
      ? { kind: 'split', split }
      : elsewhere(`points at pool ${poolId}, in which nobody has weight`);
  }

  #target(id: string, configuration: Configuration): Target {
    const listener = configuration.listeners.get(id);
    if (!listener) return elsewhere(`listener ${id} does not exist on this load balancer`);
    const policy = (configuration.policies.get(id) ?? []).find(
      ({ redirectPoolId, rules }) => rules.length > 0 && this.poolColor(redirectPoolId) !== undefined,
    );
    if (policy)
      return elsewhere(
        `l7Policy ${policy.id} takes traffic of listener ${id} to pool ${policy.redirectPoolId} whatever is its default`,
      );
    const target = this.splitIn(listener.defaultPoolId, configuration);
    return target.kind === 'split' ? target : elsewhere(`listener ${id} ${target.detail}`);
  }

  #targetWords(id: string, configuration: Configuration): string {
    const listener = configuration.listeners.get(id);
    const poolId = listener?.defaultPoolId;
    return `${listenerWords(id, listener)} -> ${poolId ? `pool ${poolId}` : 'nothing'}${this.#poolWords(poolId, configuration)}`;
  }

  #poolWords(poolId: string | null | undefined, configuration: Configuration): string {
    const color = this.poolColor(poolId);
    if (color !== 'both') return color === undefined ? '' : ` (${color})`;
    const target = this.splitIn(poolId, configuration);
    return target.kind === 'split' ? ` (${describeSplit(target.split)})` : '';
  }

  #listenerIds(): readonly string[] {
    const { listeners, stagingListener } = this.#settings;
    return [...listeners, ...(stagingListener === undefined ? [] : [stagingListener])];
  }

  #poolIds(): readonly string[] {
    const { pools, mixed } = this.#settings;
    return [pools.blue, pools.green, ...(mixed?.pools ?? [])];
  }
}

const elsewhere = (detail: string): Elsewhere => ({ kind: 'elsewhere', detail });

const standsFor = ({ address, protocolPort }: Member, server: Server): boolean =>
  address === server.address && protocolPort === server.port;

const listenerWords = (id: string, listener: Listener | undefined): string =>
  listener?.name ? `listener "${listener.name}" ${id}` : `listener ${id}`;

/** Of a member that has weight and a monitor; every other status says that nobody has looked. */
const checkedStates: Readonly<Record<string, 'up' | 'down'>> = {
  online: 'up',
  error: 'down',
  degraded: 'down',
};

const volatile: ReadonlySet<string> = new Set(['provisioningStatus', 'operatingStatus']);

/** Without what changes by itself. */
function settled(object: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(object).filter(([field]) => !volatile.has(field)));
}

/** An object's name, which is its path, and its digest without `moved`. */
function named(
  kind: string,
  object: Readonly<Record<string, unknown>> & { readonly id: string },
  moved = '',
): readonly [string, string] {
  const { [moved]: _moved, ...rest } = settled(object);
  return [`${kind}/${object.id}`, hashOf(rest)];
}
