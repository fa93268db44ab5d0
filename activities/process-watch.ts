import { Failure } from '../domain/failures.js';
import { HoldingsSoFar } from '../domain/growth.js';
import { whyNotTheSame, dumpedCore, type ProcessLook, type WatchedLook } from '../domain/health.js';
import type { Unwatched } from '../domain/unwatched.js';
import type { Patience } from '../drivers/patience.js';
import type { ServerDriver } from '../drivers/servers/driver.js';
import { rest } from './rest.js';

export interface ProcessWatchOrder {
  readonly everyMs: number;
  /** SHA-256 of the program that has to run. */
  readonly program: string | undefined;
  /** The process that proved itself; without one it is taken as it is found first. */
  readonly process: ProcessLook | undefined;
  /** Whether growth without end is an illness. */
  readonly forLeaks: boolean;
  /** What was not watched before, by another worker. */
  readonly before: { readonly ms: number; readonly because: string; readonly seenAtMs: number };
}

/** A look may come late on a busy machine. What is longer is a gap. */
const gapMs = (everyMs: number): number => Math.max(3 * everyMs, 10_000);

/**
 * Watches the process of one server through one streaming command, which is given again whenever it ends. Nothing else is asked
 * of the server.
 */
export class ProcessWatch {
  readonly #driver: ServerDriver;
  readonly #order: ProcessWatchOrder;
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #watching: Promise<void>;
  #known: ProcessLook | undefined;
  #dumpsBefore: number | undefined;
  #look: WatchedLook | undefined;
  #holdings = new HoldingsSoFar();
  #leak: string | undefined;
  #broken: { readonly error: unknown } | undefined;
  #seenAtMs: number;
  #unwatchedMs: number;
  #because: string;

  constructor(driver: ServerDriver, order: ProcessWatchOrder, { signal }: Patience) {
    this.#driver = driver;
    this.#order = order;
    this.#known = order.process;
    this.#dumpsBefore = order.process && 0;
    this.#seenAtMs = order.before.seenAtMs;
    this.#unwatchedMs = order.before.ms;
    this.#because = order.before.because;
    this.#signal = AbortSignal.any([signal, this.#ending.signal]);
    this.#watching = this.#watch().catch((error: unknown) => {
      if (!this.#signal.aborted) this.#broken = { error };
    });
  }

  /** Whether the process is seen now. */
  get sees(): boolean {
    return this.#look !== undefined && this.#openGapMs === 0;
  }

  /** Why it is ill, by the last look; `undefined` where it is well, or unknown. Throws what kept us from watching for good. */
  illness(): string | undefined {
    if (this.#broken) throw this.#broken.error;
    const look = this.#look;
    if (!look) return undefined;
    return (
      whyNotTheSame(this.#known ?? look, look) ?? this.#otherProgram(look) ?? this.#dumped(look) ?? this.#leak
    );
  }

  get unwatched(): Unwatched {
    return {
      server: this.#driver.server.name,
      ms: this.#unwatchedMs + this.#openGapMs,
      because: this.#because,
    };
  }

  async end(): Promise<void> {
    this.#ending.abort(new Error('the watch is over'));
    await this.#watching;
  }

  /** A server that cannot be reached is tried again: unknown is not ill. */
  async #watch(): Promise<void> {
    const { everyMs } = this.#order;
    // Silent: what the watch over the whole environment reports is for people.
    const patience = { signal: this.#signal, progress: () => undefined };
    for (;;) {
      try {
        for await (const look of this.#driver.watch(everyMs, patience)) this.#take(look);
        this.#because = 'the watch over its process ended by itself';
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.#signal.throwIfAborted();
        this.#because = error.message;
      }
      await rest(everyMs, patience);
    }
  }

  #take(look: WatchedLook): void {
    // Of one process: after a gap it has gone on growing, another one begins anew.
    if (look.pid !== this.#look?.pid || look.startedAtUs !== this.#look.startedAtUs)
      this.#holdings = new HoldingsSoFar();
    this.#unwatchedMs += this.#openGapMs;
    this.#seenAtMs = Date.now();
    this.#look = look;
    this.#known ??= look;
    this.#dumpsBefore ??= look.coreDumps;
    if (!this.#order.forLeaks || !look.holds) return;
    this.#leak = this.#holdings.take({ ...look.holds, atMs: this.#seenAtMs }) ?? this.#leak;
  }

  get #openGapMs(): number {
    const ms = Date.now() - this.#seenAtMs;
    return ms > gapMs(this.#order.everyMs) ? ms : 0;
  }

  #otherProgram({ program: found }: WatchedLook): string | undefined {
    const { program: needed } = this.#order;
    if (needed === undefined || found === undefined || found === needed) return undefined;
    return `it runs another program (${found.slice(0, 12)}) than was released (${needed.slice(0, 12)})`;
  }

  /** Of the same process: one that was started anew is another illness, and its dumps are counted from its own start. */
  #dumped({ coreDumps = 0 }: WatchedLook): string | undefined {
    return this.#dumpsBefore !== undefined && coreDumps > this.#dumpsBefore
      ? dumpedCore(coreDumps)
      : undefined;
  }
}
