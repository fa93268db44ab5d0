import { setTimeout as delay } from 'node:timers/promises';

/** A timer that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/** The value of `promise`, or `undefined` when it takes longer. */
export async function within<Value>(promise: Promise<Value>, atMostMs: number): Promise<Value | undefined> {
  if (atMostMs === Infinity) return promise;
  const enough = new AbortController();
  try {
    return await Promise.race([promise, pause(atMostMs, enough.signal)]);
  } finally {
    enough.abort();
  }
}

/** Waits that long. Ends early, and quietly, when `signal` says so. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<undefined> {
  try {
    await delay(Math.min(milliseconds, longestTimerMs), undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
