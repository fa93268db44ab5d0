import { realTime, type Time } from './time.js';

/** How many calls a credential may make: `burst` at once, `perSecond` in the long run. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** OVHcloud publishes no limit and answers 429 under polling or fan-out. */
export const politeRate: Rate = { perSecond: 5, burst: 10 };

const limits = new Map<string, RateLimit>();

/** The limit that everybody in this process shares who calls as `credential`. The first caller sets the rate. */
export function rateLimitOf(credential: string, rate: Rate, time: Time = realTime): RateLimit {
  const known = limits.get(credential) ?? new RateLimit(rate, time);
  limits.set(credential, known);
  return known;
}

/** Gives each call a time to go out, in the order in which they ask (the generic cell rate algorithm). */
export class RateLimit {
  readonly #intervalMs: number;
  readonly #toleranceMs: number;
  readonly #time: Time;
  #nextMs = 0;

  constructor({ perSecond, burst }: Rate, time: Time = realTime) {
    this.#time = time;
    this.#intervalMs = 1_000 / perSecond;
    this.#toleranceMs = this.#intervalMs * (burst - 1);
  }

  /** Resolves when the next call may go out. Throws the signal's reason when the caller gives up. */
  async turn(signal?: AbortSignal): Promise<void> {
    const nowMs = this.#time.nowMs();
    const atMs = Math.max(this.#nextMs, nowMs);
    this.#nextMs = atMs + this.#intervalMs;
    const waitMs = atMs - this.#toleranceMs - nowMs;
    if (waitMs > 0) await this.#time.sleep(waitMs, signal);
  }

  /** The API has said that it was too much: nobody calls for this long. */
  backOff(ms: number): void {
    this.#nextMs = Math.max(this.#nextMs, this.#time.nowMs() + ms + this.#toleranceMs);
  }
}
