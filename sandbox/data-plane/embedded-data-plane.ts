import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';

import type { Configuration, Protocol } from './configuration.js';
import {
  instancesIn,
  type DataPlane,
  type DataPlaneBehaviour,
  type Habit,
  type Instance,
  type ServerState,
  type WhenReloaded,
} from './data-plane.js';
import { Generation } from './generation.js';
import { exchange, type ExchangeOptions } from './http-exchange.js';
import { connectThrough } from './tcp-session.js';

export interface DataPlaneOptions {
  /** Default: one zone, `gra`. */
  readonly zones?: readonly string[];
  /** Default 1. Instances of all zones share the listening ports; each new connection meets the next one. */
  readonly instancesPerZone?: number;
  /** How many times faster than configured servers are probed: 60 (the default) makes 30 s half a second. */
  readonly probeSpeed?: number;
  /** What a change does to connections made before it. See `WhenReloaded`. */
  readonly whenReloaded?: WhenReloaded;
  /** Whether servers are probed that no frontend reaches; they are not where left out. */
  readonly probeUnreferenced?: boolean;
  /** Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Before a server that refused is asked again, where there is no other. HAProxy's and the default: 1 s. */
  readonly retryDelayMs?: number;
  /** The local port for a frontend that the API has on `port`. Default: any free one. */
  readonly listenOn?: (port: number) => number;
  /** Milliseconds since 1970, for `checkTime`. */
  readonly clock?: () => number;
  /** Does something later, unless it is called off. Default: by real time. */
  readonly after?: (ms: number, work: () => void) => CallOff;
}

type CallOff = () => void;

export type { WhenReloaded } from './data-plane.js';

/** What runs on a server now, over all instances and also from configurations that were replaced. */
export interface Load {
  readonly open: number;
  readonly idle: number;
}

export interface EmbeddedDataPlane extends DataPlane {
  /** The local port on which a frontend listens; throws where no instance runs it. */
  portOf(frontendId: number): number;
  /** Requests and TCP connections open on the server at `port`, and idle connections kept to it. */
  loadOn(port: number): Load;
  /** Stops listening, cuts everything and stops the probes. */
  close(): Promise<void>;
}

/** A load balancer inside this process, on loopback. Carries HTTP/1.1 and TCP; HTTP frontends speak no TLS. */
export function startDataPlane(options: DataPlaneOptions = {}): EmbeddedDataPlane {
  const { zones = ['gra'], instancesPerZone = 1 } = options;
  return new NodeDataPlane(instancesIn(zones, instancesPerZone), {
    probeSpeed: 60,
    whenReloaded: 'keep',
    probeUnreferenced: false,
    habits: {},
    connectTimeoutMs: 5000,
    retryDelayMs: 1000,
    listenOn: () => 0,
    clock: Date.now,
    after: (ms, work) => {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    ...options,
  });
}

interface Settled extends Required<Omit<DataPlaneOptions, 'zones' | 'instancesPerZone'>> {
  readonly habits: Readonly<Record<number, Habit>>;
}

class NodeDataPlane implements EmbeddedDataPlane {
  readonly instances: readonly Instance[];
  readonly #options: Settled;
  readonly #running: readonly RunningInstance[];
  readonly #listeners = new Map<number, Listener>();
  /** Changes come one at a time, so that two instances never open the same listener. */
  #changes: Promise<void> = Promise.resolve();
  /** What instances will do by themselves. */
  readonly #ahead = new Map<RunningInstance, CallOff>();
  #turn = 0;

  constructor(instances: readonly Instance[], options: Settled) {
    this.instances = instances;
    this.#options = options;
    this.#running = instances.map(({ instanceId }) => new RunningInstance(instanceId, options));
  }

  apply(instanceId: number, configuration: Configuration): Promise<void> {
    return this.#inTurn(() => this.#told(this.#instance(instanceId), configuration));
  }

  serverStates(farmId: number, serverId: number): readonly ServerState[] {
    return this.#running.flatMap(({ instanceId, current }) =>
      (current.farm(farmId)?.backends ?? [])
        .filter(({ configuration }) => configuration.serverId === serverId)
        .map((backend) => backend.state(instanceId)),
    );
  }

  behave({ instances: habits = this.#options.habits, ...change }: Partial<DataPlaneBehaviour>): void {
    for (const instanceId of Object.keys(habits)) this.#instance(Number(instanceId));
    Object.assign(this.#options, { ...change, habits });
  }

  portOf(frontendId: number): number {
    const listener = this.#listeners.get(frontendId);
    if (listener === undefined) {
      throw new Error(
        `Cannot tell the port of frontend "${frontendId}": no instance runs it, needs a refresh`,
      );
    }
    return (listener.server.address() as AddressInfo).port;
  }

  loadOn(port: number): Load {
    const backends = this.#running
      .flatMap(({ generations }) => [...generations])
      .flatMap((generation) => [...generation.farms])
      .flatMap((farm) => farm.backends)
      .filter(({ configuration }) => configuration.port === port);
    return {
      open: backends.reduce((sum, { inFlight }) => sum + inFlight, 0),
      idle: backends.reduce((sum, { pool }) => sum + pool.idle, 0),
    };
  }

  async close(): Promise<void> {
    for (const callOff of this.#ahead.values()) callOff();
    this.#ahead.clear();
    await this.#changes;
    for (const { current, clients } of this.#running) {
      current.retire();
      for (const socket of clients) socket.destroy();
    }
    await Promise.all([...this.#listeners.values()].map(({ server }) => closed(server)));
    this.#listeners.clear();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const change = this.#changes.then(work);
    this.#changes = change.catch(() => undefined);
    return change;
  }

  #instance(instanceId: number): RunningInstance {
    const instance = this.#running.find((one) => one.instanceId === instanceId);
    if (instance !== undefined) return instance;
    const there = this.instances.map((one) => one.instanceId).join(', ');
    throw new Error(
      `Cannot reach instance "${instanceId}": there is no such instance, needs one of ${there}`,
    );
  }

  /** Tells an instance of a change, which it takes as its habit is. */
  async #told(instance: RunningInstance, configuration: Configuration): Promise<void> {
    const habit = this.#options.habits[instance.instanceId] ?? { applies: 'at once' };
    if (habit.applies === 'never') return;
    this.#ahead.get(instance)?.();
    if (habit.applies === 'late') return this.#later(instance, habit.afterMs, configuration);
    const before = instance.configuration;
    await this.#change(instance, configuration);
    if (habit.applies === 'falls back') this.#later(instance, habit.afterMs, before);
  }

  #later(instance: RunningInstance, afterMs: number, configuration: Configuration): void {
    const change = (): void => {
      this.#ahead.delete(instance);
      void this.#inTurn(() => this.#change(instance, configuration)).catch((error: unknown) =>
        process.emitWarning(error instanceof Error ? error : String(error)),
      );
    };
    this.#ahead.set(instance, this.#options.after(afterMs, change));
  }

  async #change(instance: RunningInstance, configuration: Configuration): Promise<void> {
    const next = new Generation(configuration);
    for (const { configuration: frontend } of next.frontends.values()) {
      await this.#listen(frontend.frontendId, frontend.protocol, Number(/\d+/.exec(frontend.port)?.[0] ?? 0));
    }
    instance.become(next);
    this.#forgetUnused();
  }

  async #listen(frontendId: number, protocol: Protocol, port: number): Promise<void> {
    if (this.#listeners.has(frontendId)) return;

    const server = protocol === 'http' ? this.#httpServer(frontendId) : this.#tcpServer(frontendId);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#options.listenOn(port), '127.0.0.1', resolve);
    });
    this.#listeners.set(frontendId, { server });
  }

  #httpServer(frontendId: number): HttpServer {
    const instanceOf = new WeakMap<Socket, RunningInstance>();
    const server = createHttpServer(
      { requestTimeout: 0, headersTimeout: 0, keepAlive: true },
      (request, response) => {
        const instance = instanceOf.get(request.socket) ?? this.#nextInstance(frontendId);
        exchange(request, response, instance.current.frontends.get(frontendId), instance.exchangeOptions);
      },
    );
    // Closing an idle connection of ours could meet the client's next request half way.
    server.keepAliveTimeout = 0;
    server.on('connection', (socket) => {
      const instance = this.#nextInstance(frontendId);
      instanceOf.set(socket, instance);
      instance.welcome(socket);
    });
    return server;
  }

  #tcpServer(frontendId: number): Server {
    return createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const instance = this.#nextInstance(frontendId);
      instance.welcome(socket);
      connectThrough(socket, instance.current.frontends.get(frontendId), instance.exchangeOptions);
    });
  }

  /** Instances take turns; one that does not run the frontend is passed over, as it would not be listening. */
  #nextInstance(frontendId: number): RunningInstance {
    const able = this.#running.filter(({ current }) => current.frontends.has(frontendId));
    const among = able.length > 0 ? able : this.#running;
    return among[this.#turn++ % among.length]!;
  }

  #forgetUnused(): void {
    for (const [frontendId, { server }] of this.#listeners) {
      if (this.#running.some(({ current }) => current.frontends.has(frontendId))) continue;
      this.#listeners.delete(frontendId);
      server.close();
      if ('closeIdleConnections' in server) (server as HttpServer).closeIdleConnections();
    }
  }
}

interface Listener {
  readonly server: Server;
}

class RunningInstance {
  readonly instanceId: number;
  readonly exchangeOptions: ExchangeOptions;
  readonly clients = new Set<Socket>();
  current = new Generation({ frontends: [], farms: [] });

  readonly #options: Settled;
  #retired: Generation[] = [];

  constructor(instanceId: number, options: Settled) {
    this.instanceId = instanceId;
    this.#options = options;
    const { connectTimeoutMs, retryDelayMs } = options;
    this.exchangeOptions = { instanceId, connectTimeoutMs, retryDelayMs };
  }

  get configuration(): Configuration {
    return this.current.configuration;
  }

  /** The current one, and those replaced that still carry something. */
  get generations(): readonly Generation[] {
    return [this.current, ...this.#retired];
  }

  welcome(socket: Socket): void {
    this.clients.add(socket);
    socket.once('close', () => this.clients.delete(socket));
  }

  become(next: Generation): void {
    const previous = this.current;
    this.current = next;
    next.startProbing(this.#options);
    previous.retire();
    this.#retired = [previous, ...this.#retired].filter(isBusy);
    this.#disturb();
  }

  #disturb(): void {
    switch (this.#options.whenReloaded) {
      case 'keep':
        return;
      case 'close idle':
        for (const socket of this.clients) if (isIdle(socket)) socket.destroy();
        return;
      case 'cut':
        for (const socket of this.clients) socket.destroy();
        return;
      default:
        return this.#options.whenReloaded satisfies never;
    }
  }
}

const isBusy = (generation: Generation): boolean =>
  [...generation.farms].some((farm) => farm.backends.some(({ inFlight }) => inFlight > 0));

/** Node hangs the response that a connection is busy with on its socket, and nothing on one without. */
function isIdle(socket: Socket): boolean {
  return '_httpMessage' in socket && socket._httpMessage === null;
}

async function closed(server: Server): Promise<void> {
  const isClosed = new Promise<void>((resolve) => server.close(() => resolve()));
  if ('closeAllConnections' in server) (server as HttpServer).closeAllConnections();
  await isClosed;
}
