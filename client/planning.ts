import type { DeploymentRequest } from '../domain/deployment.js';
import { workflowTypes, type PlanningResult } from '../workflows/messages.js';
import { resolveArtifact } from './artifact.js';
import { whoAsks } from './commands/options.js';
import { lookWith } from './looking.js';
import type { Session } from './session.js';

/** What would be deployed, as people say it on the command line. */
export interface WantedArtifact {
  readonly artifact?: string;
  readonly sha256?: string;
  readonly version?: string;
  readonly again?: string;
  readonly timeout: number;
}

/** Looks at everything and reads the artifact, as a deployment asked for now would. Changes nothing. */
export async function planWith(session: Session, wanted: WantedArtifact): Promise<PlanningResult> {
  const request: DeploymentRequest = {
    service: session.service,
    artifact: await resolveArtifact(wanted.artifact, wanted.sha256),
    requestedBy: whoAsks(undefined),
    searchAttributes: false,
    ...(wanted.version === undefined ? {} : { version: wanted.version }),
    ...(wanted.again === undefined ? {} : { again: wanted.again }),
  };
  return lookWith<PlanningResult>(session, {
    action: 'plan',
    workflowType: workflowTypes.planning,
    input: request,
    timeoutMs: wanted.timeout,
  });
}
