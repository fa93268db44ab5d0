import { setMaxListeners } from 'node:events';
import { CancelledFailure, Context, activityInfo, cancellationSignal, heartbeat } from '@temporalio/activity';
import { Failure } from '../domain/failures.js';
import type { Patience } from '../drivers/patience.js';

/** Heartbeats tell that the worker lives and bring the cancellation in; drivers have their own limits for what hangs. */
const beatMs = 1_000;

/**
 * Runs a step with heartbeats and the patience that its driver needs. What it reports shows in the Temporal UI; `carried` says
 * what a heartbeat takes along, where that is more.
 */
export async function patiently<T>(
  step: (patience: Patience) => Promise<T>,
  carried: (now: string) => unknown = (now) => now,
): Promise<T> {
  let now = `attempt ${activityInfo().attempt}`;
  const beat = () => heartbeat(carried(now));
  const timer = setInterval(beat, beatMs);
  beat();
  const signal = cancellationSignal();
  setMaxListeners(0, signal); // one for each server and question that is waited for side by side
  try {
    const progress = (what: string) => {
      now = what;
      beat();
    };
    return await step({ signal, progress });
  } catch (error) {
    // Given up because it was told to: whatever the driver threw on the way out, this is the cancellation.
    if (signal.aborted && !(error instanceof Failure)) await Context.current().cancelled;
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** Waits, or throws the cancellation. */
export const pause = (ms: number): Promise<void> => Context.current().sleep(ms);

/** Whether this attempt was cancelled by its workflow (and not because a worker stops). */
export const wasEndedByWorkflow = (): boolean =>
  cancellationSignal().aborted && Context.current().cancellationDetails?.cancelRequested === true;

/** Whether that is what was thrown. */
export const endedByWorkflow = (error: unknown): boolean =>
  error instanceof CancelledFailure && wasEndedByWorkflow();
