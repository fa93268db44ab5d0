import type { ArtifactFacts } from '../../domain/deployment.js';
import type { Observation } from '../../domain/observation.js';
import { computePlan, type Plan } from '../../domain/plan.js';
import { Refused, type DeploymentRun } from '../deployment-run.js';
import { beside, step } from '../patience.js';

/** Brings the artifact into the cache, checked, and completes the plan with what was read from it. */
export async function fetch(run: DeploymentRun, observation: Observation): Promise<Plan> {
  const { board, request } = run;
  const { artifact } = request;
  board.enter('fetch', 'the artifact is fetched and checked; nothing is changed');
  const facts: ArtifactFacts = await step.fetchArtifact.executeWithOptions(
    {
      summary: `artifact ${artifact.sha256.slice(0, 12)} from ${artifact.url}`,
      ...beside(run.service.artifact.timeoutMs),
    },
    [{ service: run.service, artifact }],
  );
  const planning = computePlan(request, facts, observation);
  if (planning.kind === 'refused') throw new Refused(planning.complaints);
  const { plan } = planning;
  if (request.again !== undefined) board.note(`Deployed again by ${request.requestedBy}: ${request.again}`);
  run.settleOn(plan);
  board.tell({ plan, release: plan.release, live: plan.live, idle: plan.idle });
  return plan;
}
