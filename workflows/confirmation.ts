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

/** What a person can settle without anything of this run having been for nothing. */
const isForPeople: ReadonlySet<string> = new Set<FailureName>(['TrafficMoved', 'StagedEditsFound']);

/**
 * Looks again just before a change. While somebody else has moved the traffic, or has stored edits that the change would publish
 * (where `before` tells what was there without them), nothing is touched and a person is asked; an edit of the load balancer's objects voids the plan, and so does another program on the live servers where `liveRuns` says
 * what ran there. Gives every object of the load balancer as it is.
 */
export async function confirmPlan(
  run: DeploymentRun,
  plan: Plan,
  expected: Expected,
  { liveRuns, before }: Pick<Partial<Plan>, 'liveRuns'> & { readonly before?: Plan['objects'] } = {},
): Promise<Plan['objects']> {
  const live = expectedColor(plan, expected);
  for (;;) {
    try {
      return await look.confirm.executeWithOptions({ summary: `all to ${live}, nothing edited` }, [
        {
          service: run.service,
          plan: { objects: plan.objects, ...(liveRuns ? { liveRuns } : {}) },
          live,
          ...(before ? { before } : {}),
        },
      ]);
    } catch (error) {
      const complaint = complaintOf(error);
      if (!isForPeople.has(complaint.failure)) throw error;
      await run.askPerson(complaint);
    }
  }
}
