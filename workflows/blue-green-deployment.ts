import { CancellationScope } from '@temporalio/workflow';
import type { DeploymentRequest, Outcome } from '../domain/deployment.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import type { Plan } from '../domain/plan.js';
import { complaintOf } from './complaint.js';
import { DeploymentRun, Refused, Rejected } from './deployment-run.js';
import { activate } from './phases/activate.js';
import { approve } from './phases/approve.js';
import { bake } from './phases/bake.js';
import { fetch } from './phases/fetch.js';
import { inspect } from './phases/inspect.js';
import { install } from './phases/install.js';
import { retire } from './phases/retire.js';
import { switchTraffic } from './phases/switch.js';
import { verify } from './phases/verify.js';
import { liftMarks } from './unfit-marks.js';
import { askedFor } from './run.js';
import { takeBack } from './way-back.js';

/**
 * Releases a C program blue-green without dropping a request.
 *
 * The release is put on the environment that is idle, proves itself there, is approved by a person, gets the traffic, and is
 * watched under it. What happens in `deploy` can be undone until it returns: each step says how before it is taken. Whatever
 * goes wrong, or is asked for, the traffic goes back first and the rest after it.
 */
export async function blueGreenDeployment(request: DeploymentRequest): Promise<Outcome> {
  const run = new DeploymentRun(request);
  try {
    return await promote(run, await run.forward(() => deploy(run)));
  } catch (error) {
    return await CancellationScope.nonCancellable(() => endBadly(run, error));
  }
}

async function deploy(run: DeploymentRun): Promise<Plan> {
  const observation = await inspect(run);
  const plan = await fetch(run, observation);
  await run.traffic.next('before the switch');
  await install(run, plan, observation);
  await activate(run, plan);
  await verify(run, plan);
  const objects = await approve(run, plan);
  await switchTraffic(run, plan, objects);
  await bake(run, plan);
  await retire(run, plan, observation);
  await liftMarks(run, observation);
  await run.traffic.stop();
  return plan;
}

function promote(run: DeploymentRun, { release, idle }: Plan): Promise<Outcome> {
  const { notes } = run.board.status;
  const { leftBehind } = run.fleet;
  return conclude(run, {
    kind: 'promoted',
    release,
    live: idle,
    leftBehind,
    notes,
    tally: run.traffic.tally,
  });
}

/** Everything that is not a promotion ends here. A take-over, and nothing else, leaves as a failure. */
async function endBadly(run: DeploymentRun, error: unknown): Promise<Outcome> {
  try {
    return await outcomeOf(run, error);
  } finally {
    await run.traffic.stop();
  }
}

async function outcomeOf(run: DeploymentRun, error: unknown): Promise<Outcome> {
  const { phase } = run.board.status;
  if (error instanceof Refused) return conclude(run, { kind: 'refused', complaints: error.complaints });
  const because = reasonOf(run, error);
  if (because.failure === 'TakenOver') throw error;
  const untouched = phase === 'inspect' || phase === 'fetch';
  if (untouched && !run.rollback && because.failure !== 'Cancelled') {
    return conclude(run, { kind: 'refused', complaints: [because] });
  }
  await takeBack(run, because);
  const { live, notes } = run.board.status;
  const ending = { live: live === 'unknown' ? 'nothing' : live, notes, tally: run.traffic.tally } as const;
  return error instanceof Rejected
    ? conclude(run, { kind: 'rejected', by: error.said.by, reason: error.said.reason, ...ending })
    : conclude(run, { kind: 'rolled back', during: phase, because, ...ending });
}

function reasonOf(run: DeploymentRun, error: unknown): Complaint {
  if (error instanceof Rejected) return asComplaint('RollbackAsked', `Rejected by ${error.said.by}`);
  const complaint = complaintOf(error);
  if (run.rollback && complaint.failure !== 'TakenOver') {
    return asComplaint('RollbackAsked', askedFor(run.rollback));
  }
  return complaint;
}

async function conclude(run: DeploymentRun, outcome: Outcome): Promise<Outcome> {
  await run.end({
    outcome,
    ...(outcome.kind === 'refused' ? {} : { live: outcome.live, tally: outcome.tally }),
  });
  return outcome;
}
