import { otherColor, type Color } from '../domain/color.js';
import type { FailureName } from '../domain/failures.js';
import { hashOf } from '../domain/hash.js';
import type { Plan } from '../domain/plan.js';
import { complaintOf } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import { look, overAll } from './patience.js';

/** Where the traffic has to be: with the environment that was live when it was planned, or with the new one. */
export type Expected = 'live' | 'new';

export const expectedColor = ({ idle }: Pick<Plan, 'idle'>, expected: Expected): Color =>
  expected === 'new' ? idle : otherColor(idle);

/** What a person can settle without anything of this run having been for nothing. */
const isForPeople: ReadonlySet<string> = new Set<FailureName>(['TrafficMoved', 'StagedEditsFound']);

/**
 * Looks again just before a change. While somebody else has moved the traffic nothing is touched and a person is asked. An edit of the
 * load balancer's objects voids the plan.
 */
export const confirmPlan = (run: DeploymentRun, plan: Plan, expected: Expected): Promise<void> =>
  askingPeople(run, () => confirmOnce(run, plan, expected));

/**
 * The same just before the switch: another program on the live servers voids the plan, too, and edits that the switch would publish are
 * for people.
 * @returns every object of the load balancer as it is.
 */
export const confirmForSwitch = (run: DeploymentRun, plan: Plan): Promise<Plan['objects']> =>
  askingPeople(run, () => confirmForSwitchOnce(run, plan));

/**
 * The same in a turn at the load balancer, for which others wait: nobody is asked there, and what is found is thrown. Done for every
 * few servers, so only their digest tells that the objects are as planned. Where they are not, another look says in what.
 */
export async function confirmOnce(
  { service }: DeploymentRun,
  plan: Pick<Plan, 'idle' | 'objects'>,
  expected: Expected,
): Promise<void> {
  const live = expectedColor(plan, expected);
  const options = { summary: `all to ${live}, nothing edited`, ...overAll(service) };
  const { objects } = plan;
  const isAsPlanned = await look.confirmInShort.executeWithOptions(options, [
    { service, live, objects: hashOf(objects) },
  ]);
  if (!isAsPlanned) await look.confirm.executeWithOptions(options, [{ service, live, plan: { objects } }]);
}

export function confirmForSwitchOnce(
  { service, objects: before }: DeploymentRun,
  plan: Plan,
): Promise<Plan['objects']> {
  const live = expectedColor(plan, 'live');
  const { objects, liveRuns } = plan;
  return look.confirm.executeWithOptions({ summary: `all to ${live}, nothing edited`, ...overAll(service) }, [
    { service, live, plan: { objects, liveRuns }, before },
  ]);
}

async function askingPeople<Result>(run: DeploymentRun, confirm: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await confirm();
    } catch (error) {
      const complaint = complaintOf(error);
      if (!isForPeople.has(complaint.failure)) throw error;
      await run.askPerson(complaint);
    }
  }
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
  look.confirmIdle.executeWithOptions(
    { summary: `${color} gets no traffic${but ? ` but ${but}'` : ''}`, ...overAll(service) },
    [{ service, color, ...(but ? { despiteTesters: true } : {}) }],
  );
