import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time as it passes. A test has one that jumps over waiting, so that a refresh of minutes costs it nothing. */
export interface Time {
  /** Milliseconds since 1970, by a clock that somebody may set. */
  readonly epochMs: () => number;
  /** Milliseconds since some moment, by a clock that only goes forward. */
  readonly nowMs: () => number;
  /** Waits, or throws the signal's reason as soon as the caller gives up. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export const realTime: Time = {
  epochMs: () => Date.now(),
  nowMs: () => performance.now(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted();
    try {
      await sleep(ms, undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
