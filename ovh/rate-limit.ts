import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** How many calls a credential may make: `burst` at once, `perSecond` in the long run. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** OVHcloud publishes no limit and answers 429 under polling or fan-out. */
export const politeRate: Rate = { perSecond: 5, burst: 10 };

const limits = new Map<string, RateLimit>();

/** The limit that everybody in this process shares who calls as `credential`. The first caller sets the rate. */
export function rateLimitOf(credential: string, rate: Rate): RateLimit {
  const known = limits.get(credential) ?? new RateLimit(rate);
  limits.set(credential, known);
  return known;
}

/** Gives each call a time to go out, in the order in which they ask (the generic cell rate algorithm). */
export class RateLimit {
  readonly #intervalMs: number;
  readonly #toleranceMs: number;
  #nextMs = 0;

  constructor({ perSecond, burst }: Rate) {
    this.#intervalMs = 1_000 / perSecond;
    this.#toleranceMs = this.#intervalMs * (burst - 1);
  }

  /** Resolves when the next call may go out. Throws the signal's reason when the caller gives up. */
  async turn(signal?: AbortSignal): Promise<void> {
    const nowMs = performance.now();
    const atMs = Math.max(this.#nextMs, nowMs);
    this.#nextMs = atMs + this.#intervalMs;
    const waitMs = atMs - this.#toleranceMs - nowMs;
    if (waitMs > 0) await pause(waitMs, signal);
  }

  /** The API has said that it was too much: nobody calls for this long. */
  backOff(ms: number): void {
    this.#nextMs = Math.max(this.#nextMs, performance.now() + ms + this.#toleranceMs);
  }
}

/** Waits, or throws the signal's reason as soon as the caller gives up. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  try {
    await sleep(ms, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
