import { Agent } from 'node:http';

import type { Weighted } from './balance.js';
import type { ProbeConfiguration, ServerConfiguration } from './configuration.js';
import type { ServerState } from './data-plane.js';
import { probeOnce, type ProbeResult } from './probe.js';

/** Something that runs on a server and can be cut: a request or a TCP connection. */
export interface Session {
  cut(): void;
}

/** Consecutive checks that turn the state of a server. */
const failuresUntilDown = 2;
const successesUntilUp = 2;

/** Idle connections kept per server; as many as ever needed may be in use. */
const idleConnectionsKept = 64;

/** One server of a farm as one instance runs it between two changes of its configuration. */
export class Backend implements Weighted {
  readonly configuration: ServerConfiguration;
  readonly weight: number;
  /** Idle connections are kept for the next request. */
  readonly pool: BackendPool;
  readonly sessions = new Set<Session>();
  credit = 0;

  readonly #onHealthChange: () => void;
  #up = true;
  #opposed = 0;
  #lastCheck: (ProbeResult & { readonly checkTime: number }) | undefined;
  #probing: { stop(): void } | undefined;

  constructor(configuration: ServerConfiguration, onHealthChange: () => void) {
    this.configuration = configuration;
    this.weight = configuration.weight;
    this.pool = new BackendPool();
    this.#onHealthChange = onHealthChange;
  }

  get inFlight(): number {
    return this.sessions.size;
  }

  /** Whether it may get traffic at all. Presumed up until its own checks say otherwise, as after any reload. */
  get isUsable(): boolean {
    return this.configuration.active && this.#up;
  }

  /** Checks every `everyMs`, for the first time after `firstMs`. */
  startProbing(probe: ProbeConfiguration, schedule: ProbeSchedule): void {
    const { address, port } = this.configuration;
    let stopped = false;
    let timer: NodeJS.Timeout;

    const check = async (): Promise<void> => {
      const result = await probeOnce(probe, { address, port: probe.port ?? port }, schedule.timeoutMs);
      if (stopped) return;
      this.#learn(result, schedule.clock());
      timer = setTimeout(() => void check(), schedule.everyMs);
    };
    timer = setTimeout(() => void check(), schedule.firstMs);

    this.#probing = {
      stop: () => {
        stopped = true;
        clearTimeout(timer);
      },
    };
  }

  state(instanceId: number): ServerState {
    if (this.#probing === undefined) return { instanceId, status: 'no check' };
    const { passed: _, ...seen } = this.#lastCheck ?? { passed: true };
    return { instanceId, status: this.#up ? 'UP' : 'DOWN', ...seen };
  }

  /** Ends the checks and the idle connections; what runs on the server ends by itself. */
  retire(): void {
    this.#probing?.stop();
    this.pool.retire();
  }

  #learn(result: ProbeResult, checkTime: number): void {
    this.#lastCheck = { ...result, checkTime };
    this.#opposed = result.passed === this.#up ? 0 : this.#opposed + 1;
    if (this.#opposed < (this.#up ? failuresUntilDown : successesUntilUp)) return;

    this.#up = result.passed;
    this.#opposed = 0;
    this.#onHealthChange();
    if (!this.#up && this.configuration.cutWhenDown) {
      for (const session of this.sessions) session.cut();
    }
  }
}

export interface ProbeSchedule {
  readonly firstMs: number;
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Milliseconds since 1970, for `checkTime`. */
  readonly clock: () => number;
}

/** Keep-alive connections to one server. Retired, it closes the idle ones now and the others when they end. */
export class BackendPool extends Agent {
  constructor() {
    super({ keepAlive: true, maxFreeSockets: idleConnectionsKept, scheduling: 'lifo', noDelay: true });
  }

  /** One pool is one server: nothing has to be told apart. */
  override getName(): string {
    return '';
  }

  get idle(): number {
    return this.freeSockets['']?.length ?? 0;
  }

  retire(): void {
    // The agent reads this when a connection comes back, and closes it instead of keeping it.
    (this as unknown as { keepAlive: boolean }).keepAlive = false;
    for (const socket of this.freeSockets[''] ?? []) socket.destroy();
  }
}
