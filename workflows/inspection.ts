import type { ExaminedServer } from '../domain/examination.js';
import type { DeploymentRequest } from '../domain/deployment.js';
import { complaintsAbout, computePlan } from '../domain/plan.js';
import type { Service } from '../domain/service.js';
import type { Inspection, PlanningResult } from './messages.js';
import { beside, look, overAll, step } from './patience.js';

/** Tells what is and what stands in the way of a deployment. Reads only. */
export async function inspectService(service: Service): Promise<Inspection> {
  const observation = await look.observe.executeWithOptions(
    { summary: `${service.id}: load balancer and servers`, ...overAll(service) },
    [{ service, asVisitor: true }],
  );
  return { observation, complaints: complaintsAbout(service, observation) };
}

/** Tells what every server is and what is left of it. Reads only. */
export async function examineServers(service: Service): Promise<readonly ExaminedServer[]> {
  return look.examineServers.executeWithOptions(
    { summary: `${service.id}: every server`, ...overAll(service) },
    [{ service }],
  );
}

/** Computes the plan that a deployment asked for now would have. Fills the artifact cache and changes nothing else. */
export async function planDeployment(request: DeploymentRequest): Promise<PlanningResult> {
  const inspection = await inspectService(request.service);
  if (inspection.complaints.length > 0) return inspection;
  const { service, artifact } = request;
  const facts = await step.fetchArtifact.executeWithOptions(
    { summary: artifact.url, ...beside(service.artifact.timeoutMs) },
    [{ service, artifact }],
  );
  return { ...inspection, planning: computePlan(request, facts, inspection.observation) };
}
