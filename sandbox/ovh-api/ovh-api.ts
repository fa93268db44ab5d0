import { randomBytes } from 'node:crypto';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Fastify, { type FastifyInstance } from 'fastify';

import type { DataPlane } from '../data-plane/data-plane.js';
import { Account, type Credentials, type CredentialState } from './account.js';
import { accountResources, iamResources } from './account-resources.js';
import { makeCertificates } from './certificate-authority.js';
import { mountControl } from './control.js';
import { mountCredentialControl } from './credential-control.js';
import { Faults } from './faults.js';
import { Front, type FrontOptions } from './front.js';
import { Iplb, type Owned } from './iplb/iplb.js';
import type { EditingRules } from './iplb/load-balancer.js';
import type { Objects } from './iplb/objects.js';
import type { Ending, RefreshOptions } from './iplb/refresh.js';
import { Journal } from './journal.js';
import type { Json, JsonObject } from './json.js';
import { Machines } from './machines.js';
import type { Method, Product } from './resource.js';
import { SilentDataPlane } from './silent-data-plane.js';
import { waitingBy } from './timeline.js';
import { Validations } from './validation.js';

/** Every habit of the real API that is not certain, and every time that a test would not wait for. */
export type OvhApiBehaviour = EditingRules & RefreshOptions & Omit<FrontOptions, 'clock'>;

export interface OvhApiOptions {
  /** Where `ca.pem` is written. Default: a temporary directory that goes with the sandbox. */
  readonly directory?: string;
  /** Default: any free one. */
  readonly port?: number;
  /** Milliseconds since 1970. Tasks, timestamps and dates go by it. */
  readonly clock?: () => number;
  /** What the first load balancer's refreshes reach. Default: one that carries nothing. */
  readonly dataPlane?: DataPlane;
  /** The name of the first load balancer. */
  readonly serviceName?: string;
  readonly behaviour?: Partial<OvhApiBehaviour>;
}

/** An emulated OVHcloud API on loopback, with one load balancer in it. */
export interface OvhApi {
  /** `https://127.0.0.1:PORT/1.0`. The certificate is good for `localhost` too. */
  readonly url: string;
  readonly port: number;
  readonly caFile: string;
  readonly caPem: string;
  readonly credentials: Credentials;
  /** The first load balancer. */
  readonly serviceName: string;
  readonly admin: Admin;
  /** The customer's machines, of which there are none at first. */
  readonly machines: Machines;
  readonly faults: Faults;
  readonly journal: Journal;
  close(): Promise<void>;
}

/** What only the sandbox itself can do. */
export interface Admin {
  readonly account: Account;
  /** Gives the customer one more load balancer and tells its service name. */
  addLoadBalancer(dataPlane: DataPlane, serviceName?: string): string;
  /** One call past credentials and faults, as from the control panel; rejects where it is refused. */
  editAsSomebodyElse(method: Method, path: string, body?: JsonObject): Promise<Json>;
  /** Orders a refresh as somebody else and tells its task. */
  refreshAsSomebodyElse(serviceName?: string): Promise<Json>;
  /** Makes the next refresh that starts end badly. */
  endNextRefresh(ending: Ending, serviceName?: string): void;
  /** Makes a task vanish, as old ones do. */
  forgetTask(id: number, serviceName?: string): void;
  /** What an instance runs, whatever was edited since; `undefined` before its first refresh. */
  appliedOn(instanceId: number, serviceName?: string): Objects | undefined;
  setCredentialState(consumerKey: string, state: CredentialState): void;
  /** Alters the behaviour from now on; what runs already keeps its own. */
  behave(behaviour: Partial<OvhApiBehaviour>): void;
}

const asTheRealOne: OvhApiBehaviour = {
  clockWindowMs: 30_000,
  errorShape: 'both',
  successStatus: {},
  unknownKeys: 'refuse',
  deleteFarmWithServers: false,
  todoMs: 200,
  doingMs: 800,
  instanceStaggerMs: 0,
  snapshotAt: 'order',
  whileBusy: 'queue',
};

export async function startOvhApi(options: OvhApiOptions = {}): Promise<OvhApi> {
  const { clock = Date.now, dataPlane = new SilentDataPlane({ clock }) } = options;
  const behaviour = { ...asTheRealOne, ...options.behaviour, clock };
  const closing = new AbortController();

  const account = new Account(clock);
  const faults = new Faults();
  const journal = new Journal();
  const iplb = new Iplb(Object.assign(behaviour, { wait: waitingBy(clock, closing.signal) }));
  const machines = new Machines();
  const products: readonly Product[] = [iplb, machines];
  const first = iplb.add(dataPlane, options.serviceName);

  const certificates = await makeCertificates();
  const somebodyElse = { header: 'x-sandbox-somebody-else', token: randomBytes(16).toString('hex') };
  const front = new Front(account, faults, journal, behaviour, somebodyElse);
  const validations = new Validations(account, clock);

  const app = bareServer(certificates);
  mountControl(app, { account, faults, journal });
  mountCredentialControl(app, account);
  validations.mount(app);
  const validationUrlOf = (consumerKey: string, redirection: string | null): string =>
    `https://127.0.0.1:${portOf(app)}${validations.add(consumerKey, redirection)}`;
  const v1 = [
    ...accountResources(account, validationUrlOf),
    ...products.flatMap(({ resources }) => resources),
  ];
  for (const prefix of ['/1.0', '/v1']) front.mount(app, prefix, v1);
  front.mount(app, '/v2', iamResources());
  app.setNotFoundHandler((request, reply) => front.refuse(request, reply));
  await app.listen({ host: '127.0.0.1', port: options.port ?? 0 });

  const files = await writtenIn(options.directory, certificates.caPem);
  const port = portOf(app);
  return {
    url: `https://127.0.0.1:${port}/1.0`,
    port,
    caFile: files.caFile,
    caPem: certificates.caPem,
    credentials: account.credentials,
    serviceName: first.loadBalancer.serviceName,
    admin: adminOf(app, account, iplb, first, behaviour, somebodyElse),
    machines,
    faults,
    journal,
    async close() {
      closing.abort();
      await Promise.all(products.map((product) => product.close()));
      await app.close();
      await files.remove();
    },
  };
}

function bareServer({
  keyPem,
  certificatePem,
}: {
  readonly keyPem: string;
  readonly certificatePem: string;
}) {
  const app = Fastify({
    https: { key: keyPem, cert: certificatePem },
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1000 },
  });
  // Signatures are over bytes: bodies stay bytes, whatever their type is said to be.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  return app as unknown as FastifyInstance;
}

const portOf = (app: FastifyInstance): number => (app.server.address() as AddressInfo).port;

async function writtenIn(directory: string | undefined, caPem: string) {
  const folder = directory ?? (await mkdtemp(join(tmpdir(), 'verdigris-ovh-api-')));
  await mkdir(folder, { recursive: true });
  const caFile = join(folder, 'ca.pem');
  await writeFile(caFile, caPem);
  const remove = async (): Promise<void> => {
    if (directory === undefined) await rm(folder, { recursive: true, force: true });
  };
  return { caFile, remove };
}

function adminOf(
  app: FastifyInstance,
  account: Account,
  iplb: Iplb,
  first: Owned,
  behaviour: OvhApiBehaviour,
  somebodyElse: { readonly header: string; readonly token: string },
): Admin {
  const owned = (serviceName = first.loadBalancer.serviceName): Owned => {
    const found = iplb.owned(serviceName);
    if (found === undefined)
      throw new Error(`Cannot reach load balancer "${serviceName}": the sandbox has none of this name`);
    return found;
  };
  const editAsSomebodyElse: Admin['editAsSomebodyElse'] = async (method, path, body) => {
    const { statusCode, payload } = await app.inject({
      method,
      url: `/1.0${path}`,
      headers: { [somebodyElse.header]: somebodyElse.token, 'content-type': 'application/json' },
      ...(body && { payload: JSON.stringify(body) }),
    });
    if (statusCode >= 300)
      throw new Error(`Cannot ${method} "${path}" as somebody else: ${statusCode} ${payload}`);
    return payload === '' ? null : (JSON.parse(payload) as Json);
  };

  return {
    account,
    addLoadBalancer: (dataPlane, serviceName) => iplb.add(dataPlane, serviceName).loadBalancer.serviceName,
    editAsSomebodyElse,
    refreshAsSomebodyElse: (serviceName) =>
      editAsSomebodyElse('POST', `/ipLoadbalancing/${owned(serviceName).loadBalancer.serviceName}/refresh`),
    endNextRefresh: (ending, serviceName) => owned(serviceName).refreshes.endNext(ending),
    forgetTask: (id, serviceName) => owned(serviceName).refreshes.forget(id),
    appliedOn: (instanceId, serviceName) => owned(serviceName).refreshes.appliedOn(instanceId),
    setCredentialState(consumerKey, state) {
      const credential = account.credential(consumerKey);
      if (credential === undefined)
        throw new Error(`Cannot set a consumer key to "${state}": the sandbox does not know it`);
      credential.state = state;
    },
    behave: (changed) => void Object.assign(behaviour, changed),
  };
}
