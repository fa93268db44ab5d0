import type { Color } from '../../domain/color.js';
import { SecretName, ServiceId } from '../../domain/names.js';
import type {
  ConfigurationSettings,
  IplbEntry,
  LoadBalancerSettings,
  PublicAddress,
  OvhApiSettings,
  Server,
  ServerConnection,
  Service,
  SshAddress,
  TestersMark,
} from '../../domain/service.js';
import type { KnownHosts } from './known-hosts.js';
import type { Configuration, LoadBalancerSection, RegionSection, ServerEntry, SshLogin } from './schema.js';

/** Completes a configuration without complaints. */
export function toService(
  configuration: Configuration,
  destination: string,
  knownHosts: KnownHosts | undefined,
): Service {
  const { service: name, environments, artifact, health, verify, fleet, approve } = configuration;
  const { prober, bake, retire, drain, install, keepReleases, program } = configuration;
  const unit = program.unit ?? `${name}.service`;
  const serversOf = (color: Color) =>
    environments[color].map((entry) => toServer(entry, color, configuration, knownHosts));
  return {
    id: ServiceId(name, destination),
    name,
    destination,
    program: {
      executable: program.executable ?? `bin/${name}`,
      unitFile: program.unitFile ?? `lib/systemd/system/${unit}`,
      user: program.user ?? name,
    },
    configuration: toSettings(configuration),
    environments: { blue: serversOf('blue'), green: serversOf('green') },
    ...toEntrance(configuration),
    artifact: { headers: artifact.headers, maxBytes: artifact.maxSize, timeoutMs: artifact.timeout },
    health: { path: health.path, status: health.status, timeoutMs: health.timeout },
    verify: {
      passes: verify.passes,
      everyMs: verify.every,
      minimumMs: verify.minimum,
      deadlineMs: verify.deadline,
      loadBalancerDeadlineMs: verify.loadBalancerDeadline,
    },
    fleet: {
      mayFail: fleet.mayFail,
      minCapacity: fleet.minCapacity,
      serverDeadlineMs: fleet.serverDeadline,
      progressDeadlineMs: fleet.progressDeadline,
    },
    // oxlint-disable-next-line no-thenable -- the domain's word; nobody awaits settings
    approve: { timeoutMs: approve.timeout, onTimeout: approve.onTimeout, watchEveryMs: approve.watchEvery },
    prober: { path: prober.path, requestsPerSecond: prober.requestsPerSecond, timeoutMs: prober.timeout },
    bake: {
      durationMs: bake.duration,
      maxErrorRate: bake.maxErrorRate,
      maxLatencyRatio: bake.maxLatencyRatio,
      latencyFloorMs: bake.latencyFloor,
      minRequests: bake.minRequests,
      watchEveryMs: bake.watchEvery,
    },
    retire,
    machines: configuration.machines,
    drain: { atLeastMs: drain.atLeast, atMostMs: drain.atMost, lingering: drain.then },
    install: { keepFreeBytes: install.keepFree },
    keepReleases,
  };
}

function toSettings({ configuration, environments }: Configuration): ConfigurationSettings {
  const { files, shared, blue, green, fingerprintKey } = configuration;
  const entries = [...environments.blue, ...environments.green];
  const layersOf = <Part extends 'values' | 'limits'>(part: Part) => ({
    all: configuration[part] ?? {},
    blue: blue?.[part] ?? {},
    green: green?.[part] ?? {},
    servers: Object.fromEntries(
      entries.flatMap((entry) => (entry[part] === undefined ? [] : [[entry.name, entry[part]]])),
    ),
  });
  return {
    files,
    shared,
    values: layersOf('values') as ConfigurationSettings['values'],
    limits: layersOf('limits') as ConfigurationSettings['limits'],
    ...(fingerprintKey === undefined ? {} : { fingerprintKey }),
  };
}

function toServer(
  entry: ServerEntry,
  color: Color,
  { service, program, ssh }: Configuration,
  knownHosts: KnownHosts | undefined,
): Server {
  const port = required(entry.port ?? program.port, 'port');
  return {
    name: entry.name,
    color,
    address: entry.address,
    port,
    unit: entry.unit ?? program.unit ?? `${service}.service`,
    directory: entry.directory ?? program.directory ?? `/opt/${service}`,
    probe: { address: entry.probe?.address ?? '127.0.0.1', port: entry.probe?.port ?? port },
    connection: toConnection(entry, ssh, knownHosts),
    ...toProduct(entry),
  };
}

function toConnection(
  entry: ServerEntry,
  defaults: Configuration['ssh'],
  knownHosts: KnownHosts | undefined,
): ServerConnection {
  const own = entry.ssh ?? {};
  const hosts = { host: own.host ?? entry.address, hostKey: entry.hostKey };
  const bastions = own.bastions ?? defaults.bastions ?? [];
  return {
    driver: 'ssh',
    ...toAddress({ ...defaults, ...own, ...keyOf(own, defaults), ...hosts }, knownHosts),
    bastions: bastions.map((bastion) =>
      toAddress({ user: defaults.user, ...bastion, ...keyOf(bastion, defaults) }, knownHosts),
    ),
    limits: {
      connectTimeoutMs: own.connectTimeout ?? defaults.connectTimeout ?? 10_000,
      loginTimeoutMs: own.loginTimeout ?? defaults.loginTimeout ?? 30_000,
      keepAliveMs: own.keepAlive ?? defaults.keepAlive ?? 10_000,
      idleMs: own.idleTimeout ?? defaults.idleTimeout ?? 30_000,
    },
    privilege: own.privilege ?? defaults.privilege ?? 'sudo',
  };
}

/** Passphrase and certificate belong to the key beside them: a key of one's own leaves the default's behind. */
function keyOf(own: SshLogin, defaults: SshLogin): Pick<SshLogin, 'key' | 'passphrase' | 'certificate'> {
  const source = own.key === undefined ? { ...defaults, ...own } : own;
  return { key: source.key, passphrase: source.passphrase, certificate: source.certificate };
}

function toAddress(
  settings: SshLogin & { readonly host: string; readonly hostKey?: string | readonly string[] | undefined },
  knownHosts: KnownHosts | undefined,
): SshAddress {
  const { host, hostKey, passphrase, certificate } = settings;
  const port = settings.port ?? 22;
  const given = typeof hostKey === 'string' ? [hostKey] : hostKey;
  return {
    host,
    port,
    user: required(settings.user, 'ssh.user'),
    key: required(settings.key, 'ssh.key'),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(certificate === undefined ? {} : { certificate }),
    hostKeys: required(given ?? knownHosts?.lookUp(host, port).pinned, 'hostKey'),
  };
}

function toProduct({ ovh }: ServerEntry): Pick<Server, 'ovh'> {
  if (ovh?.instance) return { ovh: { kind: 'instance', ...ovh.instance } };
  if (ovh?.vps !== undefined) return { ovh: { kind: 'vps', name: ovh.vps } };
  return ovh?.dedicatedServer === undefined
    ? {}
    : { ovh: { kind: 'dedicated server', name: ovh.dedicatedServer } };
}

type Entrance = Pick<Service, 'loadBalancer' | 'publicAddress' | 'regions'>;

/** Where the world comes in: by one load balancer, or by one in each region, the first of which stands for all. */
function toEntrance({ loadBalancer, publicAddress, regions, environments }: Configuration): Entrance {
  if (!regions) {
    return {
      loadBalancer: toLoadBalancer(required(loadBalancer, 'loadBalancer')),
      publicAddress: toPublicAddress(required(publicAddress, 'publicAddress')),
    };
  }
  const all = [...environments.blue, ...environments.green].map(({ name }) => name);
  const settled = regions.map((region) => ({
    name: region.name,
    loadBalancer: toLoadBalancer(region.loadBalancer),
    publicAddress: toPublicAddress(region.publicAddress),
    servers: region.servers ?? all,
  }));
  const first = required(settled[0], 'regions');
  return { loadBalancer: first.loadBalancer, publicAddress: first.publicAddress, regions: settled };
}

const toPublicAddress = ({ url, identify }: RegionSection['publicAddress']): PublicAddress => ({
  url: url.replace(/\/$/, ''),
  identify,
});

function toLoadBalancer(given: LoadBalancerSection): LoadBalancerSettings {
  return given.driver === 'ovh-iplb' ? toIplb(given) : toPublicCloud(given);
}

type IplbSection = Extract<LoadBalancerSection, { driver: 'ovh-iplb' }>;
type FurtherSection = IplbSection['also'][number];
type PublicCloudSection = Extract<LoadBalancerSection, { driver: 'ovh-public-cloud' }>;

const toIplb = ({
  refreshDeadline,
  api,
  also,
  fallback,
  testers,
  ...settings
}: IplbSection): LoadBalancerSettings => ({
  driver: settings.driver,
  serviceName: settings.serviceName,
  ...toEntry(settings),
  ...(also.length === 0 ? {} : { also: also.map(toEntry) }),
  ...(fallback === 'none' ? {} : { fallback }),
  ...(testers ? { testers: { route: testers.route, by: toMark(testers) } } : {}),
  api: toOvhApi(api),
  refreshDeadlineMs: refreshDeadline,
});

const toPublicCloud = ({
  updateDeadline,
  statusDelay,
  stagingListener,
  mixed,
  api,
  ...settings
}: PublicCloudSection): LoadBalancerSettings => ({
  ...settings,
  ...(stagingListener === undefined ? {} : { stagingListener }),
  ...(mixed === undefined ? {} : { mixed }),
  api: toOvhApi(api),
  updateDeadlineMs: updateDeadline,
  statusDelayMs: statusDelay,
});

const toEntry = ({
  protocol,
  frontends,
  stagingFrontend,
  farms,
  mixed,
  port,
}: Partial<Pick<FurtherSection, 'port'>> & Omit<FurtherSection, 'port'>): IplbEntry => ({
  protocol,
  frontends,
  stagingFrontend,
  farms,
  ...(mixed ? { mixed } : {}),
  ...(port === undefined ? {} : { ports: typeof port === 'number' ? { blue: port, green: port } : port }),
});

function toMark({ header, cookie, source }: NonNullable<IplbSection['testers']>): TestersMark {
  if (header) return { kind: 'header', ...header };
  if (cookie) return { kind: 'cookie', ...cookie };
  return { kind: 'source', address: required(source, 'loadBalancer.testers.source') };
}

/** With a service account there are no keys: the contradictions have refused both together. */
export function toOvhApi({ endpoint, ...api }: LoadBalancerSection['api']): OvhApiSettings {
  const { clientId, clientSecret, tokenUrl } = api;
  if (clientId !== undefined && clientSecret !== undefined) {
    return { endpoint, clientId, clientSecret, ...(tokenUrl === undefined ? {} : { tokenUrl }) };
  }
  return {
    endpoint,
    applicationKey: api.applicationKey ?? { secret: SecretName('ovh-application-key') },
    applicationSecret: api.applicationSecret ?? { secret: SecretName('ovh-application-secret') },
    consumerKey: api.consumerKey ?? { secret: SecretName('ovh-consumer-key') },
  };
}

/** The contradictions were looked for before: what is missing here is our own mistake. */
function required<Value>(value: Value | undefined, key: string): Value {
  if (value === undefined)
    throw new TypeError(`Cannot complete a service: ${key} is missing, needs a complaint`);
  return value;
}
