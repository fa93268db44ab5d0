import { liveColor, type Observation } from '../../domain/observation.js';
import { complaintsAbout, idleOf } from '../../domain/plan.js';
import { Refused, type DeploymentRun } from '../deployment-run.js';
import { look, overAll } from '../patience.js';
import { complaintsUnsettled } from '../unsettled.js';

/** Looks at everything and refuses a state that no deployment may start from. Changes nothing. */
export async function inspect(run: DeploymentRun): Promise<Observation> {
  const { service, board } = run;
  board.enter('inspect', 'it looks at load balancer and servers; nothing is changed');
  const [observation, unsettled] = await Promise.all([
    look.observe.executeWithOptions(
      { summary: `${service.id}: load balancer and servers`, ...overAll(service) },
      [{ service, asVisitor: true }],
    ),
    complaintsUnsettled(run, 'deploy'),
  ]);
  show(run, observation);
  const complaints = [...unsettled, ...complaintsAbout(service, observation)];
  if (complaints.length > 0) throw new Refused(complaints);
  run.objects = observation.loadBalancer.objects;
  return observation;
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
