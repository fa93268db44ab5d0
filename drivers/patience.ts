import { setMaxListeners } from 'node:events';

/** How long a caller waits, and how it hears of what goes on meanwhile. */
export interface Patience {
  /** Aborted when the caller gives up. Waiting ends; what cannot be stopped half way is seen through. */
  readonly signal: AbortSignal;
  /** Called at least every two seconds while a driver waits, with a short sentence for people. */
  readonly progress: (what: string) => void;
}

const { signal: neverAborted } = new AbortController();
// All who wait at the same time listen to it; each takes its listener away at its end.
setMaxListeners(0, neverAborted);

/** For callers that neither give up nor listen. */
export const endless: Patience = { signal: neverAborted, progress: () => undefined };

/** What `result` comes to, or the signal's reason as soon as the caller gives up. */
export async function orAborted<Result>(result: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  const stop = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { signal: stop.signal });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    stop.abort();
  }
}
