import type { Color } from '../../../domain/color.js';
import { SecretName, ServerName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhIplbSettings, Server } from '../../../domain/service.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhApi, type OvhApi, type OvhApiOptions, type OvhClient } from '../../../ovh/api.js';
import { realTime, type Time } from '../../../ovh/time.js';
import type { Place } from '../../../sandbox/settings.js';
import {
  startOvhApi,
  type OvhApi as Emulator,
  type OvhApiBehaviour,
} from '../../../sandbox/ovh-api/ovh-api.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { transportTo } from '../../support/in-process.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { lifeOf, type Life, type LoadBalancerWorld } from './load-balancer.contract.js';

/** An emulated OVHcloud API that load balancers of tests are in, how time passes there, and the clients that call it. */
export interface Emulation {
  readonly emulator: Emulator;
  readonly time: Time;
  readonly isVirtual: boolean;
  /** What the first OVHcloud Load Balancer's refreshes reach. */
  readonly dataPlane: SilentDataPlane;
  /** Of settings; the keys that it names are never looked up. */
  readonly apiSettings: OvhIplbSettings['api'];
  /** A client with the emulator's keys, or others. */
  readonly api: (options?: Partial<OvhApiOptions>) => OvhClient;
  /** The one that drivers share. */
  readonly shared: OvhClient;
  /** It as a worker has it that will be killed. */
  mortal(callsToLive: number | Life): OvhApi;
  /** Calls of such workers so far, and those of them that change something. */
  readonly calls: number;
  readonly writes: number;
  /** Settles when nothing is being published or applied. */
  readonly quiet: () => Promise<void>;
  /** All load balancers as they are now, as text: the same wherever a driver could not tell them apart but by the time. */
  state(): string;
  /** Remembers how all is now, and goes back to it when called. */
  bookmark(): () => Promise<void>;
  close(): Promise<void>;
}

/** A load balancer in an emulation, and the service behind it. */
export interface EmulatedWorld extends LoadBalancerWorld {
  readonly emulation: Emulation;
  /** Whether edits are stored first and published later. */
  readonly stages: boolean;
  driverOver(api: OvhApi): LoadBalancerDriver;
  /** Somebody publishes whatever is stored. */
  refresh(): Promise<void>;
  /** Somebody points a part of our traffic at an environment, and stores that. */
  stray(to: Color): Promise<void>;
  /** Where there are several: nothing can be written to the last one until faults are cleared. */
  refuseLast?(): void;
}

export interface EmulationOptions {
  /** As slow as the real one, without a network, in time that jumps over waiting; with the product's own rate and deadlines. */
  readonly isVirtual?: boolean;
  /** The API is called in this process, past TLS and the network. */
  readonly inProcess?: boolean;
  readonly behaviour?: Partial<OvhApiBehaviour>;
}

const fast: Partial<OvhApiBehaviour> = { todoMs: 2, doingMs: 6, updatingMs: 2, creatingMs: 4 };
const asSlowAsReal: Partial<OvhApiBehaviour> = {
  todoMs: 5_000,
  doingMs: 90_000,
  instanceStaggerMs: 10_000,
  updatingMs: 7_000,
  creatingMs: 120_000,
};
const hasty: Partial<OvhApiOptions> = {
  rate: { perSecond: 10_000, burst: 10_000 },
  readDeadlineMs: 2_000,
  writeDeadlineMs: 500,
};

export async function anEmulation(options: EmulationOptions = {}): Promise<Emulation> {
  const { isVirtual = false, inProcess = isVirtual, behaviour } = options;
  const time: Time = isVirtual ? new VirtualTime() : realTime;
  const dataPlane = inTwoZones(time);
  const emulator = await startOvhApi({
    dataPlane,
    behaviour: { ...(isVirtual ? asSlowAsReal : fast), ...behaviour },
    clock: time.epochMs,
    sleep: time.sleep,
  });
  const clients: OvhClient[] = [];
  const api: Emulation['api'] = (more = {}) => {
    const client = apiOf(emulator, {
      time,
      ...(isVirtual ? {} : hasty),
      ...(inProcess ? { transport: transportTo(emulator) } : {}),
      ...more,
    });
    clients.push(client);
    return client;
  };
  const shared = api();
  const count = { calls: 0, writes: 0 };
  const { admin, faults, publicCloud } = emulator;
  const quiet = async (): Promise<void> => {
    await Promise.all([admin.settled(), publicCloud.settled()]);
  };
  return {
    emulator,
    time,
    isVirtual,
    dataPlane,
    apiSettings: apiSettingsOf(emulator),
    api,
    shared,
    mortal: (callsToLive) => mortal(shared, lifeOf(callsToLive), count),
    get calls() {
      return count.calls;
    },
    get writes() {
      return count.writes;
    },
    quiet,
    state: () => JSON.stringify([admin.state(), publicCloud.state()], withoutTime),
    bookmark() {
      const [iplb, octavia] = [admin.state(), publicCloud.state()];
      return async () => {
        faults.clear();
        await quiet();
        await Promise.all([admin.restore(iplb), publicCloud.restore(octavia)]);
      };
    },
    async close() {
      for (const client of clients) client.close();
      await emulator.close();
    },
  };
}

export const inTwoZones = ({ epochMs }: Time): SilentDataPlane =>
  new SilentDataPlane({ zones: ['gra', 'rbx'], clock: epochMs });

const times: ReadonlySet<string> = new Set(
  'at createdAt doneAt createdAtMs updatedAtMs nextId editCount progress'.split(' '),
);

/** Of tasks only how the last one and those that are open stand. */
function withoutTime(key: string, value: unknown): unknown {
  if (times.has(key)) return undefined;
  if (key !== 'tasks') return value;
  const tasks = value as readonly { readonly status: string }[];
  return tasks
    .filter(({ status }, index) => index === tasks.length - 1 || /todo|doing/.test(status))
    .map(({ status }) => status);
}

/** A client of an emulated API, with its keys unless others are given. */
export const apiOf = (
  { url, caFile, credentials }: Emulator,
  options: Partial<OvhApiOptions> = {},
): OvhClient =>
  createOvhApi({
    endpoint: url,
    caFile,
    keys: {
      applicationKey: new Secret(credentials.applicationKey),
      applicationSecret: new Secret(credentials.applicationSecret),
      consumerKey: new Secret(credentials.consumerKey),
    },
    ...options,
  });

/** How settings name an emulated API. What the names stand for is given to the client beside them. */
export function apiSettingsOf({ url }: Pick<Emulator, 'url'>): OvhIplbSettings['api'] {
  const unused = { secret: SecretName('unused') };
  return { endpoint: url, applicationKey: unused, applicationSecret: unused, consumerKey: unused };
}

/** One of the servers of an environment, whose program nobody asks but load balancers. */
export const aServer = (color: Color, port: number, index = 1, address = '127.0.0.1'): Server => ({
  name: ServerName(`${color}-${index}`),
  color,
  address,
  port,
  unit: 'greeter.service',
  directory: '/srv/greeter',
  probe: { address, port },
  connection: { driver: 'in-memory', world: 'servers' },
});

/** The same as the sandbox's control panel takes it. */
export const placeOf = ({ name, color, address, port, directory }: Server): Place => ({
  name,
  color,
  address,
  port,
  directory,
  hostKey: '',
  ssh: { host: address, port: 22 },
});

export const namesOf = (members: readonly Server[], color: Color): readonly ServerName[] =>
  members.filter((server) => server.color === color).map(({ name }) => name);

/** A client that dies with its worker. */
function mortal(shared: OvhApi, life: Life, count: { calls: number; writes: number }): OvhApi {
  return paced(shared, async (_nth, isWrite) => {
    if (life.left-- <= 0) throw new Error('killed');
    count.calls++;
    if (isWrite) count.writes++;
  });
}

/** Called before each call of a driver, which waits for it. `nth` is 1 with the first. */
export type Turn = (nth: number, isWrite: boolean) => Promise<void>;

/** Lets `turn` wait before every call. */
export function paced(api: OvhApi, turn: Turn): OvhApi {
  let nth = 0;
  const after = async <Answer>(isWrite: boolean, call: () => Promise<Answer>): Promise<Answer> => {
    await turn(++nth, isWrite);
    return call();
  };
  return {
    host: api.host,
    get: (path, options) => after(false, () => api.get(path, options)),
    time: (options) => after(false, () => api.time(options)),
    put: (path, body, options) => after(true, () => api.put(path, body, options)),
    post: (path, body, options) => after(true, () => api.post(path, body, options)),
    delete: (path, options) => after(true, () => api.delete(path, options)),
  };
}
