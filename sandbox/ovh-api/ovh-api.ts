import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Fastify, { type FastifyInstance } from 'fastify';

import type { DataPlane, DataPlaneBehaviour, Instance } from '../data-plane/data-plane.js';
import { Account, type Credentials, type CredentialState } from './account.js';
import { accountResources, iamResources } from './account-resources.js';
import { asTheRealOne, type OvhApiBehaviour } from './behaviour.js';
import { makeCertificates } from './certificate-authority.js';
import { mountControl } from './control.js';
import { mountCredentialControl } from './credential-control.js';
import { Faults } from './faults.js';
import { Front, type Incoming, type Reaction, type SomebodyElse } from './front.js';
import { Iplb, type Owned } from './iplb/iplb.js';
import type { Objects } from './iplb/objects.js';
import type { Ending, Wait } from './iplb/refresh.js';
import { Journal } from './journal.js';
import type { Json, JsonObject } from './json.js';
import { Machines } from './machines.js';
import { PublicCloud } from './public-cloud/public-cloud.js';
import type { Method, Product } from './resource.js';
import { SilentDataPlane } from './silent-data-plane.js';
import { restore, stateFrom, stateOf } from './state.js';
import { StateFile } from './state-file.js';
import { sleepingBy, type Sleep } from './timeline.js';
import { Validations } from './validation.js';

export type { OvhApiBehaviour } from './behaviour.js';

export interface OvhApiOptions {
  /** Where `ca.pem` is written. Default: a temporary directory that goes with the sandbox. */
  readonly directory?: string;
  /** Default: any free one. */
  readonly port?: number;
  /** Milliseconds since 1970. Tasks, timestamps and dates go by it. */
  readonly clock?: () => number;
  /** How it waits. Default: until the clock says so. */
  readonly sleep?: Sleep;
  /** What the first load balancer's refreshes reach. Default: one that carries nothing. */
  readonly dataPlane?: DataPlane;
  /** The name of the first load balancer. */
  readonly serviceName?: string;
  readonly behaviour?: Partial<OvhApiBehaviour>;
  /** Where what must survive a restart is kept. What is there already is gone on from, on the same port where it is free. */
  readonly stateFile?: string;
  /** Listens without TLS too. */
  readonly plain?: boolean;
}

/** An emulated OVHcloud API on loopback, with one load balancer in it. */
export interface OvhApi {
  /** `https://127.0.0.1:PORT/1.0`. The certificate is good for `localhost` too. */
  readonly url: string;
  readonly port: number;
  /** The same without TLS, where that was asked for. */
  readonly plainUrl: string | undefined;
  readonly caFile: string;
  readonly caPem: string;
  readonly credentials: Credentials;
  /** The first load balancer. */
  readonly serviceName: string;
  readonly admin: Admin;
  /** The customer's machines, of which there are none at first. */
  readonly machines: Machines;
  /** The customer's Public Cloud Load Balancers, of which there are none at first. */
  readonly publicCloud: PublicCloud;
  readonly faults: Faults;
  readonly journal: Journal;
  /** One call without a network, from a caller in this process. */
  react(incoming: Incoming): Promise<Reaction>;
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
  /** Settles when no refresh of any load balancer is carried out any more. */
  settled(): Promise<void>;
  /** Makes the next refresh that starts end badly. */
  endNextRefresh(ending: Ending, serviceName?: string): void;
  /** Makes a task vanish, as old ones do. */
  forgetTask(id: number, serviceName?: string): void;
  /** What an instance runs, whatever was edited since; `undefined` before its first refresh. */
  appliedOn(instanceId: number, serviceName?: string): Objects | undefined;
  setCredentialState(consumerKey: string, state: CredentialState): void;
  /** Alters the behaviour from now on; what runs already keeps its own. */
  behave(behaviour: Partial<OvhApiBehaviour>): void;
  instances(serviceName?: string): readonly Instance[];
  /** Alters how what carries a load balancer's traffic behaves, from its next change on. */
  behaveDataPlane(change: Partial<DataPlaneBehaviour>, serviceName?: string): void;
  /** All load balancers as they are now, to go back to with `restore`. */
  state(): unknown;
  restore(state: unknown): Promise<void>;
}

export async function startOvhApi(options: OvhApiOptions = {}): Promise<OvhApi> {
  const { clock = Date.now, dataPlane = new SilentDataPlane({ clock }), stateFile } = options;
  const { sleep = sleepingBy(clock) } = options;
  const before = stateFile === undefined ? undefined : stateFrom(await StateFile.read(stateFile), stateFile);
  const closing = new AbortController();
  const wait: Wait = (ms) => sleep(ms, closing.signal);
  let kept = (): Promise<void> => Promise.resolve();
  const changed = (): void => void kept().catch((error: unknown) => process.emitWarning(String(error)));
  const behaviour: OvhApiBehaviour = { ...asTheRealOne, ...options.behaviour };
  const world = Object.assign(behaviour, { clock, wait, changed, kept: () => kept() });

  const account = new Account(clock);
  const faults = new Faults();
  const journal = new Journal();
  const iplb = new Iplb(world);
  const machines = new Machines();
  const publicCloud = new PublicCloud(world);
  const products: Readonly<Record<string, Product>> = { iplb, machines, publicCloud };
  const first = iplb.add(dataPlane, before?.serviceName ?? options.serviceName);
  const validations = new Validations(account, clock, world.kept);
  const parts = { account, behaviour, faults, validations, products };
  if (before) await restore(parts, before);

  const certificates = before?.certificates ?? (await makeCertificates());
  const app = bareServer(certificates);
  const somebodyElse = somebodyElseOn((incoming) => front.react(incoming));
  const admin = adminOf(somebodyElse, account, iplb, first, behaviour, changed);
  const front = new Front(account, faults, journal, world, somebodyElse);
  mountControl(app, { account, faults, journal, admin, behaviour, kept: world.kept });
  mountCredentialControl(app, account, world.kept);
  validations.mount(app);
  const validationUrlOf = (consumerKey: string, redirection: string | null): string =>
    `https://127.0.0.1:${portOf(app)}${validations.add(consumerKey, redirection)}`;
  const v1 = [
    ...accountResources(account, validationUrlOf),
    ...Object.values(products).flatMap(({ resources }) => resources),
  ];
  for (const prefix of ['/1.0', '/v1']) front.mount(prefix, v1);
  front.mount('/v2', [...iamResources(), ...publicCloud.declarativeResources()]);
  front.listen(app);
  await app.listen({ host: '127.0.0.1', port: options.port ?? before?.port ?? 0 });

  const files = await writtenIn(options.directory, certificates.caPem);
  const port = portOf(app);
  const { serviceName } = first.loadBalancer;
  const plain = options.plain === true ? await listeningWithoutTls(app) : undefined;
  if (stateFile !== undefined) {
    const file = new StateFile(stateFile, () => stateOf(parts, { port, serviceName, certificates }));
    kept = () => file.changed();
    await kept();
  }
  return {
    url: `https://127.0.0.1:${port}/1.0`,
    port,
    plainUrl: plain && `http://127.0.0.1:${(plain.address() as AddressInfo).port}/1.0`,
    caFile: files.caFile,
    caPem: certificates.caPem,
    credentials: account.credentials,
    serviceName,
    admin,
    machines,
    publicCloud,
    faults,
    journal,
    react: (incoming) => front.react(incoming),
    async close() {
      closing.abort();
      await Promise.all(Object.values(products).map((product) => product.close()));
      await kept();
      plain?.closeAllConnections();
      await Promise.all([app.close(), plain && new Promise((resolve) => plain.close(resolve))]);
      await files.remove();
    },
  };
}

/** The same API for clients that cannot be told to trust a certificate. */
async function listeningWithoutTls(app: FastifyInstance): Promise<HttpServer> {
  const plain = createServer((request, response) => app.routing(request, response));
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  return plain;
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

/** Calls in the part of another customer's employee: past credentials and faults. */
function somebodyElseOn(react: OvhApi['react']): SomebodyElse {
  const header = 'x-sandbox-somebody-else';
  const token = randomBytes(16).toString('hex');
  const call: SomebodyElse['call'] = async ({ method, path, body }) => {
    const reaction = await react({
      method,
      scheme: 'https',
      target: `/1.0${path}`,
      headers: { [header]: token },
      body: Buffer.from(body ? JSON.stringify(body) : ''),
    });
    if (reaction.kind !== 'answer') throw new Error(`Cannot ${method} "${path}" as somebody else`);
    const { status, body: said } = reaction.answer;
    if (status >= 300) throw new Error(`Cannot ${method} "${path}" as somebody else: ${status} ${said}`);
    return said === '' ? null : (JSON.parse(said) as Json);
  };
  return { header, token, call };
}

function adminOf(
  somebodyElse: SomebodyElse,
  account: Account,
  iplb: Iplb,
  first: Owned,
  behaviour: OvhApiBehaviour,
  changed: () => void,
): Admin {
  const owned = (serviceName = first.loadBalancer.serviceName): Owned => {
    const found = iplb.owned(serviceName);
    if (found === undefined)
      throw new Error(`Cannot reach load balancer "${serviceName}": the sandbox has none of this name`);
    return found;
  };
  const editAsSomebodyElse: Admin['editAsSomebodyElse'] = (method, path, body) =>
    somebodyElse.call({ method, path, body });

  return {
    account,
    addLoadBalancer: (dataPlane, serviceName) => {
      const { loadBalancer } = iplb.add(dataPlane, serviceName);
      changed();
      return loadBalancer.serviceName;
    },
    editAsSomebodyElse,
    refreshAsSomebodyElse: (serviceName) =>
      editAsSomebodyElse('POST', `/ipLoadbalancing/${owned(serviceName).loadBalancer.serviceName}/refresh`),
    settled: () => iplb.settled(),
    endNextRefresh: (ending, serviceName) => owned(serviceName).refreshes.endNext(ending),
    forgetTask: (id, serviceName) => owned(serviceName).refreshes.forget(id),
    appliedOn: (instanceId, serviceName) => owned(serviceName).refreshes.appliedOn(instanceId),
    behaveDataPlane(change, serviceName) {
      const { dataPlane } = owned(serviceName).loadBalancer;
      if (!dataPlane.behave)
        throw new Error('Cannot change how this data plane behaves: it always behaves alike');
      dataPlane.behave(change);
    },
    instances: (serviceName) => owned(serviceName).loadBalancer.dataPlane.instances,
    setCredentialState(consumerKey, state) {
      const credential = account.credential(consumerKey);
      if (credential === undefined)
        throw new Error(`Cannot set a consumer key to "${state}": the sandbox does not know it`);
      credential.state = state;
    },
    behave: (change) => void Object.assign(behaviour, change),
    state: () => iplb.state(),
    restore: (state) => iplb.restore(state),
  };
}
