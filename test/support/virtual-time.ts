import type { Time } from '../../ovh/time.js';

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly wake: () => void;
}

/**
 * How many turns of the event loop without any stir mean that everybody waits. What is done in this process takes few: promises and
 * streams need none of their own, the promises of the npm package `ovh` one or two.
 */
const quietTurns = 6;

/**
 * Time that jumps over waiting: as soon as everybody in this process waits, it is as late as the one who waits shortest
 * wants it to be. Good only where nothing comes from outside of the process: it would not be waited for.
 */
export class VirtualTime implements Time {
  readonly #startMs: number;
  #passedMs = 0;
  #order = 0;
  #stirs = 0;
  #isWatching = false;
  readonly #sleepers = new Set<Sleeper>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  readonly epochMs = (): number => this.#startMs + this.#passedMs;
  readonly nowMs = (): number => this.#passedMs;

  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const end = (settle: () => void) => (): void => {
        this.#stirs++;
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', giveUp);
        settle();
      };
      const giveUp = end(() => reject(signal?.reason as Error));
      const sleeper = { atMs: this.#passedMs + Math.max(ms, 0), order: this.#order++, wake: end(resolve) };
      signal?.addEventListener('abort', giveUp);
      this.#stirs++;
      this.#sleepers.add(sleeper);
      this.#watch();
    });

  /** Somebody has begun what the others have to wait for. */
  stir(): void {
    this.#stirs++;
  }

  #watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    let seen = this.#stirs;
    let quiet = 0;
    const look = (): void => {
      if (this.#sleepers.size === 0) {
        this.#isWatching = false;
        return;
      }
      quiet = seen === this.#stirs ? quiet + 1 : 0;
      seen = this.#stirs;
      if (quiet >= quietTurns) this.#wakeNext();
      setImmediate(look);
    };
    setImmediate(look);
  }

  #wakeNext(): void {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (!next || sleeper.atMs < next.atMs || (sleeper.atMs === next.atMs && sleeper.order < next.order))
        next = sleeper;
    }
    if (!next) return;
    this.#passedMs = Math.max(this.#passedMs, next.atMs);
    next.wake();
  }
}
