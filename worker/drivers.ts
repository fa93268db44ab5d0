import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Service } from '../domain/service.js';
import { serverNamed, serversOf } from '../domain/service.js';
import { createArtifactCache } from '../drivers/artifacts/cache.js';
import { createFileArtifacts } from '../drivers/artifacts/file.js';
import { createHttpsArtifacts } from '../drivers/artifacts/https.js';
import type { Drivers } from '../drivers/drivers.js';
import type { LoadBalancerDriver } from '../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../drivers/load-balancers/ovh-iplb.js';
import type { Secrets } from '../drivers/secrets.js';
import { SshConnections } from '../drivers/servers/ssh-connection.js';
import { createSshServer } from '../drivers/servers/ssh.js';
import { createHttpProber } from '../drivers/traffic/http.js';
import { createOvhApi, type OvhClient } from '../ovh/api.js';
import { ovhEndpoint } from '../ovh/endpoint.js';
import type { WorkerConfiguration } from './configuration.js';

/** Configuration in, drivers out: the only place that has met every technology. */
export class WorkerDrivers implements Drivers {
  readonly artifacts;
  readonly prober;
  readonly #configuration: WorkerConfiguration;
  readonly #secrets: Secrets;
  readonly #ssh = new SshConnections();
  /** One client per service and credential: it keeps the API's clock. */
  readonly #apis = new Map<string, Promise<OvhClient>>();

  constructor(configuration: WorkerConfiguration, secrets: Secrets) {
    const ca = configuration.trust === undefined ? undefined : readFileSync(configuration.trust, 'utf8');
    const trust = ca === undefined ? {} : { ca };
    this.#configuration = configuration;
    this.#secrets = secrets;
    this.prober = createHttpProber(trust);
    this.artifacts = createArtifactCache({
      directory: join(configuration.cache.directory),
      maxBytes: configuration.cache.maxBytes,
      drivers: [createHttpsArtifacts({ secrets, ...trust }), createFileArtifacts()],
    });
  }
}
