import type { HandSwitch } from '../domain/hand-switch.js';
import type { ServerName } from '../domain/names.js';
import type { SecretReference } from '../domain/secret.js';
import type { Server, Service } from '../domain/service.js';
import type { ArtifactStore } from './artifacts/store.js';
import type { LoadBalancerDriver } from './load-balancers/driver.js';
import type { ConfigurationSecret } from './servers/configuration-secret.js';
import type { MachineDriver } from './machines/driver.js';
import type { ServerDriver } from './servers/driver.js';
import type { TrafficProber } from './traffic/driver.js';

/** Everything that activities reach the world with. */
export interface Drivers {
  /** Resolves the secrets it needs, hence the promise. */
  loadBalancer(service: Service): Promise<LoadBalancerDriver>;
  /** The provider's view of machines, through the API that the load balancer is reached by. */
  machines(service: Service): Promise<MachineDriver>;
  server(service: Service, server: ServerName): ServerDriver;
  /** A secret that a service's configuration names, for one of its servers. */
  configurationSecret(
    service: Service,
    server: Server,
    reference: SecretReference,
  ): Promise<ConfigurationSecret>;
  /** The newest switch that a person made without Temporal, where this machine has it on record. */
  handSwitch(service: Service): Promise<HandSwitch | undefined>;
  readonly artifacts: ArtifactStore;
  readonly prober: TrafficProber;
}
