import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Color } from '../domain/color.js';
import type { JsonObject } from './ovh-api/json.js';
import type { OvhApi } from './ovh-api/ovh-api.js';

/** A server as configuration knows it. */
export interface Place {
  readonly name: string;
  readonly color: Color;
  readonly address: string;
  /** Of the program. */
  readonly port: number;
  /** The service's own unless told. */
  readonly unit?: string;
  readonly directory: string;
  readonly hostKey: string;
  readonly ssh: { readonly host: string; readonly port: number };
}

/** What there is, as the files of a user name it. */
export interface Setting {
  readonly directory: string;
  readonly service: string;
  readonly api: OvhApi;
  readonly servers: readonly Place[];
  /** The section `loadBalancer:`, without `api`. */
  readonly loadBalancer: JsonObject;
  readonly publicUrl: string;
  readonly privateKey: string;
  readonly privilege: 'none' | 'sudo';
  /** What `verdigris.yaml` shall say beside what is needed. */
  readonly settings?: JsonObject | undefined;
}

/** Writes `verdigris.yaml` and `worker.yaml` as a user would have them, and the secrets that they name. */
export async function writeFiles(
  made: Setting,
): Promise<{ readonly serviceFile: string; readonly workerFile: string }> {
  const { directory } = made;
  const secrets = {
    ssh: made.privateKey,
    'ovh-application-key': made.api.credentials.applicationKey,
    'ovh-application-secret': made.api.credentials.applicationSecret,
    'ovh-consumer-key': made.api.credentials.consumerKey,
  };
  await mkdir(join(directory, 'secrets'), { recursive: true, mode: 0o700 });
  for (const [name, value] of Object.entries(secrets)) {
    await writeFile(join(directory, 'secrets', name), value, { mode: 0o600 });
  }
  const serviceFile = join(directory, 'verdigris.yaml');
  const workerFile = join(directory, 'worker.yaml');
  await writeFile(serviceFile, stringify(serviceSettings(made)));
  await writeFile(workerFile, stringify(workerSettings(made, Object.keys(secrets))));
  return { serviceFile, workerFile };
}

const serviceSettings = ({
  service,
  api,
  servers,
  loadBalancer,
  publicUrl,
  privilege,
  settings,
}: Setting): JsonObject => ({
  service,
  program: {
    unit: `${service}.service`,
    executable: 'bin/greeter',
    unitFile: 'lib/systemd/system/greeter.service',
  },
  configuration: {
    files: ['etc/greeter.conf'],
    values: { greeting: 'Hello' },
    blue: { values: { greeting: 'Hello from blue' } },
    green: { values: { greeting: 'Hello from green' } },
  },
  ssh: { user: 'deploy', key: 'secret:ssh', privilege },
  environments: { blue: entriesOf(servers, 'blue'), green: entriesOf(servers, 'green') },
  loadBalancer: { ...loadBalancer, api: { endpoint: api.url } },
  publicAddress: { url: publicUrl, identify: { path: '/version', header: 'x-greeter-version' } },
  ...quick,
  ...settings,
});

const entriesOf = (servers: readonly Place[], color: Color): JsonObject[] =>
  servers
    .filter((server) => server.color === color)
    .map(({ name, address, port, unit, directory, hostKey, ssh }) => ({
      name,
      address,
      port,
      ...(unit === undefined ? {} : { unit }),
      directory,
      hostKey,
      ssh: { ...ssh },
    }));

/** Nobody wants to wait in a sandbox: what takes minutes in production takes seconds here. */
const quick: JsonObject = {
  health: { timeout: '1s' },
  verify: { passes: 3, every: '500ms', minimum: '3s', deadline: '30s', loadBalancerDeadline: '30s' },
  approve: { timeout: '30m', watchEvery: '1s' },
  prober: { requestsPerSecond: 40, timeout: '2s' },
  // A busy laptop is slow now and then; the ill variant of greeter is slower than this.
  bake: { duration: '6s', maxErrorRate: '1 %', latencyFloor: '250ms', minRequests: 100, watchEvery: '1s' },
  drain: { atMost: '10s' },
};

const workerSettings = (
  { directory, service, api, servers }: Setting,
  names: readonly string[],
): JsonObject => ({
  secrets: Object.fromEntries(
    names.map((name) => [
      name,
      {
        file: `secrets/${name}`,
        services: [`${service}@*`],
        hosts: [...new Set(['127.0.0.1', ...servers.map(({ ssh }) => ssh.host)])],
      },
    ]),
  ),
  cache: { directory: join(directory, 'artifacts') },
  trust: api.caFile,
  ovh: { requestsPerSecond: 500, burst: 500 },
});
