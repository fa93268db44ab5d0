import type { ServerStatus } from '../../domain/deployment.js';
import { liveColor, type Observation, type ServerObservation } from '../../domain/observation.js';
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
    servers: observation.servers.map(statusOf),
  });
}

function statusOf(seen: ServerObservation): ServerStatus {
  const { server, color } = seen;
  if (seen.kind === 'unreachable') return { server, color, state: 'unreachable', detail: seen.message };
  const { unit, activeRelease, foreign } = seen.facts;
  const runs = activeRelease ?? (foreign ? 'a foreign release' : 'nothing installed');
  return { server, color, state: unit.state, detail: runs };
}
