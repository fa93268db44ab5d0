import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { colors, type Color } from '../domain/color.js';
import {
  frontendPorts,
  setUpIplb,
  setUpPublicCloud,
  type SetUp,
  type LoadBalancerIds,
} from './control-panel.js';
import { startDataPlane, type EmbeddedDataPlane } from './data-plane/embedded-data-plane.js';
import { readKept, stillFree, writeKept, type Kept } from './kept.js';
import { newKeyPair, type KeyPair } from './machines/host-key.js';
import { startMachine, type Machine } from './machines/machine.js';
import type { JsonObject } from './ovh-api/json.js';
import { startOvhApi, type OvhApi, type OvhApiBehaviour } from './ovh-api/ovh-api.js';
import { freePort } from './free-port.js';
import { writeFiles, type Place } from './settings.js';

export interface SandboxOptions {
  /** Everything of it is written here. */
  readonly directory: string;
  /** Which load balancer carries the traffic. Default: an OVHcloud Load Balancer. */
  readonly product?: 'ovh-iplb' | 'ovh-public-cloud';
  /** Of an OVHcloud Load Balancer: how many processes it has. Visitors meet one after the other. */
  readonly instances?: number;
  /** Of an OVHcloud Load Balancer: whether the old servers stand by while the new ones are watched. */
  readonly fallback?: boolean;
  /** How many servers each environment has. */
  readonly serversPerEnvironment?: number;
  /** How quick and how odd the emulated API is. */
  readonly behaviour?: Partial<OvhApiBehaviour>;
  /** What `verdigris.yaml` shall say beside what the sandbox needs, for example `{ bake: { duration: '5s' } }`. */
  readonly settings?: JsonObject;
  /** The destination's part of the service id. */
  readonly service?: string;
  /** Keeps its state in its directory, and goes on from what it finds there. */
  readonly keep?: boolean;
  /** Another service on this load balancer and its API, with these ports of its own. They are closed with the first one. */
  readonly beside?: {
    readonly sandbox: Pick<Sandbox, 'api' | 'dataPlane'>;
    readonly ports: { readonly production: number; readonly staging: number };
  };
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
  /** Of a Public Cloud one, the data plane's numbers. */
  readonly loadBalancer: LoadBalancerIds;
  /** Whether it went on from what an earlier one had kept. */
  readonly isResumed: boolean;
  close(): Promise<void>;
}

/** Starts it with blue live and nothing installed anywhere, or as it was kept. What was started is ended when something cannot be. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { directory, serversPerEnvironment = 2, service = 'greeter', beside } = options;
  const isPublicCloud = options.product === 'ovh-public-cloud';
  await mkdir(directory, { recursive: true });
  const ends: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const kept = options.keep ? await readKept(directory) : undefined;
    const { api, dataPlane } = beside?.sandbox ?? (await startLoadBalancer(options, kept, ends));
    const keys = kept?.keys ?? newKeyPair();
    const servers = await Promise.all(
      colors.flatMap((color) =>
        Array.from({ length: serversPerEnvironment }, (_, index) =>
          startServer(directory, service, { color, number: index + 1 }, keys.public, kept),
        ),
      ),
    );
    ends.push(async () => void (await Promise.all(servers.map(({ machine }) => machine.close()))));
    const places = servers.map(placeOf);
    const setUp =
      kept?.setUp ??
      (isPublicCloud
        ? await setUpPublicCloud(api, dataPlane, places)
        : await setUpIplb(api, places, {
            ...(beside ? { ports: beside.ports } : {}),
            ...(options.fallback ? { fallback: true } : {}),
          }));
    const { ids: loadBalancer, section } = setUp;
    if (options.keep) await writeKept(directory, keeping(setUp, keys, servers, dataPlane));
    const publicUrl = `http://127.0.0.1:${dataPlane.portOf(loadBalancer.frontend)}`;
    const files = await writeFiles({
      directory,
      service,
      api,
      servers: places,
      loadBalancer: section,
      publicUrl,
      privateKey: keys.private,
      privilege: 'none',
      settings: options.settings,
    });
    const isResumed = kept !== undefined;
    return { directory, ...files, publicUrl, api, dataPlane, servers, loadBalancer, isResumed, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startLoadBalancer(
  { directory, behaviour, product, keep, instances = 1 }: SandboxOptions,
  kept: Kept | undefined,
  ends: (() => Promise<void>)[],
): Promise<Pick<Sandbox, 'api' | 'dataPlane'>> {
  const listening = await stillFree(kept?.listening ?? {});
  const dataPlane = startDataPlane({
    instancesPerZone: instances,
    listenOn: (port) => listening[port] ?? 0,
  });
  ends.push(() => dataPlane.close());
  const api = await startOvhApi({
    directory: join(directory, 'ovh'),
    ...(product === 'ovh-public-cloud' ? {} : { dataPlane }),
    ...(keep ? { stateFile: join(directory, 'ovh', 'state.json') } : {}),
    ...(behaviour ? { behaviour } : {}),
  });
  ends.push(() => api.close());
  return { api, dataPlane };
}

/** Removes what a sandbox wrote. */
export const removeSandbox = (directory: string): Promise<void> =>
  rm(directory, { recursive: true, force: true });

async function startServer(
  directory: string,
  service: string,
  { color, number }: { readonly color: Color; readonly number: number },
  publicKey: string,
  kept: Kept | undefined,
): Promise<SandboxServer> {
  const name = `${color}-${number}`;
  const ports = kept?.ports[name];
  const { ssh } = await stillFree({ ssh: ports?.ssh ?? 0 });
  const machine = await startMachine({
    name,
    directory: join(directory, 'machines', name),
    authorizedKeys: [publicKey],
    user: 'deploy',
    ...(ssh ? { port: ssh } : {}),
  });
  await mkdir(join(machine.directory, 'srv'), { recursive: true });
  const port = ports?.program ?? (await freePort());
  return { name, color, machine, port, directory: join(machine.directory, 'srv', service) };
}

const keeping = (
  setUp: SetUp,
  keys: KeyPair,
  servers: readonly SandboxServer[],
  dataPlane: EmbeddedDataPlane,
): Kept => ({
  setUp,
  keys,
  ports: Object.fromEntries(
    servers.map(({ name, port, machine }) => [name, { program: port, ssh: machine.sshPort }]),
  ),
  listening: {
    [frontendPorts.production]: dataPlane.portOf(setUp.ids.frontend),
    [frontendPorts.staging]: dataPlane.portOf(setUp.ids.stagingFrontend),
  },
});

const placeOf = ({ name, color, machine, port, directory }: SandboxServer): Place => ({
  name,
  color,
  address: '127.0.0.1',
  port,
  directory,
  hostKey: machine.hostKeyFingerprint,
  ssh: { host: machine.host, port: machine.sshPort },
});
