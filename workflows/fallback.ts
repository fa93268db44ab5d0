import { otherColor } from '../domain/color.js';
import { liveColor, objectsToKeep, type LoadBalancerObservation } from '../domain/observation.js';
import type { Plan } from '../domain/plan.js';
import { allTo } from '../domain/split.js';
import { asFailure, complaintOf, isPassing, isTakenOver } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import { routeInTurn } from './moving-traffic.js';
import { look, overAll, restMs } from './patience.js';

/** Whether the old servers stand by while the new environment is watched. */
export const hasFallback = ({ service }: DeploymentRun, plan: Plan): boolean =>
  plan.live !== 'nothing' &&
  'fallback' in service.loadBalancer &&
  service.loadBalancer.fallback === 'old-environment';

/**
 * From here on the old servers get no traffic, whatever becomes of the new ones: the next deployment works on them. Asked for until
 * it is so, by a person too: what was promoted leaves no fallback.
 */
export async function endFallback(run: DeploymentRun, plan: Plan): Promise<void> {
  const { board, fleet } = run;
  if (!hasFallback(run, plan)) return;
  const old = otherColor(plan.idle);
  let wasAsked = false;
  for (let timesFailed = 0; ; timesFailed++) {
    try {
      await routeInTurn(run, `${old} no longer stands by`, 'forward', async () => {
        const found = await lookWhileNewServes(run, plan);
        // A person let it go on: with the load balancer as it is now.
        if (wasAsked) run.objects = objectsToKeep(found, run.objects);
        return {
          to: allTo(plan.idle),
          expected: run.objects,
          leaveOut: fleet.leftBehind.map(({ server }) => server),
        };
      });
      board.note(`${old} no longer stands by`);
      return;
    } catch (error) {
      const complaint = complaintOf(error);
      if (complaint.failure === 'Cancelled' || isTakenOver(error)) throw error;
      await run.askPerson(complaint, isPassing(complaint) ? restMs(timesFailed + 1) : undefined);
      wasAsked ||= !isPassing(complaint);
    }
  }
}

/** Minutes may have passed, or hours: whoever has moved the traffic meanwhile is not overruled. */
async function lookWhileNewServes(
  { service }: DeploymentRun,
  { idle }: Plan,
): Promise<LoadBalancerObservation> {
  const { loadBalancer } = await look.observe.executeWithOptions(
    { summary: `does ${idle} serve still`, ...overAll(service) },
    [{ service }],
  );
  if (liveColor(loadBalancer) === idle) return loadBalancer;
  throw asFailure({
    failure: 'TrafficMoved',
    message: `Cannot promote "${service.id}": somebody moved the traffic away from ${idle} before the fallback was ended, needs all of it there\n  nothing was touched since; move it back and go on: verdigris retry; go back: verdigris rollback`,
  });
}
