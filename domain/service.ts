import { otherColor, type Color } from './color.js';
import type { Amount } from './fleet.js';
import type { ServerName, ServiceId } from './names.js';
import type { AgentReference, SecretReference } from './secret.js';

/**
 * One C program behind one load balancer with two environments, at one destination: what
 * `verdigris.yaml` says once it has been read, checked and completed with defaults.
 * Holds names of secrets, never secrets.
 */
export interface Service {
  readonly id: ServiceId;
  readonly name: string;
  readonly destination: string;
  readonly program: ProgramSettings;
  readonly configuration: ConfigurationSettings;
  readonly environments: Readonly<Record<Color, readonly Server[]>>;
  /** The only one, or the first of its regions. */
  readonly loadBalancer: LoadBalancerSettings;
  readonly publicAddress: PublicAddress;
  /** Where it has several load balancers: all of them, in the order in which they are moved. */
  readonly regions?: readonly Region[];
  readonly artifact: ArtifactSettings;
  readonly health: HealthSettings;
  readonly verify: VerifySettings;
  readonly fleet: FleetSettings;
  readonly approve: ApproveSettings;
  readonly prober: ProberSettings;
  readonly bake: BakeSettings;
  readonly retire: RetireSettings;
  readonly drain: DrainSettings;
  readonly machines: MachineSettings;
  readonly install: InstallSettings;
  /** Releases kept on a server beside the active and the previous one. */
  readonly keepReleases: number;
}

/** How the program is found in its artifact and run on a server. Paths are relative to the artifact's root. */
export interface ProgramSettings {
  /** What `/proc/PID/exe` must be, for example `bin/greeter`. */
  readonly executable: string;
  /** The unit file template inside the artifact, for example `lib/systemd/system/greeter.service`. */
  readonly unitFile: string;
  /** Who it runs as where the helper is installed. */
  readonly user: string;
}

/** What differs between places: filled into templates of the artifact, and into the unit. */
export interface ConfigurationSettings {
  /** Paths in the artifact of the program's configuration files; each is a template. */
  readonly files: readonly string[];
  /** Directories below `shared/` that outlive releases and belong to the program's user. */
  readonly shared: readonly string[];
  /** What `{{name}}` stands for. */
  readonly values: Layers<string | SecretReference>;
  /** Settings of the unit's section `[Service]` such as `MemoryMax`. */
  readonly limits: Layers<string>;
  /** Keys the fingerprints by which a changed secret makes another release; the SSH key of a server when left out. */
  readonly fingerprintKey?: SecretReference;
}

/** Said for all servers, over that for an environment, over that for one server. */
export interface Layers<Item> extends Readonly<Record<Color, Readonly<Record<string, Item>>>> {
  readonly all: Readonly<Record<string, Item>>;
  readonly servers: Readonly<Record<string, Readonly<Record<string, Item>>>>;
}

export const layered = <Item>(
  layers: Layers<Item>,
  { color, name }: Pick<Server, 'color' | 'name'>,
): Readonly<Record<string, Item>> => ({ ...layers.all, ...layers[color], ...layers.servers[name] });

/** One place in an environment, as the load balancer knows it. */
export interface Server {
  readonly name: ServerName;
  readonly color: Color;
  /** IPv4 address by which the load balancer reaches it. */
  readonly address: string;
  readonly port: number;
  /** systemd unit, for example `greeter.service`. */
  readonly unit: string;
  /** Absolute path that holds `releases/`, `current` and `shared/`. */
  readonly directory: string;
  /** Where the program answers probes, seen from the machine itself. */
  readonly probe: { readonly address: string; readonly port: number };
  readonly connection: ServerConnection;
  /** What the machine is to OVHcloud, where its own view of it is wanted. */
  readonly ovh?: OvhProduct;
}

/** A machine as OVHcloud sells it. */
export type OvhProduct =
  | { readonly kind: 'dedicated server' | 'vps'; readonly name: string }
  | { readonly kind: 'instance'; readonly project: string; readonly id: string };

/** What becomes of a deployment when OVHcloud's view of the machines speaks against it. */
export interface MachineSettings {
  readonly unhealthy: 'warn' | 'refuse';
  readonly unequal: 'warn' | 'refuse';
}

export type ServerConnection =
  | (SshAddress & {
      readonly driver: 'ssh';
      /** Machines to go through, in the order in which they are reached. */
      readonly bastions?: readonly SshAddress[];
      readonly limits?: SshLimits;
      readonly privilege: Privilege;
    })
  | { readonly driver: 'in-memory'; readonly world: string };

/** A machine as one user reaches it by SSH. */
export interface SshAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The private key, or the agent that holds it. */
  readonly key: SecretReference | AgentReference;
  /** What opens the private key. */
  readonly passphrase?: SecretReference;
  /** An OpenSSH user certificate for that key. */
  readonly certificate?: SecretReference;
  /**
   * `SHA256:...` of the machine's host keys, with their type in front where it is known (`ssh-ed25519 SHA256:...`); no
   * other is accepted. Part of the plan, so that no file of a worker decides which machine is trusted.
   */
  readonly hostKeys: readonly string[];
}

export interface SshLimits {
  /** How long a machine may take to answer at all. */
  readonly connectTimeoutMs: number;
  /** How long the handshake and the login may take then. */
  readonly loginTimeoutMs: number;
  /** A connection that says nothing for three times this long is given up. */
  readonly keepAliveMs: number;
  /** A connection that nobody uses is closed after this long. */
  readonly idleMs: number;
}

/**
 * How the helper gets its rights on a server: `installed` is run there by a sudo rule for nothing else, and obeys the
 * policy of its unit; `sudo` travels with each command, and whoever has the key is as good as root; `none` is run as the
 * login user.
 */
export type Privilege = 'installed' | 'sudo' | 'none';

export type LoadBalancerSettings = OvhIplbSettings | OvhPublicCloudSettings | InMemoryLoadBalancerSettings;

export interface InMemoryLoadBalancerSettings {
  readonly driver: 'in-memory';
  readonly world: string;
  readonly fallback?: 'old-environment';
  readonly testers?: TestersSettings;
}

/** An OVHcloud Load Balancer: frontends whose default farm is moved between the farms of blue and green. */
export interface OvhIplbSettings extends IplbEntry {
  readonly driver: 'ovh-iplb';
  readonly api: OvhApiSettings;
  /** For example `loadbalancer-0123...`. */
  readonly serviceName: string;
  /** What the world comes in by beside that, with farms of its own: moved in the same refresh. */
  readonly also?: readonly IplbEntry[];
  /** During the bake the old servers are backups in the new farm: the load balancer goes back by itself when all of it is down. */
  readonly fallback?: 'old-environment';
  /** Who reaches the new environment before it gets the traffic. */
  readonly testers?: TestersSettings;
  /** How long a published change may take until it is given up as failed. */
  readonly refreshDeadlineMs: number;
}

/** Frontends of one protocol, and the farms that they can point at. */
export interface IplbEntry {
  readonly protocol: 'http' | 'tcp';
  /** Moved together, in one refresh. */
  readonly frontends: readonly number[];
  /** References the idle farm, so that the load balancer probes it. */
  readonly stagingFrontend: number;
  readonly farms: Readonly<Record<Color, number>>;
  /** A farm with the servers of both environments, by whose weights traffic is divided. */
  readonly mixed?: MixedFarmSettings;
  /** Where the servers listen for these frontends, of `also` alone; where each listens for everything else when left out. */
  readonly ports?: Readonly<Record<Color, number>>;
}

export interface MixedFarmSettings {
  readonly farm: number;
  /** References it while no other frontend does, so that the load balancer probes it. */
  readonly stagingFrontend: number;
}

/** All that the world comes in by. */
export const entriesOf = (
  settings: IplbEntry & { readonly also?: readonly IplbEntry[] },
): readonly IplbEntry[] => [settings, ...(settings.also ?? [])];

/** Told from everybody else by a route of the load balancer, which sends them elsewhere while it is open. */
export interface TestersSettings {
  /** A route of one of the frontends. */
  readonly route: number;
  readonly by: TestersMark;
}

export type TestersMark =
  | { readonly kind: 'header' | 'cookie'; readonly name: string; readonly value: string }
  /** An address or a CIDR block. */
  | { readonly kind: 'source'; readonly address: string };

/** One of several load balancers of a service, with its own way in from the world. */
export interface Region {
  readonly name: string;
  readonly loadBalancer: LoadBalancerSettings;
  readonly publicAddress: PublicAddress;
  /** Those that it sends traffic to. */
  readonly servers: readonly ServerName[];
}

/** The settings of all its load balancers. */
export const loadBalancersOf = ({ loadBalancer, regions }: Service): readonly LoadBalancerSettings[] =>
  regions?.map((region) => region.loadBalancer) ?? [loadBalancer];

/** Everywhere the world comes in. */
export const publicAddressesOf = ({ publicAddress, regions }: Service): readonly PublicAddress[] =>
  regions?.map((region) => region.publicAddress) ?? [publicAddress];

/** A Public Cloud Load Balancer (Octavia): listeners whose default pool is moved between the pools of blue and green. */
export interface OvhPublicCloudSettings {
  readonly driver: 'ovh-public-cloud';
  readonly api: OvhApiSettings;
  /** The Public Cloud project, 32 hexadecimal digits. */
  readonly project: string;
  /** For example `GRA11`. */
  readonly region: string;
  /** The load balancer, a UUID, as are all objects in it. */
  readonly id: string;
  /** Moved one after the other in this order, there and back: the first tells which of two changes has won. */
  readonly listeners: readonly string[];
  /** References the idle pool, so that the load balancer probes it. */
  readonly stagingListener?: string;
  readonly pools: Readonly<Record<Color, string>>;
  /** Pools that hold the servers of both environments, for traffic that is divided. */
  readonly mixed?: MixedPools;
  /** What a server's members weigh when they are given traffic again; what the others of their pool weigh when left out. */
  readonly weights: Readonly<Record<string, number>>;
  /** How long the load balancer may be locked by a change until it is given up as failed. */
  readonly updateDeadlineMs: number;
  /** How long after a check the API tells what it found. */
  readonly statusDelayMs: number;
}

export interface MixedPools {
  readonly pools: readonly string[];
  /** `keep`: each pool has the share that its members' weights make. `set`: their weights are set to the share that is wanted. */
  readonly weights: 'keep' | 'set';
}

/** How the OVHcloud API is reached, and as whom. */
export type OvhApiSettings = {
  /** `ovh-eu`, `ovh-ca`, `ovh-us`, or the base URL of an emulator such as `https://localhost:8443/1.0`. */
  readonly endpoint: string;
} & (OvhApplicationKeyReferences | OvhServiceAccountReferences);

/** An application key, and the consumer key that somebody has validated for it. */
export interface OvhApplicationKeyReferences {
  readonly applicationKey: SecretReference;
  readonly applicationSecret: SecretReference;
  readonly consumerKey: SecretReference;
}

/** A service account (OAuth2 client credentials). */
export interface OvhServiceAccountReferences {
  readonly clientId: SecretReference;
  readonly clientSecret: SecretReference;
  /** Where it gets its tokens, when it is not where the endpoint's name tells. */
  readonly tokenUrl?: string;
}

/** Where the world reaches the service, and how blue and green are told apart from there. */
export interface PublicAddress {
  /** For example `http://203.0.113.10:80`. */
  readonly url: string;
  readonly identify: { readonly path: string; readonly header: string };
}

export interface ArtifactSettings {
  /** Header name to the secret that is its value; sent to the URL's own host only. */
  readonly headers: Readonly<Record<string, SecretReference>>;
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

/** One question put to a server, and what counts as a good answer. */
export interface HealthSettings {
  readonly path: string;
  readonly status: number;
  readonly timeoutMs: number;
}

export interface VerifySettings {
  /** Good answers in a row. */
  readonly passes: number;
  readonly everyMs: number;
  /** A program must run this long without a restart before it is believed. */
  readonly minimumMs: number;
  /** When a server that has not proved itself counts as failed. */
  readonly deadlineMs: number;
  /** How long the load balancer may take to see the servers up. */
  readonly loadBalancerDeadlineMs: number;
}

/** What a deployment bears of the servers that it goes to. */
export interface FleetSettings {
  /** How many servers of an environment may be left behind: unreachable, timed out and failed count alike. */
  readonly mayFail: Amount;
  /** How many servers of an environment have to be left to carry the service. */
  readonly minCapacity: Amount;
  /** What one server may take for one step, beside the waiting that was asked for. */
  readonly serverDeadlineMs: number;
  /** How long no server at all may get anywhere, beside the waiting that was asked for. */
  readonly progressDeadlineMs: number;
}

export interface ApproveSettings {
  /** After this long without an answer, `then` happens. */
  readonly timeoutMs: number;
  readonly onTimeout: 'reject' | 'keep waiting';
  /** How often the load balancer is looked at while waiting. */
  readonly watchEveryMs: number;
}

export interface ProberSettings {
  readonly path: string;
  readonly requestsPerSecond: number;
  readonly timeoutMs: number;
}

export interface BakeSettings {
  readonly durationMs: number;
  /** Share of failed requests, 0 to 1, above which the new environment is ill. */
  readonly maxErrorRate: number;
  /** The 99th percentile may be this many times what it was before the switch... */
  readonly maxLatencyRatio: number;
  /** ...but is never held against the new environment below this. */
  readonly latencyFloorMs: number;
  /** No verdict on fewer requests than these. */
  readonly minRequests: number;
  /** How often servers and load balancer are looked at. */
  readonly watchEveryMs: number;
}

export interface RetireSettings {
  readonly old: 'keep running' | 'stop';
}

export interface InstallSettings {
  /** What has to stay free on a server's disk when a release has been unpacked there. */
  readonly keepFreeBytes: number;
}

/** What happens to connections that still linger when they have been waited for long enough. */
export type DrainEnd = 'cut' | 'refuse' | 'ask';

export interface DrainSettings {
  /** An environment that has lost its traffic is left running at least this long. */
  readonly atLeastMs: number;
  /** Lingering connections are waited for at most this long. */
  readonly atMostMs: number;
  /**
   * `cut`: the program is told to stop, and what lingers is counted. `refuse`: nothing is stopped on the way forward; on the way
   * back it is cut. `ask`: a person decides, both ways.
   */
  readonly lingering: DrainEnd;
}

export const serversOf = (service: Service): readonly Server[] => [
  ...service.environments.blue,
  ...service.environments.green,
];

/** In words, where it is so: servers on which the deploying key is as good as root. */
export function rootByKey(service: Service): string | undefined {
  const names = serversOf(service).flatMap(({ name, connection }) =>
    connection.driver === 'ssh' && connection.privilege === 'sudo' ? [name] : [],
  );
  if (names.length === 0) return undefined;
  const where = names.length === serversOf(service).length ? 'every server' : names.join(', ');
  return `The deploying key is as good as root on ${where} (ssh.privilege: sudo); it is not after verdigris server setup`;
}

/** The machines that the configuration names the product of, each once. */
export function productsOf(service: Service | undefined): readonly OvhProduct[] {
  const named = service ? serversOf(service).flatMap(({ ovh }) => (ovh === undefined ? [] : [ovh])) : [];
  return [...new Map(named.map((product) => [JSON.stringify(product), product])).values()];
}
/** Units of the other environment on the same machine: live while this server is worked on. */
export const neighboursOf = (service: Service, server: Server): readonly string[] =>
  service.environments[otherColor(server.color)]
    .filter((other) => isSameMachine(other.connection, server.connection))
    .map(({ unit }) => unit);

const isSameMachine = (one: ServerConnection, other: ServerConnection): boolean =>
  one.driver === 'ssh' && other.driver === 'ssh' && one.host === other.host && one.port === other.port;

/** Throws a `TypeError` for a name that the service does not have. */
export function serverNamed(service: Service, name: ServerName): Server {
  const server = serversOf(service).find((candidate) => candidate.name === name);
  if (!server) throw new TypeError(`Cannot find server "${name}": ${service.id} has no such server`);
  return server;
}
