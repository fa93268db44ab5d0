import { colors, otherColor, type Color } from '../../../domain/color.js';
import { hashOf } from '../../../domain/hash.js';
import type { ServerName, ServiceId } from '../../../domain/names.js';
import type { OvhIplbSettings, Server, Service } from '../../../domain/service.js';
import type { Configuration } from './configuration.js';
import { describeEquipment, equipmentPlan, type EquipmentPlan, type EquipmentStep } from './equipment.js';

/** What a service needs on a load balancer that exists already. */
export interface Wish {
  readonly service: Pick<Service, 'id' | 'environments' | 'health'>;
  /** Ids count only where they are not `missing`. */
  readonly settings: OvhIplbSettings;
  readonly missing: {
    readonly farms: readonly Color[];
    readonly stagingFrontend: boolean;
    readonly mixedFarm?: boolean;
    readonly mixedStagingFrontend?: boolean;
    readonly testersRoute?: boolean;
  };
  /** Where the staging frontend listens. Default: the first free port from 8888. */
  readonly stagingPort?: number | undefined;
  /** CIDR blocks that may reach the staging frontend. */
  readonly stagingSources: readonly string[];
}

type Body = Readonly<Record<string, unknown>>;

/** One object to create. What it refers to may be created before it. */
export type Step =
  | { readonly kind: 'farm'; readonly color: Color; readonly body: Body }
  | { readonly kind: 'server'; readonly color: Color; readonly server: ServerName; readonly body: Body }
  | { readonly kind: 'staging frontend'; readonly color: Color; readonly body: Body }
  | EquipmentStep;

export interface ProvisioningPlan {
  /** In the order in which they are created. */
  readonly steps: readonly Step[];
  /** What is there already and stays as it is. */
  readonly farms: Readonly<Partial<Record<Color, number>>>;
  readonly stagingFrontend: number | undefined;
  readonly equipment: EquipmentPlan['found'];
  /** What people should know and nobody but they may change. */
  readonly notes: readonly string[];
  /** Why nothing of this may be done. */
  readonly refusals: readonly string[];
}

type Role = Color | 'staging' | 'mixed' | 'mixed-staging' | 'testers';

/** Objects of ours are recognised by their display name, whatever their number. */
export function markerOf(service: ServiceId, role: Role): string {
  const marker = `verdigris:${service}:${role}`;
  // Longer ones are not sure to be kept whole.
  return marker.length <= 50 ? marker : `verdigris:${hashOf(service).slice(0, 16)}:${role}`;
}

/** What has to be created. Pure: the same wish and configuration give the same plan. */
export function provisioningPlan(wish: Wish, configuration: Configuration): ProvisioningPlan {
  return new Planner(wish, configuration).plan();
}

class Planner {
  readonly #wish: Wish;
  readonly #configuration: Configuration;
  readonly #steps: Step[] = [];
  readonly #notes: string[] = [];
  readonly #refusals: string[] = [];

  constructor(wish: Wish, configuration: Configuration) {
    this.#wish = wish;
    this.#configuration = configuration;
  }

  plan(): ProvisioningPlan {
    const zone = this.#zone();
    const farms: Partial<Record<Color, number>> = {};
    for (const color of colors) {
      const id = this.#farm(color);
      if (id !== undefined) farms[color] = id;
      this.#farmAndServers(color, id, zone);
    }
    const stagingFrontend = this.#stagingFrontend();
    if (stagingFrontend === undefined && this.#wish.missing.stagingFrontend) this.#newStaging(farms, zone);
    const equipment = this.#equipment(zone, farms);
    if ((this.#wish.settings.also ?? []).length > 0)
      this.#notes.push('nothing is created for loadBalancer.also: what it needs, add yourself');
    return {
      steps: this.#refusals.length > 0 ? [] : this.#steps,
      farms,
      stagingFrontend,
      equipment: equipment.found,
      notes: this.#notes,
      refusals: this.#refusals,
    };
  }

  #equipment(zone: string, farms: Readonly<Partial<Record<Color, number>>>): EquipmentPlan {
    const staging = this.#steps.find(({ kind }) => kind === 'staging frontend')?.body['port'];
    const plan = equipmentPlan(this.#wish, this.#configuration, {
      zone,
      farms,
      live: this.#live(farms),
      taken: staging === undefined ? undefined : Number(staging),
      farmBody: this.#farmBody('blue', zone),
    });
    this.#steps.push(...plan.steps);
    this.#notes.push(...plan.notes);
    this.#refusals.push(...plan.refusals);
    return plan;
  }

  /** The environment that the world's first frontend points at. */
  #live(farms: Readonly<Partial<Record<Color, number>>>): Color | undefined {
    const { protocol, frontends } = this.#wish.settings;
    const { defaultFarmId } =
      this.#configuration.frontends.get(`${protocol}/frontend/${frontends[0] ?? 0}`) ?? {};
    return colors.find((color) => farms[color] !== undefined && farms[color] === defaultFarmId);
  }

  /** A frontend and its farm must share zones, so everything is made where the frontends of the world are. */
  #zone(): string {
    const { protocol, frontends } = this.#wish.settings;
    const zones = frontends.flatMap((id) => {
      const frontend = this.#configuration.frontends.get(`${protocol}/frontend/${id}`);
      if (frontend) return [frontend.zone];
      this.#refusals.push(
        `there is no ${protocol} frontend ${id}, needs to be there: loadBalancer.frontends`,
      );
      return [];
    });
    const [zone = 'all', ...others] = new Set(zones);
    if (others.length > 0) {
      this.#refusals.push(
        `the frontends are in different zones (${[zone, ...others].join(', ')}), needs one for all of them`,
      );
    }
    return zone;
  }

  #farm(color: Color): number | undefined {
    const { settings, missing, service } = this.#wish;
    if (missing.farms.includes(color))
      return this.#own(`${settings.protocol}/farm/`, markerOf(service.id, color));
    const id = settings.farms[color];
    if (this.#configuration.farms.has(`${settings.protocol}/farm/${id}`)) return id;
    this.#refusals.push(
      `there is no ${settings.protocol} farm ${id}, needs to be there: loadBalancer.farms.${color}`,
    );
    return undefined;
  }

  #stagingFrontend(): number | undefined {
    const { settings, missing, service } = this.#wish;
    if (missing.stagingFrontend)
      return this.#own(`${settings.protocol}/frontend/`, markerOf(service.id, 'staging'));
    const id = settings.stagingFrontend;
    if (!this.#configuration.frontends.has(`${settings.protocol}/frontend/${id}`)) {
      this.#refusals.push(
        `there is no ${settings.protocol} frontend ${id}, needs to be there: loadBalancer.stagingFrontend`,
      );
    }
    return id;
  }

  /** The oldest object with our marker. A second one is what is left of an answer that came too late. */
  #own(prefix: string, marker: string): number | undefined {
    const [id, ...others] = ownObjects(this.#configuration, prefix, marker);
    for (const other of others) {
      this.#notes.push(
        `${prefix}${other} has the name of ${prefix}${id} (${marker}): it is not used, delete it yourself`,
      );
    }
    return id;
  }

  #farmAndServers(color: Color, id: number | undefined, zone: string): void {
    const { settings, missing } = this.#wish;
    const servers = this.#wish.service.environments[color];
    const body = this.#farmBody(color, zone);
    if (id === undefined) {
      if (!missing.farms.includes(color)) return;
      this.#steps.push({ kind: 'farm', color, body });
      this.#steps.push(...servers.map((server) => serverStep(server)));
      return;
    }
    const name = `${settings.protocol}/farm/${id}`;
    const absent = servers.filter((server) => !hasServer(this.#configuration, name, server));
    if (missing.farms.includes(color)) this.#noteDifferences(name, body);
    const isOurs = missing.farms.includes(color);
    if (absent.length === 0) return;
    if (isOurs && !this.#carriesTraffic(id)) return void this.#steps.push(...absent.map(serverStep));
    const why = isOurs ? 'has traffic, which a new server would get before any probe' : 'is not ours';
    this.#notes.push(
      `${name} lacks ${absent.map((server) => server.name).join(', ')}, and ${why}: add them yourself`,
    );
  }

  #farmBody(color: Color, zone: string): Body {
    const { service, settings } = this.#wish;
    const { health, environments } = service;
    return {
      zone,
      // Not inherited from the frontend: a probe has no port of its own.
      port: environments[color][0]?.port,
      balance: 'roundrobin',
      displayName: markerOf(service.id, color),
      probe:
        settings.protocol === 'tcp'
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
    const farm: Body = this.#configuration.farms.get(name) ?? {};
    const probe = (farm['probe'] ?? {}) as Body;
    const differing = Object.entries({ ...wanted, ...(wanted['probe'] as Body) })
      .filter(([key]) => key !== 'probe')
      .filter(([key, value]) => (key in wanted ? farm[key] : probe[key]) !== value)
      .map(([key, value]) => `${key in wanted ? key : `probe.${key}`} should be ${JSON.stringify(value)}`);
    if (differing.length > 0)
      this.#notes.push(`${name} is not as it would be made now: ${differing.join(', ')}`);
  }

  #carriesTraffic(farmId: number): boolean {
    const { service, settings } = this.#wish;
    const staging = markerOf(service.id, 'staging');
    const { frontends, routes } = this.#configuration;
    return (
      [...frontends].some(
        ([name, frontend]) =>
          frontend.defaultFarmId === farmId &&
          frontend['displayName'] !== staging &&
          name !==
            `${settings.protocol}/frontend/${this.#wish.missing.stagingFrontend ? '' : settings.stagingFrontend}`,
      ) ||
      [...routes.values()].some(({ action }) => action.type === 'farm' && action.target === String(farmId))
    );
  }

  #newStaging(farms: Readonly<Partial<Record<Color, number>>>, zone: string): void {
    const { service, settings, stagingSources } = this.#wish;
    const port = this.#stagingPort();
    if (port === undefined) return;
    const [production = 0] = settings.frontends;
    const live = this.#live(farms);
    if (live === undefined) {
      this.#notes.push(
        `frontend ${production} points at neither environment: once blue runs, point it at blue's farm yourself`,
      );
    }
    const body = {
      zone,
      port: String(port),
      displayName: markerOf(service.id, 'staging'),
      allowedSource: [...stagingSources],
    };
    this.#steps.push({ kind: 'staging frontend', color: otherColor(live ?? 'blue'), body });
  }

  #stagingPort(): number | undefined {
    const { stagingPort } = this.#wish;
    const taken = portsTaken(this.#configuration);
    const wanted = stagingPort ?? freePort(this.#configuration, undefined);
    if (wanted !== undefined && !taken.has(wanted)) return wanted;
    this.#refusals.push(
      `port ${wanted ?? '8888 to 8987'} is taken by ${taken.get(wanted ?? 8888)}, needs another: --staging-port`,
    );
    return undefined;
  }
}

export function hasServer(
  { farms, servers }: Configuration,
  farm: string,
  { address, port }: Server,
): boolean {
  const farmPort = farms.get(farm)?.port;
  return [...servers].some(
    ([name, server]) =>
      name.startsWith(`${farm}/server/`) && server.address === address && (server.port ?? farmPort) === port,
  );
}

/** Numbers of the objects with our marker, the oldest first. */
export const ownObjects = (
  { farms, frontends, routes }: Configuration,
  prefix: string,
  marker: string,
): readonly number[] =>
  [...farms, ...frontends, ...routes]
    .filter(([name, object]) => name.startsWith(prefix) && object['displayName'] === marker)
    .map(([name]) => Number(name.slice(prefix.length)))
    .toSorted((a, b) => a - b);

export const ownObject = (...of: Parameters<typeof ownObjects>): number | undefined => ownObjects(...of)[0];

const portsTaken = ({ frontends }: Configuration): ReadonlyMap<number, string> =>
  new Map(
    [...frontends].flatMap(([name, { port }]) => portsIn(String(port)).map((one) => [one, name] as const)),
  );

/** The first port from 8888 that no frontend has, and that is not given away. */
export function freePort(configuration: Configuration, given: number | undefined): number | undefined {
  const taken = portsTaken(configuration);
  return Array.from({ length: 100 }, (_, index) => 8888 + index).find(
    (port) => port !== given && !taken.has(port),
  );
}

const serverStep = ({ name, color, address, port }: Server): Step => ({
  kind: 'server',
  color,
  server: name,
  body: { address, port, status: 'active', weight: 1, probe: true, displayName: name },
});

/** `80`, `8000-8010` and `80,443`, as frontends have them. Anything else is no port. */
const portsIn = (written: string): readonly number[] =>
  written.split(',').flatMap((part) => {
    const [first = NaN, last = first] = part.split('-').map(Number);
    return Number.isNaN(first) ? [] : Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });

/** A step for people. */
export function describeStep(step: Step): string {
  const { body } = step;
  switch (step.kind) {
    case 'farm':
      return `create farm "${String(body['displayName'])}" for ${step.color}: port ${String(body['port'])}, zone ${String(body['zone'])}, probed by ${probeWords(body['probe'] as Body)}`;
    case 'server':
      return `create server ${step.server} in it: ${String(body['address'])}:${String(body['port'])}`;
    case 'staging frontend': {
      const sources = (body['allowedSource'] as readonly string[]).join(', ');
      return `create frontend "${String(body['displayName'])}" on port ${String(body['port'])}, which references ${step.color} so that it is probed, open to ${sources}`;
    }
    default:
      return describeEquipment(step);
  }
}

const probeWords = ({ type, method, url, pattern }: Body): string =>
  type === 'http' ? `${String(method)} ${String(url)} = ${String(pattern)}` : 'TCP';
