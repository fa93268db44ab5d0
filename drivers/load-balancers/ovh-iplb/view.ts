import { otherColor, type Color } from '../../../domain/color.js';
import { hashOf } from '../../../domain/hash.js';
import type { ServerName } from '../../../domain/names.js';
import type { BackendObservation, Division, Traffic } from '../../../domain/observation.js';
import { entriesOf, type OvhIplbSettings, type Server } from '../../../domain/service.js';
import { allTo, describeSplit, sameSplit, wholly, type Split } from '../../../domain/split.js';
import { backupHindrances, intruders } from './backups.js';
import type { Configuration } from './configuration.js';
import { dividedBy, divisionBy, strangersIn } from './division.js';
import type { Pending } from './documents.js';
import { Entry, type FarmRole } from './entry.js';
import { routingOf, testersHindrances, testersRoute, type Routing } from './routes.js';

/** What the API takes for a probe that names none. */
const defaultIntervalS = 30;

/** What of a service's settings a view depends on. */
export type ViewSettings = Pick<
  OvhIplbSettings,
  'protocol' | 'frontends' | 'stagingFrontend' | 'farms' | 'mixed' | 'also' | 'testers' | 'fallback'
>;

/** What a configuration means to one service. Pure. */
export class View {
  readonly settings: ViewSettings;
  readonly servers: readonly Server[];
  /** What the world comes in by; the first one is what the service is known by. */
  readonly entries: readonly [Entry, ...Entry[]];

  constructor(settings: ViewSettings, servers: readonly Server[]) {
    const [first, ...further] = entriesOf(settings);
    if (!first) throw new TypeError('Cannot view a load balancer: it has no frontends, needs some');
    this.settings = settings;
    this.servers = servers;
    this.entries = [new Entry(first, false), ...further.map((entry) => new Entry(entry, true))];
  }

  traffic(configuration: Configuration): Traffic {
    const targets = this.entries.flatMap((entry) =>
      entry.frontends.map((name) => this.#target(entry, name, configuration)),
    );
    const strange = targets.find((target) => typeof target !== 'string');
    if (strange) return strange;
    const roles = new Set(targets);
    const [role] = roles as ReadonlySet<FarmRole>;
    if (roles.size !== 1 || role === undefined) return this.#torn(configuration);
    return role === 'mixed' ? this.#divided(configuration) : { kind: 'split', split: allTo(role) };
  }

  targets(configuration: Configuration): readonly string[] {
    return this.entries.flatMap((entry) => [
      ...entry.frontends.map((name) => this.#targetWords(entry, name, configuration)),
      ...[entry.staging, ...(entry.mixedStaging === undefined ? [] : [entry.mixedStaging])].map(
        (name) => `${this.#targetWords(entry, name, configuration)}, for probes only`,
      ),
      ...this.#routing(entry, configuration).diversions,
    ]);
  }

  division(configuration: Configuration, leftOut: readonly ServerName[] = []): Division {
    return divisionBy(this.entries, configuration, this.servers, leftOut);
  }

  diversions(configuration: Configuration): readonly string[] {
    return this.entries.flatMap((entry) => this.#routing(entry, configuration).diversions);
  }

  testersReach(configuration: Configuration): Color | undefined {
    return this.#routing(this.entries[0], configuration).testersReach;
  }

  /** What the configuration asks for and the load balancer cannot do. */
  unready(configuration: Configuration): readonly string[] {
    const { fallback, testers } = this.settings;
    const [first] = this.entries;
    return [
      ...(fallback
        ? this.entries.flatMap((entry) => backupHindrances(entry, configuration, this.servers))
        : []),
      ...(testers ? testersHindrances(first, configuration, testers) : []),
    ];
  }

  /** Why nobody looks at the idle environment: a farm is probed where a frontend references it, and another one may. */
  unprobed(configuration: Configuration, backends: readonly BackendObservation[]): readonly string[] {
    const traffic = this.traffic(configuration);
    const live = traffic.kind === 'split' ? wholly(traffic.split) : undefined;
    if (live === undefined) return [];
    const idle = otherColor(live);
    if (!backends.some(({ color, state }) => color === idle && state === 'unchecked')) return [];
    return this.entries
      .filter((entry) => entry.pointsAt(entry.staging, configuration) !== idle)
      .map(
        (entry) =>
          `${this.#targetWords(entry, entry.staging, configuration)}, for probes only, needs farm ${entry.farmId(idle)} (${idle}): nobody probes ${idle}`,
      );
  }

  /** The longest of its farms' intervals. */
  probeEveryMs({ farms }: Configuration): number {
    const ours = this.entries.flatMap((entry) => entry.farms);
    return Math.max(...ours.map((farm) => (farms.get(farm)?.probe?.interval ?? defaultIntervalS) * 1_000));
  }

  /** What this service's traffic depends on: its frontends, its farms with their servers, and routes on its frontends. */
  ours({ servers, routes }: Configuration): readonly string[] {
    return this.entries.flatMap((entry) => [
      ...entry.allFrontends,
      ...entry.farms,
      ...[...servers.keys()].filter((name) => isIn(entry, name)),
      ...[...routes].flatMap(([name, { frontendId }]) =>
        entry.allFrontends.includes(`${protocolOf(name)}/frontend/${frontendId}`) ||
        this.#isTestersRoute(name)
          ? [name]
          : [],
      ),
    ]);
  }

  /** The objects that are ours now, and those among `expected` that were. */
  oursAmong(expected: Readonly<Record<string, string>>, configuration: Configuration): readonly string[] {
    const now = this.ours(configuration);
    const there = this.digests(configuration);
    const names = Object.keys(expected);
    const namesOthersToo = names.some((name) => Object.hasOwn(there, name) && !now.includes(name));
    const were = names.filter(
      (name) => this.#isLever(name) || (!namesOthersToo && !Object.hasOwn(there, name)),
    );
    return [...new Set([...now, ...were])];
  }

  /** Leaves out what a deployment itself moves, and what changes by itself. */
  digests(configuration: Configuration): Readonly<Record<string, string>> {
    return digestsOf(configuration, (name) => this.#movedFields(name));
  }

  /** The same with what a deployment moves. Leaves out what changes by itself. */
  contents(configuration: Configuration): Readonly<Record<string, string>> {
    return digestsOf(configuration, () => []);
  }

  /** Zones in which an edit of ours shows, or `undefined` for all of them. */
  zones({ frontends }: Configuration): readonly string[] | undefined {
    const zones = this.entries
      .flatMap((entry) => entry.allFrontends)
      .map((name) => frontends.get(name)?.zone ?? 'all');
    return zones.includes('all') ? undefined : [...new Set(zones)];
  }

  /** Fields that a deployment moves. */
  #movedFields(name: string): readonly string[] {
    if (this.#isTestersRoute(name)) return ['action'];
    const entry = this.entries.find((one) => one.allFrontends.includes(name) || isIn(one, name));
    if (!entry) return [];
    if (entry.allFrontends.includes(name)) return ['defaultFarmId'];
    const isMixed = entry.roles.includes('mixed') && name.startsWith(`${entry.farm('mixed')}/server/`);
    return isMixed ? ['status', 'weight'] : ['status'];
  }

  #isTestersRoute(name: string): boolean {
    const { testers } = this.settings;
    return testers !== undefined && name === testersRoute(this.entries[0], testers);
  }

  /** Whether a name is of one of our frontends or farms, or of a server of ours, there or not. */
  #isLever(name: string): boolean {
    return (
      this.#isTestersRoute(name) ||
      this.entries.some(
        (entry) => entry.allFrontends.includes(name) || entry.farms.includes(name) || isIn(entry, name),
      )
    );
  }

  #routing(entry: Entry, configuration: Configuration): Routing {
    return routingOf(entry, configuration, entry === this.entries[0] ? this.settings.testers : undefined);
  }

  #target(entry: Entry, name: string, configuration: Configuration): FarmRole | Elsewhere {
    const { frontends } = configuration;
    const frontend = frontends.get(name);
    const words = this.#frontendWords(entry, name);
    if (!frontend) return elsewhere(`${words} does not exist`);
    if (frontend.disabled) return elsewhere(`${words} is disabled`);
    if (frontend.redirectLocation) return elsewhere(`${words} redirects to ${frontend.redirectLocation}`);
    const [confusion] = this.#routing(entry, configuration).confusions;
    if (confusion !== undefined) return elsewhere(confusion);
    const role = entry.roleOf(frontend.defaultFarmId);
    if (role === undefined) {
      const points = frontend.defaultFarmId ? `farm ${frontend.defaultFarmId}` : 'no farm';
      return elsewhere(`${words} points at ${points}, which is neither ${this.#rolesWords(entry)}`);
    }
    const [intruder] = role === 'mixed' ? [] : intruders(entry, role, configuration, this.servers);
    return intruder === undefined ? role : elsewhere(intruder);
  }

  #divided(configuration: Configuration): Traffic {
    const splits: Split[] = [];
    for (const entry of this.entries) {
      const farm = entry.farm('mixed');
      const members = this.servers.flatMap((one) => entry.member(one, 'mixed', configuration)?.[0] ?? []);
      const [stranger] = strangersIn(farm, configuration, members);
      if (stranger !== undefined)
        return elsewhere(`${stranger} gets traffic of the mixed farm and is none of this service's servers`);
      const split = dividedBy(entry, configuration, this.servers);
      if (!split) return elsewhere(`no server of ${farm}, the mixed farm, gets any traffic`);
      splits.push(split);
    }
    const [first, ...others] = splits;
    return first && others.every((other) => sameSplit(first, other))
      ? { kind: 'split', split: first }
      : this.#torn(configuration);
  }

  #torn(configuration: Configuration): Traffic {
    const words = this.entries.flatMap((entry) =>
      entry.frontends.map((name) => this.#targetWords(entry, name, configuration)),
    );
    return { kind: 'torn', detail: `its frontends point at different environments (${words.join(', ')})` };
  }

  #targetWords(entry: Entry, name: string, configuration: Configuration): string {
    const farmId = configuration.frontends.get(name)?.defaultFarmId;
    const role = entry.roleOf(farmId);
    const split = role === 'mixed' ? dividedBy(entry, configuration, this.servers) : undefined;
    const meaning = role === undefined ? '' : ` (${role}${split ? `: ${describeSplit(split)}` : ''})`;
    return `${this.#frontendWords(entry, name)} -> ${farmId ? `farm ${farmId}` : 'nothing'}${meaning}`;
  }

  #frontendWords({ protocol }: Entry, name: string): string {
    const number = name.split('/').at(-1) ?? name;
    return this.entries.length > 1 ? `${protocol} frontend ${number}` : `frontend ${number}`;
  }

  #rolesWords(entry: Entry): string {
    const words = entry.roles.map((role) => `${role} (${entry.farmId(role)})`);
    return `${words.slice(0, -1).join(', ')} nor ${words.at(-1) ?? ''}`;
  }
}

/** Digest by name of every object, without the fields that are `leftOut` of it. */
function digestsOf(
  { frontends, farms, servers, routes, certificates }: Configuration,
  leftOut: (name: string) => readonly string[],
): Readonly<Record<string, string>> {
  const digest =
    (volatile?: string) =>
    ([name, object]: readonly [string, object]): readonly [string, string] => {
      const out = leftOut(name);
      const kept = Object.entries(object).filter(([field]) => field !== volatile && !out.includes(field));
      return [name, hashOf(Object.fromEntries(kept))];
    };
  return Object.fromEntries([
    ...[...frontends].map(digest()),
    ...[...farms].map(digest()),
    ...[...servers].map(digest('serverState')),
    ...[...routes].map(digest('status')),
    ...[...certificates].map(digest()),
  ]);
}

type Elsewhere = Extract<Traffic, { kind: 'elsewhere' }>;

const elsewhere = (detail: string): Elsewhere => ({ kind: 'elsewhere', detail });

const isIn = (entry: Entry, name: string): boolean =>
  entry.farms.some((farm) => name.startsWith(`${farm}/server/`));

const protocolOf = (name: string): string => name.split('/')[0] ?? '';

export const pendingWords = (pending: Pending): readonly string[] =>
  pending.map(({ zone, number }) => `${number} ${number === 1 ? 'edit' : 'edits'} in zone ${zone}`);
