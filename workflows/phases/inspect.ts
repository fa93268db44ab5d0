import { workflowInfo } from '@temporalio/workflow';
import { asComplaint, type Complaint } from '../../domain/failures.js';
import { liveColor, type Observation } from '../../domain/observation.js';
import { complaintsAbout, idleOf } from '../../domain/plan.js';
import { Refused, type DeploymentRun } from '../deployment-run.js';
import { look } from '../patience.js';

/** Looks at everything and refuses a state that no deployment may start from. Changes nothing. */
export async function inspect(run: DeploymentRun): Promise<Observation> {
  const { service, board } = run;
  board.enter('inspect', 'it looks at load balancer and servers; nothing is changed');
  const [observation, takenOver] = await Promise.all([
    look.observe.executeWithOptions({ summary: `${service.id}: load balancer and servers` }, [
      { service, asVisitor: true },
    ]),
    look.unsettledTakeOver.executeWithOptions({ summary: 'was an earlier run taken over' }, [
      { workflowId: workflowInfo().workflowId },
    ]),
  ]);
  show(run, observation);
  const complaints = [...unsettled(run, takenOver), ...complaintsAbout(service, observation)];
  if (complaints.length > 0) throw new Refused(complaints);
  run.objects = observation.loadBalancer.objects;
  return observation;
}

function unsettled({ service }: DeploymentRun, takenOver: string): readonly Complaint[] {
  if (takenOver === '') return [];
  const message = `Cannot deploy "${service.id}": ${takenOver}\n  settle it: verdigris repair`;
  return [asComplaint('RepairNeeded', message)];
}

function show({ board }: DeploymentRun, observation: Observation): void {
  const { traffic } = observation.loadBalancer;
  board.tell({
    live: liveColor(observation.loadBalancer) ?? 'unknown',
    idle: idleOf(observation) ?? 'unknown',
    ...(traffic.kind === 'split' ? { split: traffic.split } : {}),
  });
  for (const seen of observation.servers) {
    if (seen.kind === 'unreachable') board.tellServer(seen.server, 'unreachable', seen.message);
    else
      board.tellServer(
        seen.server,
        seen.facts.unit.state,
        seen.facts.activeRelease ?? (seen.facts.foreign ? 'a foreign release' : 'nothing installed'),
      );
  }
}
