import type { Color } from '../../domain/color.js';
import { SecretName, ServiceId } from '../../domain/names.js';
import type {
  LoadBalancerSettings,
  OvhApiSettings,
  Server,
  ServerConnection,
  Service,
} from '../../domain/service.js';
import type { Configuration, ServerEntry } from './schema.js';

/** Completes a configuration without complaints. */
export function toService(configuration: Configuration, destination: string): Service {
  const {
    service: name,
    environments,
    publicAddress,
    artifact,
    health,
    verify,
    fleet,
    approve,
  } = configuration;
  const { prober, bake, retire, drain, keepReleases, program } = configuration;
  const unit = program.unit ?? `${name}.service`;
  const serversOf = (color: Color) =>
    environments[color].map((entry) => toServer(entry, color, configuration));
  return {
    id: ServiceId(name, destination),
    name,
    destination,
    program: {
      executable: program.executable ?? `bin/${name}`,
      unitFile: program.unitFile ?? `lib/systemd/system/${unit}`,
      user: program.user ?? name,
    },
    environments: { blue: serversOf('blue'), green: serversOf('green') },
    loadBalancer: toLoadBalancer(configuration.loadBalancer),
    publicAddress: { url: publicAddress.url.replace(/\/$/, ''), identify: publicAddress.identify },
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
    drain: { atMostMs: drain.atMost },
    keepReleases,
  };
}

function toServer(entry: ServerEntry, color: Color, { service, program, ssh }: Configuration): Server {
  const port = required(entry.port ?? program.port, 'port');
  return {
    name: entry.name,
    color,
    address: entry.address,
    port,
    unit: entry.unit ?? program.unit ?? `${service}.service`,
    directory: entry.directory ?? program.directory ?? `/opt/${service}`,
    probe: { address: entry.probe?.address ?? '127.0.0.1', port: entry.probe?.port ?? port },
    connection: toConnection(entry, ssh),
  };
}

const toConnection = (entry: ServerEntry, defaults: Configuration['ssh']): ServerConnection => ({
  driver: 'ssh',
  host: entry.ssh?.host ?? entry.address,
  port: entry.ssh?.port ?? defaults.port ?? 22,
  user: required(entry.ssh?.user ?? defaults.user, 'ssh.user'),
  key: required(entry.ssh?.key ?? defaults.key, 'ssh.key'),
  hostKey: entry.hostKey,
  privilege: entry.ssh?.privilege ?? defaults.privilege ?? 'sudo',
});

const toLoadBalancer = ({
  refreshDeadline,
  api,
  ...settings
}: Configuration['loadBalancer']): LoadBalancerSettings => ({
  ...settings,
  api: toOvhApi(api),
  refreshDeadlineMs: refreshDeadline,
});

/** With a service account there are no keys: the contradictions have refused both together. */
export function toOvhApi({ endpoint, ...api }: Configuration['loadBalancer']['api']): OvhApiSettings {
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
    throw new TypeError(`Cannot complete a server: ${key} is missing, needs a complaint`);
  return value;
}
