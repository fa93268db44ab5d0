import { activityInfo } from '@temporalio/activity';

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
 * when this attempt was asked for, and only what it waited for a worker is missing.
 */
export const lostMsSince = ({ atMs, askedForAtMs, workedMs }: Beat): number =>
  Math.max(0, Date.now() - atMs, activityInfo().currentAttemptScheduledTimestampMs - askedForAtMs - workedMs);
