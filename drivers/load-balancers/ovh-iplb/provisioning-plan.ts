import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { IplbEntry, OvhIplbSettings, Server, Service, TestersMark } from '../../../domain/service.js';
import { keyWords, markerOf, type EntrancePath } from '../provisioning.js';
import type { Configuration } from './configuration.js';
import type { Farm } from './documents.js';
import { Draft, type Body, type Role, type Step } from './draft.js';
import { planBackups, planTesters } from './equipment.js';
import { membersOf } from './entry.js';
import { freePort, serverIn, portsTaken } from './inventory.js';

/** What a service needs on a load balancer that exists already. */
export interface Wish {
  readonly service: Pick<Service, 'id' | 'environments' | 'health'>;
  readonly settings: Pick<OvhIplbSettings, 'serviceName' | 'refreshDeadlineMs' | 'fallback'>;
  /** All that the world comes in by; testers by the first of them. */
  readonly entries: readonly [WishedEntry, ...WishedEntry[]];
  readonly testers?: { readonly route: number | undefined; readonly by: TestersMark };
  /** Where the first staging frontend listens, and from where on free ports are looked for. Default: 8888. */
  readonly stagingPort: number | undefined;
  /** CIDR blocks that may reach the staging frontends. */
  readonly stagingSources: readonly string[];
}

/** What is not named is created, or was by an earlier run. */
export interface WishedEntry extends Pick<IplbEntry, 'protocol' | 'frontends' | 'ports'> {
  /** Where it stands below `loadBalancer`. */
  readonly path: EntrancePath;
  readonly farms: Readonly<Partial<Record<Color, number>>>;
  readonly stagingFrontend: number | undefined;
  readonly mixed?: { readonly farm: number | undefined; readonly stagingFrontend: number | undefined };
}

export interface ProvisioningPlan {
  /** In the order in which they are created. */
  readonly steps: readonly Step[];
  /** What is there already and stays as it is. */
  readonly ids: ReadonlyMap<Role, number>;
  /** Where a configuration names an object. */
  readonly paths: ReadonlyMap<Role, EntrancePath>;
  readonly notes: readonly string[];
  readonly refusals: readonly string[];
}

/** What has to be created. Pure: the same wish and configuration give the same plan. */
export function provisioningPlan(wish: Wish, configuration: Configuration): ProvisioningPlan {
  const draft = new Draft(wish.service.id, configuration);
  const entries = wish.entries.map((entry, index) => new EntryPlanner(wish, entry, index > 0, draft));
  for (const entry of entries) entry.plan();
  const [first] = entries;
  if (wish.settings.fallback) for (const entry of entries) planBackups(entry, draft);
  if (wish.testers && first) planTesters(wish.testers, first, draft);
  return draft.plan();
}

/** One entry: its two farms with their servers, a mixed one where it has it, and what has them probed. */
export class EntryPlanner {
  readonly wish: Wish;
  readonly entry: WishedEntry;
  readonly #isFurther: boolean;
  readonly #draft: Draft;

  constructor(wish: Wish, entry: WishedEntry, isFurther: boolean, draft: Draft) {
    this.wish = wish;
    this.entry = entry;
    this.#isFurther = isFurther;
    this.#draft = draft;
  }

  /** Of a further entry with what tells it from the others, whatever their order is. */
  role(of: Color | 'staging' | 'mixed' | 'mixed-staging'): Role {
    const { protocol, frontends } = this.entry;
    return this.#isFurther ? `${protocol}-${Math.min(...frontends)}-${of}` : of;
  }

  /** The environment that the entry's first frontend points at, where that can be told. */
  get live(): Color | undefined {
    const { protocol, frontends } = this.entry;
    const { defaultFarmId } =
      this.#draft.configuration.frontends.get(`${protocol}/frontend/${frontends[0] ?? 0}`) ?? {};
    return colors.find((color) => {
      const id = this.#draft.ids.get(this.role(color));
      return id !== undefined && id === defaultFarmId;
    });
  }

  portOf({ port, color }: Server): number {
    return this.entry.ports?.[color] ?? port;
  }

  plan(): void {
    const zone = this.#zone();
    for (const color of colors) this.#planFarm(color, zone);
    const { path, stagingFrontend, mixed } = this.entry;
    const live = this.live;
    this.#planStaging('staging', otherColor(live ?? 'blue'), zone, stagingFrontend, [
      ...path,
      'stagingFrontend',
    ]);
    if (!mixed) return;
    this.#planMixed(zone);
    this.#planStaging('mixed-staging', 'mixed', zone, mixed.stagingFrontend, [
      ...path,
      'mixed',
      'stagingFrontend',
    ]);
  }

  /** A frontend and its farm must share zones, so everything is made where the frontends of the world are. */
  #zone(): string {
    const { protocol, frontends, path } = this.entry;
    const zones = frontends.flatMap((id) => {
      const frontend = this.#draft.configuration.frontends.get(`${protocol}/frontend/${id}`);
      if (frontend) return [frontend.zone];
      this.#draft.refuse(
        `there is no ${protocol} frontend ${id}, needs to be there: ${keyWords([...path, 'frontends'])}`,
      );
      return [];
    });
    const [zone = 'all', ...others] = new Set(zones);
    if (others.length > 0) {
      this.#draft.refuse(
        `the frontends are in different zones (${[zone, ...others].join(', ')}), needs one for all of them: ${keyWords([...path, 'frontends'])}`,
      );
    }
    return zone;
  }

  #planFarm(color: Color, zone: string): void {
    const { path, farms } = this.entry;
    const servers = this.wish.service.environments[color];
    this.#planServers(this.role(color), color, servers, zone, farms[color], [...path, 'farms', color]);
  }

  #planMixed(zone: string): void {
    const { path, mixed } = this.entry;
    const servers = colors.flatMap((color) => this.wish.service.environments[color]);
    this.#planServers(this.role('mixed'), undefined, servers, zone, mixed?.farm, [...path, 'mixed', 'farm']);
  }

  /** A farm of the entry that is there already: what is made beside it has to serve visitors alike. */
  get #modelFarm(): readonly [name: string, farm: Farm] | undefined {
    const { protocol, farms } = this.entry;
    return colors
      .map((color) => farms[color] ?? this.#draft.own('farm', protocol, this.role(color)))
      .flatMap((id): (readonly [string, Farm])[] => {
        const name = `${protocol}/farm/${id}`;
        const farm = this.#draft.configuration.farms.get(name);
        return farm ? [[name, farm]] : [];
      })[0];
  }

  /** How servers are spoken to in the farm that is there already. */
  get serverManner(): Body {
    const [name] = this.#modelFarm ?? [];
    const [, server] = (name === undefined ? undefined : membersOf(name, this.#draft.configuration)[0]) ?? [];
    return set(server ?? {}, ['ssl', 'proxyProtocolVersion', 'onMarkedDown']);
  }

  /** A farm and its servers: of one environment, or of both where there is no color. */
  #planServers(
    role: Role,
    color: Color | undefined,
    servers: readonly Server[],
    zone: string,
    named: number | undefined,
    path: EntrancePath,
  ): void {
    const { protocol } = this.entry;
    const id = this.#draft.found('farm', protocol, role, named, path);
    const body = this.#farmBody(role, color ?? 'blue', zone);
    const all = servers.map((server) => this.#serverStep(role, server));
    if (id === undefined) {
      if (named !== undefined) return;
      this.#draft.add({ kind: 'farm', protocol, role, body, words: farmWords(color, body) }, ...all);
      return;
    }
    const name = `${protocol}/farm/${id}`;
    const isOurs = this.#draft.isOurs(name, role);
    if (isOurs) this.#noteDifferences(name, body);
    const absent = servers.filter(
      (server) => !serverIn(this.#draft.configuration, name, server.address, this.portOf(server)),
    );
    if (absent.length === 0) return;
    if (isOurs && !this.#carriesTraffic(id)) {
      this.#draft.add(...absent.map((server) => this.#serverStep(role, server)));
      return;
    }
    const why = isOurs ? 'has traffic, which a new server would get before any probe' : 'is not ours';
    this.#draft.note(
      `${name} lacks ${absent.map((server) => server.name).join(', ')}, and ${why}: add them yourself`,
    );
  }

  #serverStep(role: Role, server: Server): Step {
    const { name, address } = server;
    const port = this.portOf(server);
    return {
      kind: 'server',
      protocol: this.entry.protocol,
      role,
      body: {
        address,
        port,
        status: 'active',
        weight: 1,
        probe: true,
        ...this.serverManner,
        displayName: name,
      },
      words: `create server ${name} in it: ${address}:${port}`,
    };
  }

  #farmBody(role: Role, color: Color, zone: string): Body {
    const { service } = this.wish;
    const { health, environments } = service;
    const [first] = environments[color];
    return {
      zone,
      // Not inherited from the frontend: a probe has no port of its own.
      port: first && this.portOf(first),
      balance: 'roundrobin',
      ...set(this.#modelFarm?.[1] ?? {}, ['stickiness', 'vrackNetworkId']),
      displayName: markerOf(service.id, role),
      probe:
        this.entry.protocol === 'tcp'
          ? { type: 'tcp', interval: 30 }
          : {
              type: 'http',
              method: 'GET',
              url: health.path,
              match: 'status',
              pattern: String(health.status),
              interval: 30,
            },
    };
  }

  #noteDifferences(name: string, wanted: Body): void {
    const farm: Body = this.#draft.configuration.farms.get(name) ?? {};
    const probe = (farm['probe'] ?? {}) as Body;
    const differing = Object.entries({ ...wanted, ...(wanted['probe'] as Body) })
      .filter(([key]) => key !== 'probe')
      .filter(([key, value]) => (key in wanted ? farm[key] : probe[key]) !== value)
      .map(([key, value]) => `${key in wanted ? key : `probe.${key}`} should be ${JSON.stringify(value)}`);
    if (differing.length > 0)
      this.#draft.note(`${name} is not as it would be made now: ${differing.join(', ')}`);
  }

  /** Whether anything but what is for probes leads to a farm. */
  #carriesTraffic(farmId: number): boolean {
    const { configuration } = this.#draft;
    const { protocol, stagingFrontend, mixed } = this.entry;
    const own = (of: 'staging' | 'mixed-staging') => this.#draft.own('frontend', protocol, this.role(of));
    const staging = [stagingFrontend ?? own('staging'), mixed?.stagingFrontend ?? own('mixed-staging')].map(
      (id) => `${protocol}/frontend/${id}`,
    );
    return (
      [...configuration.frontends].some(
        ([name, { defaultFarmId }]) => defaultFarmId === farmId && !staging.includes(name),
      ) ||
      [...configuration.routes.values()].some(
        ({ action }) => action.type === 'farm' && action.target === String(farmId),
      )
    );
  }

  /** A frontend that nobody needs to reach, so that the farm that it leads to is probed. */
  #planStaging(
    of: 'staging' | 'mixed-staging',
    farm: Color | 'mixed',
    zone: string,
    named: number | undefined,
    path: EntrancePath,
  ): void {
    const { protocol, frontends } = this.entry;
    const role = this.role(of);
    if (this.#draft.found('frontend', protocol, role, named, path) !== undefined || named !== undefined)
      return;
    const port = this.#stagingPort();
    if (port === undefined) return;
    if (farm !== 'mixed' && this.live === undefined) {
      this.#draft.note(
        `frontend ${frontends[0]} points at neither environment: once blue runs, point it at blue's farm yourself`,
      );
    }
    const { service, stagingSources } = this.wish;
    const displayName = markerOf(service.id, role);
    this.#draft.add({
      kind: 'frontend',
      protocol,
      role,
      leadsTo: this.role(farm),
      body: { zone, port: String(port), displayName, allowedSource: [...stagingSources] },
      words: `create frontend "${displayName}" on port ${port}, which references ${farm === 'mixed' ? 'the mixed farm' : farm} so that it is probed, open to ${stagingSources.join(', ')}`,
    });
  }

  #stagingPort(): number | undefined {
    const { stagingPort } = this.wish;
    const { configuration, givenPorts } = this.#draft;
    const isFirst = givenPorts.size === 0;
    const taken = portsTaken(configuration);
    const free = freePort(taken, givenPorts, stagingPort);
    const wanted = isFirst ? (stagingPort ?? free) : free;
    if (wanted !== undefined && !taken.has(wanted)) {
      givenPorts.add(wanted);
      return wanted;
    }
    this.#draft.refuse(
      `port ${wanted ?? '8888 to 8987'} is taken by ${taken.get(wanted ?? 8888)}, needs another: --staging-port`,
    );
    return undefined;
  }
}

/** Those of the fields that are set. */
const set = (object: Readonly<Record<string, unknown>>, fields: readonly string[]): Body =>
  Object.fromEntries(fields.flatMap((field) => (object[field] ? [[field, object[field]] as const] : [])));

const farmWords = (color: Color | undefined, body: Body): string =>
  `create farm "${String(body['displayName'])}" for ${color ?? 'both environments'}: port ${String(body['port'])}, zone ${String(body['zone'])}, probed by ${probeWords(body['probe'] as Body)}`;

const probeWords = ({ type, method, url, pattern }: Body): string =>
  type === 'http' ? `${String(method)} ${String(url)} = ${String(pattern)}` : 'TCP';
