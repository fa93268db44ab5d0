import { setTimeout as after } from 'node:timers/promises';

/** Waits `ms` milliseconds, or throws the signal's reason as soon as the caller gives up. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  try {
    await after(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

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
