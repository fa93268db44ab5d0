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
  /** Settles when everybody who has asked so far went out, or gave up. */
  #line: Promise<unknown> = Promise.resolve();

  constructor({ perSecond, burst }: Rate, time: Time = realTime) {
    this.#time = time;
    this.#intervalMs = 1_000 / perSecond;
    this.#toleranceMs = this.#intervalMs * (burst - 1);
  }

  /** Resolves when the next call may go out. Throws the signal's reason when the caller gives up, which costs the others nothing. */
  async turn(signal?: AbortSignal): Promise<void> {
    const before = this.#line;
    const turn = this.#turnAfter(before, signal);
    // Without what they came to: each would hold on to all before it.
    this.#line = Promise.allSettled([before, turn]).then(() => undefined);
    return turn;
  }

  async #turnAfter(before: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
    await orGivenUp(before, signal);
    // Again after a wait: the API may have said meanwhile that it is too much.
    for (let waitMs = this.#waitMs; waitMs > 0; waitMs = this.#waitMs) {
      await this.#time.sleep(Math.ceil(waitMs), signal);
    }
    this.#nextMs = Math.max(this.#nextMs, this.#time.nowMs()) + this.#intervalMs;
  }

  get #waitMs(): number {
    return this.#nextMs - this.#toleranceMs - this.#time.nowMs();
  }

  /** The API has said that it was too much: nobody calls for this long. */
  backOff(ms: number): void {
    this.#nextMs = Math.max(this.#nextMs, this.#time.nowMs() + ms + this.#toleranceMs);
  }
}

async function orGivenUp(done: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let giveUp = (): void => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal?.reason as Error);
  });
  signal?.addEventListener('abort', giveUp);
  try {
    await Promise.race([done, givenUp]);
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}
