import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { FailureName } from '../domain/failures.js';
import { serversOf, type Service } from '../domain/service.js';

/**
 * How long each kind of step may take, and how often it may be tried. Every step is waited for when it is cancelled: left
 * unset, the SDK lets an undo overlap the step that it undoes.
 */
export const waited = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  heartbeatTimeout: '6 seconds',
} as const;

const backoff = { initialInterval: '500 ms', backoffCoefficient: 2, maximumInterval: '10 seconds' } as const;

const stepMs = 30 * 60_000;

const lookMs = 2 * 60_000;

/** Reads. */
export const look = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: lookMs,
  retry: { ...backoff, maximumAttempts: 5 },
});

/** Changes on servers, and the artifact. */
export const step = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: stepMs,
  retry: { ...backoff, maximumAttempts: 5 },
});

/**
 * The same on a server to which a deployment goes with others. One that cannot be reached is not tried again here but by the
 * fleet, which says so and has a deadline for it.
 */
export const fleetStep = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: stepMs,
  retry: {
    ...backoff,
    maximumAttempts: 5,
    nonRetryableErrorTypes: ['ServerUnreachable' satisfies FailureName],
  },
});

/** Changes of traffic. A refresh takes from seconds to minutes and is seen through. */
export const route = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: stepMs,
  retry: { ...backoff, maximumAttempts: 4 },
});

/** What lasts until it is told to end; another worker goes on with it. */
export const watch = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: '60 days',
  retry: { ...backoff, maximumInterval: '5 seconds' },
});

/** For a step that waits as long as the service says: that comes on top of what it does itself. */
export const beside = (waitsMs: number): { readonly startToCloseTimeout: number } => ({
  startToCloseTimeout: stepMs + waitsMs,
});

/**
 * For a look at every server, or at all that the load balancer has of them: some are looked at side by side, one that is not reached
 * is waited for, and an API that is asked for one object after the other has its rate.
 */
export const overAll = (service: Service): { readonly startToCloseTimeout: number } => ({
  startToCloseTimeout: lookMs + 2_000 * serversOf(service).length,
});

/**
 * How long what failed for a passing reason rests before it is tried again by itself. Grows to ten minutes, and after a day to an
 * hour: each try costs some twenty events, and a history ends at 51,200, so a run may try for a hundred days.
 */
export const restMs = (timesFailed: number): number =>
  timesFailed > triesOfTheFirstDay ? 3_600_000 : Math.min(15_000 * 2 ** (timesFailed - 1), 600_000);

const triesOfTheFirstDay = 150;

/** How long a server rests that could not be reached. A machine takes a minute to boot, and each try costs some ten events. */
export const awayMs = (timesFailed: number): number => Math.min(1_000 * 2 ** (timesFailed - 1), 120_000);
