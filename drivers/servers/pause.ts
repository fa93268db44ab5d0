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
