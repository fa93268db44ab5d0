import type { Release } from '../domain/deployment.js';
import type { ServerName } from '../domain/names.js';
import type { Observation } from '../domain/observation.js';
import { isIllness, unfitMarksOf } from '../domain/unfit.js';
import { complaintOf } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import { fanOut, lanes } from './fan-out.js';
import { step } from './patience.js';
import type { Run } from './run.js';

/** A release that is gone back from because it was ill must not come back by mistake. Asked for or rejected, it is only gone. */
export async function markIfIll(run: Run, release: Release, server: ServerName): Promise<void> {
  const { because, service } = run;
  if (!because || !isIllness(because)) return;
  await step.markUnfit.executeWithOptions({ summary: `${release.id} on ${server}` }, [
    { service, server, release: release.id, because: because.message, token: run.token() },
  ]);
}

/** What was deployed again in spite of its marks, and stood the bake, has lost them. */
export async function liftMarks(run: DeploymentRun, observation: Observation): Promise<void> {
  const { service, board, request } = run;
  try {
    await fanOut(unfitMarksOf(request.artifact.sha256, observation), lanes, ({ server, release }) =>
      step.markFit.executeWithOptions({ summary: `${release} on ${server}` }, [
        { service, server, release, token: run.token() },
      ]),
    );
  } catch (error) {
    const { failure, message } = complaintOf(error);
    if (failure === 'Cancelled') throw error;
    board.note(`A mark of unfitness could not be taken back: ${message}`);
  }
}
