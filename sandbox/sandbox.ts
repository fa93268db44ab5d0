import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { colors, otherColor, type Color } from '../domain/color.js';
import { startDataPlane, type EmbeddedDataPlane } from './data-plane/embedded-data-plane.js';
import { newKeyPair } from './machines/host-key.js';
import { startMachine, type Machine } from './machines/machine.js';
import type { JsonObject } from './ovh-api/json.js';
import { startOvhApi, type OvhApi, type OvhApiBehaviour } from './ovh-api/ovh-api.js';
import { freePort } from './free-port.js';

export interface SandboxOptions {
  /** Everything of it is written here. */
  readonly directory: string;
  /** How many servers each environment has. */
  readonly serversPerEnvironment?: number;
  /** How quick and how odd the emulated API is. */
  readonly behaviour?: Partial<OvhApiBehaviour>;
  /** What `verdigris.yaml` shall say beside what the sandbox needs, for example `{ bake: { duration: '5s' } }`. */
  readonly settings?: JsonObject;
  /** The destination's part of the service id. */
  readonly service?: string;
}

/** A machine of the sandbox and the one server on it. */
export interface SandboxServer {
  readonly name: string;
  readonly color: Color;
  readonly machine: Machine;
  /** Port of the program. */
  readonly port: number;
  readonly directory: string;
}

/** A small OVHcloud on this machine: the API, a load balancer that carries traffic, and servers that SSH reaches. */
export interface Sandbox {
  readonly directory: string;
  /** `verdigris.yaml`, as a user would have it. */
  readonly serviceFile: string;
  /** `worker.yaml`, with what the names of secrets resolve to. */
  readonly workerFile: string;
  /** Where the world reaches the service. */
  readonly publicUrl: string;
  readonly api: OvhApi;
  readonly dataPlane: EmbeddedDataPlane;
  readonly servers: readonly SandboxServer[];
  readonly loadBalancer: LoadBalancerIds;
  close(): Promise<void>;
}

export interface LoadBalancerIds {
  readonly frontend: number;
  readonly stagingFrontend: number;
  readonly farms: Readonly<Record<Color, number>>;
}

/** Starts it with blue live and nothing installed anywhere. What was started is ended when something cannot be. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { directory, serversPerEnvironment = 2, service = 'greeter' } = options;
  await mkdir(directory, { recursive: true });
  const dataPlane = startDataPlane();
  const ends: (() => Promise<void>)[] = [() => dataPlane.close()];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const api = await startOvhApi({
      directory: join(directory, 'ovh'),
      dataPlane,
      ...(options.behaviour ? { behaviour: options.behaviour } : {}),
    });
    ends.push(() => api.close());
    const { private: privateKey, public: publicKey } = newKeyPair();
    const servers = await Promise.all(
      colors.flatMap((color) =>
        Array.from({ length: serversPerEnvironment }, (_, index) =>
          startServer(directory, service, color, index + 1, publicKey),
        ),
      ),
    );
    ends.push(async () => void (await Promise.all(servers.map(({ machine }) => machine.close()))));
    const loadBalancer = await provision(api, servers);
    const publicUrl = `http://127.0.0.1:${dataPlane.portOf(loadBalancer.frontend)}`;
    const files = await writeFiles({ options, api, servers, loadBalancer, publicUrl, privateKey, service });
    return { directory, ...files, publicUrl, api, dataPlane, servers, loadBalancer, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Removes what a sandbox wrote. */
export const removeSandbox = (directory: string): Promise<void> =>
  rm(directory, { recursive: true, force: true });

async function startServer(
  directory: string,
  service: string,
  color: Color,
  number: number,
  publicKey: string,
): Promise<SandboxServer> {
  const name = `${color}-${number}`;
  const machine = await startMachine({
    name,
    directory: join(directory, 'machines', name),
    authorizedKeys: [publicKey],
    user: 'deploy',
  });
  await mkdir(join(machine.directory, 'srv'), { recursive: true });
  return { name, color, machine, port: await freePort(), directory: join(machine.directory, 'srv', service) };
}

/** What an administrator does once in the control panel: two farms, a frontend for the world, and one for the idle farm. */
async function provision(api: OvhApi, servers: readonly SandboxServer[]): Promise<LoadBalancerIds> {
  const root = `/ipLoadbalancing/${api.serviceName}`;
  const create = async (path: string, body: JsonObject): Promise<JsonObject> =>
    (await api.admin.editAsSomebodyElse('POST', `${root}${path}`, body)) as JsonObject;
  const farmOf = async (color: Color): Promise<number> => {
    const probe = {
      type: 'http',
      method: 'GET',
      url: '/health',
      match: 'status',
      pattern: '200',
      interval: 30,
    };
    const farm = await create('/http/farm', {
      zone: 'all',
      port: 8080,
      balance: 'roundrobin',
      displayName: color,
      probe,
    });
    for (const server of servers.filter((each) => each.color === color)) {
      await create(`/http/farm/${Number(farm['farmId'])}/server`, {
        address: '127.0.0.1',
        port: server.port,
        status: 'active',
        probe: true,
        displayName: server.name,
      });
    }
    return Number(farm['farmId']);
  };
  const frontendFor = async (color: Color, port: string, displayName: string): Promise<number> => {
    const frontend = await create('/http/frontend', {
      zone: 'all',
      port,
      displayName,
      defaultFarmId: farms[color],
    });
    return Number(frontend['frontendId']);
  };
  const farms = { blue: await farmOf('blue'), green: await farmOf('green') };
  const frontend = await frontendFor('blue', '80', 'production');
  const stagingFrontend = await frontendFor(otherColor('blue'), '8888', 'staging');
  await published(api);
  return { frontend, stagingFrontend, farms };
}

/** Refreshes as the administrator, and waits for its task. */
async function published(api: OvhApi): Promise<void> {
  const task = (await api.admin.refreshAsSomebodyElse()) as JsonObject;
  const path = `/ipLoadbalancing/${api.serviceName}/task/${Number(task['id'])}`;
  for (;;) {
    const { status } = (await api.admin.editAsSomebodyElse('GET', path)) as JsonObject;
    if (status === 'done') return;
    if (status === 'error' || status === 'cancelled')
      throw new Error(`Cannot publish the sandbox's load balancer: its task ended as "${status}"`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

interface Made {
  readonly options: SandboxOptions;
  readonly service: string;
  readonly api: OvhApi;
  readonly servers: readonly SandboxServer[];
  readonly loadBalancer: LoadBalancerIds;
  readonly publicUrl: string;
  readonly privateKey: string;
}

async function writeFiles(
  made: Made,
): Promise<{ readonly serviceFile: string; readonly workerFile: string }> {
  const { directory } = made.options;
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

const serviceSettings = ({ options, service, api, servers, loadBalancer, publicUrl }: Made): JsonObject => ({
  service,
  program: {
    unit: `${service}.service`,
    executable: 'bin/greeter',
    unitFile: 'lib/systemd/system/greeter.service',
  },
  ssh: { user: 'deploy', key: 'secret:ssh', privilege: 'none' },
  environments: { blue: entriesOf(servers, 'blue'), green: entriesOf(servers, 'green') },
  loadBalancer: {
    driver: 'ovh-iplb',
    serviceName: api.serviceName,
    frontends: [loadBalancer.frontend],
    stagingFrontend: loadBalancer.stagingFrontend,
    farms: { ...loadBalancer.farms },
    api: { endpoint: api.url },
  },
  publicAddress: { url: publicUrl, identify: { path: '/version', header: 'x-greeter-version' } },
  ...quick,
  ...options.settings,
});

const entriesOf = (servers: readonly SandboxServer[], color: Color): JsonObject[] =>
  servers
    .filter((server) => server.color === color)
    .map(({ name, port, directory, machine }) => ({
      name,
      address: '127.0.0.1',
      port,
      directory,
      hostKey: machine.hostKeyFingerprint,
      ssh: { host: machine.host, port: machine.sshPort },
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

const workerSettings = ({ options, service, api }: Made, names: readonly string[]): JsonObject => ({
  secrets: Object.fromEntries(
    names.map((name) => [
      name,
      { file: `secrets/${name}`, services: [`${service}@*`], hosts: ['127.0.0.1'] },
    ]),
  ),
  cache: { directory: join(options.directory, 'artifacts') },
  trust: api.caFile,
  ovh: { requestsPerSecond: 500, burst: 500 },
});
