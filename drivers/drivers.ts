import type { ServerName } from '../domain/names.js';
import type { Service } from '../domain/service.js';
import type { ArtifactStore } from './artifacts/store.js';
import type { LoadBalancerDriver } from './load-balancers/driver.js';
import type { ServerDriver } from './servers/driver.js';
import type { TrafficProber } from './traffic/driver.js';

/** Everything that activities reach the world with. */
export interface Drivers {
  /** Resolves the secrets it needs, hence the promise. */
  loadBalancer(service: Service): Promise<LoadBalancerDriver>;
  server(service: Service, server: ServerName): ServerDriver;
  readonly artifacts: ArtifactStore;
  readonly prober: TrafficProber;
}
