import { otherColor, type Color } from '../domain/color.js';
import type { FailureName } from '../domain/failures.js';
import type { Plan } from '../domain/plan.js';
import { complaintOf } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import { look } from './patience.js';

/** Where the traffic has to be: with the environment that was live when it was planned, or with the new one. */
export type Expected = 'live' | 'new';

export const expectedColor = (plan: Plan, expected: Expected): Color =>
  expected === 'new' ? plan.idle : otherColor(plan.idle);

/** What else has to be as it was. */
type More = Pick<Partial<Plan>, 'liveRuns'> & { readonly before?: Plan['objects'] };

/** What a person can settle without anything of this run having been for nothing. */
const isForPeople: ReadonlySet<string> = new Set<FailureName>(['TrafficMoved', 'StagedEditsFound']);

/**
 * Looks again just before a change. While somebody else has moved the traffic, or has stored edits that the change would publish
 * (where `before` tells what was there without them), nothing is touched and a person is asked. An edit of the load balancer's
 * objects voids the plan, and so does another program on the live servers where `liveRuns` says what ran there.
 * @returns every object of the load balancer as it is.
 */
export async function confirmPlan(
  run: DeploymentRun,
  plan: Plan,
  expected: Expected,
  more: More = {},
): Promise<Plan['objects']> {
  for (;;) {
    try {
      return await confirmOnce(run, plan, expected, more);
    } catch (error) {
      const complaint = complaintOf(error);
      if (!isForPeople.has(complaint.failure)) throw error;
      await run.askPerson(complaint);
    }
  }
}

/** The same in a turn at the load balancer, for which others wait: nobody is asked there, and what is found is thrown. */
export function confirmOnce(
  { service }: DeploymentRun,
  plan: Plan,
  expected: Expected,
  { liveRuns, before }: More = {},
): Promise<Plan['objects']> {
  const live = expectedColor(plan, expected);
  return look.confirm.executeWithOptions({ summary: `all to ${live}, nothing edited` }, [
    {
      service,
      plan: { objects: plan.objects, ...(liveRuns ? { liveRuns } : {}) },
      live,
      ...(before ? { before } : {}),
    },
  ]);
}

/**
 * Looks again whether an environment gets no traffic: just before its servers are changed, and before everybody is sent to the other
 * one, since whoever has moved the traffic here by hand is not overruled.
 */
export const confirmNoTraffic = (
  { service }: Pick<DeploymentRun, 'service'>,
  color: Color,
  but?: 'testers',
): Promise<void> =>
  look.confirmIdle.executeWithOptions({ summary: `${color} gets no traffic${but ? ` but ${but}'` : ''}` }, [
    { service, color, ...(but ? { despiteTesters: true } : {}) },
  ]);
