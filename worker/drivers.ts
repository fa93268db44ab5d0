import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { Logger } from 'pino';
import type { HandSwitch } from '../domain/hand-switch.js';
import type { ServerName } from '../domain/names.js';
import type { SecretReference } from '../domain/secret.js';
import {
  serverNamed,
  serversOf,
  type LoadBalancerSettings,
  type OvhApiSettings,
  type Server,
  type Service,
} from '../domain/service.js';
import { createArtifactCache } from '../drivers/artifacts/cache.js';
import { createFileArtifacts } from '../drivers/artifacts/file.js';
import { createHttpsArtifacts } from '../drivers/artifacts/https.js';
import type { ArtifactStore } from '../drivers/artifacts/store.js';
import type { Drivers } from '../drivers/drivers.js';
import { HandSwitches, inShort } from '../drivers/hand-switches.js';
import type { LoadBalancerDriver } from '../drivers/load-balancers/driver.js';
import { knowingRights } from '../drivers/load-balancers/knowing-rights.js';
import { createOvhIplb } from '../drivers/load-balancers/ovh-iplb.js';
import { createOvhPublicCloud } from '../drivers/load-balancers/ovh-public-cloud.js';
import { severalLoadBalancers } from '../drivers/load-balancers/several.js';
import type { Agents } from '../drivers/agents.js';
import type { MachineDriver } from '../drivers/machines/driver.js';
import { createOvhMachines } from '../drivers/machines/ovh.js';
import type { Secrets } from '../drivers/secrets.js';
import { configurationSecret, type ConfigurationSecret } from '../drivers/servers/configuration-secret.js';
import type { ServerDriver } from '../drivers/servers/driver.js';
import { SshConnections } from '../drivers/servers/ssh-connection.js';
import { createSshServer } from '../drivers/servers/ssh.js';
import type { TrafficProber } from '../drivers/traffic/driver.js';
import { createHttpProber } from '../drivers/traffic/http.js';
import { createOvhApi, type OvhCall, type OvhClient } from '../ovh/api.js';
import type { WorkerConfiguration } from './configuration.js';
import { ovhKeys } from './ovh-keys.js';

/** Configuration in, drivers out: the only place that has met every technology. */
export class WorkerDrivers implements Drivers {
  readonly artifacts: ArtifactStore;
  readonly prober: TrafficProber;
  readonly #configuration: WorkerConfiguration;
  readonly #secrets: Secrets;
  readonly #log: Logger;
  /** Told of every call of the OVHcloud API, beside the log. */
  readonly #onCall: (call: OvhCall) => void;
  readonly #agents: Agents;
  readonly #ssh: SshConnections;
  /** One client per service and credential: it keeps the API's clock. */
  readonly #apis = new Map<string, Promise<OvhClient>>();

  constructor(
    configuration: WorkerConfiguration,
    secrets: Secrets,
    agents: Agents,
    log: Logger,
    onCall: (call: OvhCall) => void = () => undefined,
  ) {
    this.#onCall = onCall;
    this.#configuration = configuration;
    this.#secrets = secrets;
    this.#agents = agents;
    this.#ssh = new SshConnections({ handshakes: configuration.ssh.handshakes });
    this.#log = log;
    const trust = trustedBy(configuration);
    this.prober = createHttpProber(trust);
    this.artifacts = createArtifactCache({
      directory: configuration.cache.directory,
      maxBytes: configuration.cache.maxBytes,
      drivers: [createHttpsArtifacts({ secrets, ...trust }), createFileArtifacts()],
    });
  }

  async loadBalancer(service: Service): Promise<LoadBalancerDriver> {
    const servers = serversOf(service);
    if (!service.regions) return this.#loadBalancer(service, service.loadBalancer, servers);
    const named = service.regions.map(async (region) => ({
      name: region.name,
      driver: await this.#loadBalancer(
        service,
        region.loadBalancer,
        servers.filter(({ name }) => region.servers.includes(name)),
      ),
    }));
    return severalLoadBalancers(await Promise.all(named));
  }

  async #loadBalancer(
    service: Service,
    settings: LoadBalancerSettings,
    servers: readonly Server[],
  ): Promise<LoadBalancerDriver> {
    if (settings.driver === 'in-memory') throw notHere(settings.driver);
    const api = await this.#api(service, settings.api);
    const driver =
      settings.driver === 'ovh-iplb'
        ? createOvhIplb({ api, settings, servers })
        : createOvhPublicCloud({ api, settings, servers });
    return knowingRights(driver, api, settings);
  }

  server(service: Service, name: ServerName): ServerDriver {
    const server = serverNamed(service, name);
    if (server.connection.driver !== 'ssh') throw notHere(server.connection.driver);
    return createSshServer({
      server,
      service,
      secrets: this.#secrets,
      agents: this.#agents,
      pool: this.#ssh,
    });
  }

  configurationSecret(
    service: Service,
    server: Server,
    reference: SecretReference,
  ): Promise<ConfigurationSecret> {
    return configurationSecret(this.#secrets, service, server, reference);
  }

  async machines(service: Service): Promise<MachineDriver> {
    const settings = service.loadBalancer;
    if (!('api' in settings)) throw notHere(settings.driver);
    return createOvhMachines(await this.#api(service, settings.api));
  }

  async handSwitch(service: Service): Promise<HandSwitch | undefined> {
    const record = await new HandSwitches().last(service.id);
    return record && inShort(record);
  }

  /** Ends every connection. */
  close(): void {
    this.#ssh.close();
    for (const api of this.#apis.values()) api.then((client) => client.close()).catch(this.#forget);
  }

  #api(service: Service, settings: OvhApiSettings): Promise<OvhClient> {
    const key = JSON.stringify([service.id, settings]);
    const known = this.#apis.get(key);
    if (known) return known;
    const made = this.#makeApi(service, settings);
    this.#apis.set(key, made);
    // A secret that could not be resolved may be there next time.
    made.catch(() => this.#apis.delete(key));
    return made;
  }

  async #makeApi(service: Service, settings: OvhApiSettings): Promise<OvhClient> {
    const { ovh, trust } = this.#configuration;
    return createOvhApi({
      endpoint: settings.endpoint,
      ...('tokenUrl' in settings ? { tokenUrl: settings.tokenUrl } : {}),
      keys: await ovhKeys(settings, service.id, this.#secrets),
      renewKeys: () => ovhKeys(settings, service.id, this.#secrets),
      rate: { perSecond: ovh.requestsPerSecond, burst: ovh.burst },
      onCall: (call) => {
        this.#logCall(service, call);
        this.#onCall(call);
      },
      ...(trust === undefined ? {} : { caFile: trust }),
    });
  }

  /** Support asks for the query id of a call: every one is logged. */
  #logCall(service: Service, { tookMs, error, ...call }: OvhCall): void {
    const facts = { service: service.id, ...call, tookMs: Math.round(tookMs) };
    if (error) this.#log.warn({ ...facts, error: error.message }, 'OVHcloud API call failed');
    else this.#log[call.method === 'GET' ? 'debug' : 'info'](facts, 'OVHcloud API call');
  }

  readonly #forget = (error: unknown): void => {
    this.#log.debug({ error: String(error) }, 'an API client was never made');
  };
}

/** The public certificates and the ones that the configuration adds. */
function trustedBy({ trust }: WorkerConfiguration): { readonly ca?: string } {
  return trust === undefined ? {} : { ca: [...rootCertificates, readFileSync(trust, 'utf8')].join('\n') };
}

const notHere = (driver: string): TypeError =>
  new TypeError(`Cannot use the driver "${driver}" in a worker: it exists in tests only`);
