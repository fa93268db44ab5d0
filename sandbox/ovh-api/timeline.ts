import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until so much time has passed. Rejects when the signal is aborted. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

/** How often a clock that is not the machine's is looked at. */
const lookEveryMs = 5;

/** Sleeping by `clock`: it may stand still or jump, and whoever sleeps wakes when it says so. */
export function sleepingBy(clock: () => number): Sleep {
  if (clock === Date.now) return (ms, signal) => sleep(ms, undefined, { signal });

  return async (ms, signal) => {
    const end = clock() + ms;
    while (clock() < end) await sleep(lookEveryMs, undefined, { signal });
    signal.throwIfAborted();
  };
}
