import { otherColor } from '../domain/color.js';
import type { Plan } from '../domain/plan.js';
import { allTo } from '../domain/split.js';
import { complaintOf, isPassing, isTakenOver } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import { routeInTurn } from './moving-traffic.js';
import { restMs } from './patience.js';

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
  let expected = run.objects;
  for (let timesFailed = 0; ;) {
    try {
      const asked = expected ? { expected } : {};
      await routeInTurn(run, `${old} no longer stands by`, 'forward', async () => ({
        to: allTo(plan.idle),
        ...asked,
        leaveOut: fleet.leftBehind.map(({ server }) => server),
      }));
      board.note(`${old} no longer stands by`);
      return;
    } catch (error) {
      const complaint = complaintOf(error);
      if (complaint.failure === 'Cancelled' || isTakenOver(error)) throw error;
      await run.askPerson(complaint, isPassing(complaint) ? restMs(++timesFailed) : undefined);
      // A person let it go on: with the load balancer as it is now.
      if (!isPassing(complaint)) expected = undefined;
    }
  }
}
