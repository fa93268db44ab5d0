import { colors, type Color } from '../../../domain/color.js';
import { hashOf } from '../../../domain/hash.js';
import type { BackendObservation, BackendState, Traffic } from '../../../domain/observation.js';
import type { OvhIplbSettings, Server } from '../../../domain/service.js';
import { allTo } from '../../../domain/split.js';
import type { Configuration } from './configuration.js';
import type { BackendServer, Farm, Pending, ServerState } from './documents.js';

/** What a configuration means to one service. Pure. */
export class View {
  readonly #settings: OvhIplbSettings;
  readonly #servers: readonly Server[];

  constructor(settings: OvhIplbSettings, servers: readonly Server[]) {
    this.#settings = settings;
    this.#servers = servers;
  }

  frontendName(id: number): string {
    return `${this.#settings.protocol}/frontend/${id}`;
  }

  farmName(color: Color): string {
    return `${this.#settings.protocol}/farm/${this.#settings.farms[color]}`;
  }

  traffic(configuration: Configuration): Traffic {
    const { frontends } = this.#settings;
    const targets = frontends.map((id) => this.#target(id, configuration));
    const strange = targets.find((target) => target.kind === 'elsewhere');
    if (strange) return strange;
    const reached = new Set(targets.flatMap((target) => (target.kind === 'color' ? [target.color] : [])));
    const [color] = reached;
    if (reached.size === 1 && color) return { kind: 'split', split: allTo(color) };
    const words = frontends.map((id) => this.#targetWords(id, configuration)).join(', ');
    return { kind: 'torn', detail: `its frontends point at different environments (${words})` };
  }

  targets(configuration: Configuration): readonly string[] {
    const { frontends, stagingFrontend } = this.#settings;
    return [
      ...frontends.map((id) => this.#targetWords(id, configuration)),
      `${this.#targetWords(stagingFrontend, configuration)}, for probes only`,
    ];
  }

  /** What this service's traffic depends on: its frontends, both farms with their servers, and routes on its frontends. */
  ours({ servers, routes }: Configuration): readonly string[] {
    const frontendIds = this.#frontendIds();
    const farms = colors.map((color) => this.farmName(color));
    return [
      ...frontendIds.map((id) => this.frontendName(id)),
      ...farms,
      ...[...servers.keys()].filter((name) => farms.some((farm) => name.startsWith(`${farm}/server/`))),
      ...[...routes].flatMap(([name, { frontendId }]) =>
        this.#isOurProtocol(name) && frontendIds.includes(frontendId ?? 0) ? [name] : [],
      ),
    ];
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
    const { frontends, farms, servers, routes } = configuration;
    const ours = new Set(this.ours(configuration));
    const digest =
      (moved: string, volatile?: string) =>
      ([name, object]: readonly [string, object]): readonly [string, string] => [
        name,
        hashOf(
          Object.fromEntries(
            Object.entries(object).filter(
              ([field]) => field !== volatile && !(ours.has(name) && field === moved),
            ),
          ),
        ),
      ];
    return Object.fromEntries([
      ...[...frontends].map(digest('defaultFarmId')),
      ...[...farms].map(digest('')),
      ...[...servers].map(digest('status', 'serverState')),
      ...[...routes].map(digest('', 'status')),
    ]);
  }

  backends(configuration: Configuration): readonly BackendObservation[] {
    return this.#servers.map((server) => {
      const { name, color } = server;
      const farm = configuration.farms.get(this.farmName(color));
      const [, backend] = this.backendOf(server, configuration) ?? [];
      return {
        server: name,
        color,
        ...(farm && backend ? stateOf(farm, backend) : { state: 'absent' as const }),
      };
    });
  }

  /** Which object of the load balancer stands for a server: the one in its farm with its address and port. */
  backendOf(server: Server, { farms, servers }: Configuration): readonly [string, BackendServer] | undefined {
    const farm = this.farmName(server.color);
    const farmPort = farms.get(farm)?.port;
    return [...servers].find(
      ([name, { address, port }]) =>
        name.startsWith(`${farm}/server/`) &&
        address === server.address &&
        (port ?? farmPort) === server.port,
    );
  }

  /** Zones in which an edit of ours shows, or `undefined` for all of them. */
  zones({ frontends }: Configuration): readonly string[] | undefined {
    const zones = this.#frontendIds().map((id) => frontends.get(this.frontendName(id))?.zone ?? 'all');
    return zones.includes('all') ? undefined : [...new Set(zones)];
  }

  /** Which environment a frontend of this service points at. */
  pointsAt(frontendId: number, { frontends }: Configuration): Color | undefined {
    return this.#colorOf(frontends.get(this.frontendName(frontendId))?.defaultFarmId);
  }

  #colorOf(farmId: number | null | undefined): Color | undefined {
    return colors.find((color) => this.#settings.farms[color] === farmId);
  }

  #target(id: number, { frontends, routes }: Configuration): Target {
    const frontend = frontends.get(this.frontendName(id));
    if (!frontend) return elsewhere(`frontend ${id} does not exist`);
    if (frontend.disabled) return elsewhere(`frontend ${id} is disabled`);
    if (frontend.redirectLocation)
      return elsewhere(`frontend ${id} redirects to ${frontend.redirectLocation}`);
    const route = [...routes].find(
      ([name, { frontendId, action }]) =>
        this.#isOurProtocol(name) && frontendId === id && action.type === 'farm',
    );
    if (route) {
      return elsewhere(
        `${route[0]} takes traffic of frontend ${id} to farm ${route[1].action.target} before its default`,
      );
    }
    const color = this.#colorOf(frontend.defaultFarmId);
    if (color) return { kind: 'color', color };
    const { blue, green } = this.#settings.farms;
    return elsewhere(
      `frontend ${id} points at ${frontend.defaultFarmId ? `farm ${frontend.defaultFarmId}` : 'no farm'}, which is neither blue (${blue}) nor green (${green})`,
    );
  }

  #targetWords(id: number, { frontends }: Configuration): string {
    const farmId = frontends.get(this.frontendName(id))?.defaultFarmId;
    const color = this.#colorOf(farmId);
    return `frontend ${id} -> ${farmId ? `farm ${farmId}` : 'nothing'}${color ? ` (${color})` : ''}`;
  }

  /** Whether a name is of one of our frontends or farms, or of a server of ours, there or not. */
  #isLever(name: string): boolean {
    return (
      this.#frontendIds().some((id) => name === this.frontendName(id)) ||
      colors.some(
        (color) => name === this.farmName(color) || name.startsWith(`${this.farmName(color)}/server/`),
      )
    );
  }

  #frontendIds(): readonly number[] {
    return [...this.#settings.frontends, this.#settings.stagingFrontend];
  }

  #isOurProtocol(name: string): boolean {
    return name.startsWith(`${this.#settings.protocol}/`);
  }
}

type Target = { readonly kind: 'color'; readonly color: Color } | Extract<Traffic, { kind: 'elsewhere' }>;

const elsewhere = (detail: string): Extract<Traffic, { kind: 'elsewhere' }> => ({
  kind: 'elsewhere',
  detail,
});

function stateOf(
  farm: Farm,
  { status, weight, probe, serverState }: BackendServer,
): Pick<BackendObservation, 'state' | 'checkedAtMs'> {
  if (status !== 'active') return { state: 'inactive' };
  if (weight === 0) return { state: 'absent' };
  const instances = serverState ?? [];
  if (!farm.probe || !probe || instances.length === 0) return { state: 'unchecked' };
  const states = instances.map(instanceState);
  const state = (['down', 'unchecked'] as const).find((bad) => states.includes(bad)) ?? 'up';
  const checkedAtMs = Math.min(
    ...instances.map(({ checkTime }) => (checkTime ? Date.parse(checkTime) : NaN)),
  );
  return { state, ...(Number.isNaN(checkedAtMs) ? {} : { checkedAtMs }) };
}

/** A server that no check has looked at is presumed up after every reload: that proves nothing. */
function instanceState({ status, checkTime }: ServerState): BackendState {
  if (!status || /no check/i.test(status)) return 'unchecked';
  if (!/^up\b/i.test(status)) return 'down';
  return checkTime ? 'up' : 'unchecked';
}

export const pendingWords = (pending: Pending): readonly string[] =>
  pending.map(({ zone, number }) => `${number} ${number === 1 ? 'edit' : 'edits'} in zone ${zone}`);
