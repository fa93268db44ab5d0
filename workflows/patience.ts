import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';

/**
 * How long each kind of step may take, and how often it may be tried. Every step is waited for when it is cancelled: left
 * unset, the SDK lets an undo overlap the step that it undoes.
 */
const waited = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  heartbeatTimeout: '6 seconds',
} as const;

const backoff = { initialInterval: '500 ms', backoffCoefficient: 2, maximumInterval: '10 seconds' } as const;

/** Reads. */
export const look = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: '2 minutes',
  retry: { ...backoff, maximumAttempts: 5 },
});

/** Changes on servers, and the artifact. */
export const step = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: '30 minutes',
  retry: { ...backoff, maximumAttempts: 5 },
});

/** Changes of traffic. A refresh takes from seconds to minutes and is seen through. */
export const route = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: '30 minutes',
  retry: { ...backoff, maximumAttempts: 4 },
});

/** What lasts until it is told to end; another worker goes on with it. */
export const watch = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: '60 days',
  retry: { ...backoff, maximumInterval: '5 seconds' },
});

/**
 * How long an undo step that failed for a passing reason rests before it is tried again by itself. Grows, so that a run that
 * tries for weeks stays within what a history may hold.
 */
export const undoPauseMs = (timesFailed: number): number =>
  Math.min(15_000 * 2 ** (timesFailed - 1), 600_000);
