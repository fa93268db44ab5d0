import type { DeploymentRequest } from '../domain/deployment.js';
import { complaintsAbout, computePlan } from '../domain/plan.js';
import type { Service } from '../domain/service.js';
import type { Inspection, PlanningResult } from './messages.js';
import { look, step } from './patience.js';

/** Tells what is and what stands in the way of a deployment. Reads only. */
export async function inspectService(service: Service): Promise<Inspection> {
  const observation = await look.observe.executeWithOptions(
    { summary: `${service.id}: load balancer and servers` },
    [{ service }],
  );
  return { observation, complaints: complaintsAbout(service, observation) };
}

/** Computes the plan that a deployment asked for now would have. Fills the artifact cache and changes nothing else. */
export async function planDeployment(request: DeploymentRequest): Promise<PlanningResult> {
  const inspection = await inspectService(request.service);
  if (inspection.complaints.length > 0) return inspection;
  const { service, artifact } = request;
  const facts = await step.fetchArtifact.executeWithOptions({ summary: artifact.url }, [
    { service, artifact },
  ]);
  return { ...inspection, planning: computePlan(request, facts, inspection.observation) };
}
