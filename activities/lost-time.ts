import { Context, activityInfo, log } from '@temporalio/activity';
import { optionalTsToMs } from '@temporalio/common/lib/time.js';

/** When a heartbeat was sent. Carried by it, so that the next attempt knows for how long nobody was at work. */
export interface Beat {
  /** By the worker's own clock. */
  readonly atMs: number;
  /** When its attempt was asked for, by Temporal's clock. */
  readonly askedForAtMs: number;
  /** For how long the attempt had worked. */
  readonly workedMs: number;
}

/** Gives beats of this attempt, which begins now. */
export function beats(): () => Beat {
  const { currentAttemptScheduledTimestampMs: askedForAtMs } = activityInfo();
  const beganAtMs = performance.now();
  return () => ({ atMs: Date.now(), askedForAtMs, workedMs: performance.now() - beganAtMs });
}

/**
 * For how long nobody has worked since a beat of an earlier attempt. That worker's clock may be ahead of ours: then Temporal's tells
 * when its attempt was asked for, and when this one has begun.
 */
export async function lostMsSince({ atMs, askedForAtMs, workedMs }: Beat): Promise<number> {
  const byOurClock = Date.now() - atMs;
  return Math.max(0, byOurClock, (await beganAtMs()) - askedForAtMs - workedMs);
}

/** The attempt is at work only after this. */
const describeWithinMs = 5_000;

/** When this attempt has begun, by Temporal's clock. Where that does not tell, when it was asked for: a worker was waited for since. */
async function beganAtMs(): Promise<number> {
  const { activityId, workflowExecution, currentAttemptScheduledTimestampMs } = activityInfo();
  try {
    const { workflowId = '', runId } = workflowExecution ?? {};
    const { client } = Context.current();
    const { raw } = await client.withDeadline(Date.now() + describeWithinMs, () =>
      client.workflow.getHandle(workflowId, runId).describe(),
    );
    const own = raw.pendingActivities?.find((each) => each.activityId === activityId);
    return optionalTsToMs(own?.lastStartedTime) ?? currentAttemptScheduledTimestampMs;
  } catch (error) {
    log.warn('Temporal does not tell when this attempt has begun', { error });
    return currentAttemptScheduledTimestampMs;
  }
}
