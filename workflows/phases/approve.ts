import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { Complaint } from '../../domain/failures.js';
import type { Plan } from '../../domain/plan.js';
import { complaintOf } from '../complaint.js';
import { confirmForSwitch, confirmPlan, expectedColor } from '../confirmation.js';
import { Rejected, type DeploymentRun } from '../deployment-run.js';
import type { Said } from '../inbox.js';
import { asFailure } from '../complaint.js';
import { watch } from '../patience.js';
import { letTestersIn } from '../testers.js';
import { verifyAgain } from './verify.js';

/**
 * Waits for a person. What they approve is verified once more before it gets the traffic.
 * Gives every object of the load balancer as it is just before the switch.
 */
export async function approve(run: DeploymentRun, plan: Plan): Promise<Plan['objects']> {
  const { board } = run;
  await letTestersIn(run, plan);
  for (;;) {
    const said = await answer(run, plan);
    if (said.kind === 'rejected') throw new Rejected(said);
    board.note(`Approved by ${said.by}${said.reason ? `: ${said.reason}` : ''}`);
    board.enter('approve', nextAfter.approved);
    const evidence = await verifyAgain(run, plan);
    if (evidence.hash === board.status.evidence?.hash) return confirmForSwitch(run, plan);
    board.tell({ evidence });
    board.note(
      `What ${said.by} approved was started again, or names itself differently, since: it has to be approved once more`,
    );
  }
}

const nextAfter = {
  approved: 'approved; every server is verified once more, then the traffic is switched',
  rejected: 'rejected; what was installed is taken back',
} as const;

const inHours = (ms: number): string =>
  ms < 3_600_000 ? `${Math.ceil(ms / 60_000)} min` : `${+(ms / 3_600_000).toFixed(1)} h`;

type Answered = Pick<Said, 'by' | 'reason'> & { readonly kind: keyof typeof nextAfter };

async function answer(run: DeploymentRun, plan: Plan): Promise<Answered> {
  const { board, inbox, service } = run;
  const { timeoutMs, onTimeout } = service.approve;
  let answered: Answered | undefined;
  const hear = (said: Said, kind: Answered['kind']) => {
    answered = { ...said, kind };
    board.awaitNothing(nextAfter[kind]); // the first answer stands: another one is refused from now on
  };
  inbox.on('approve', (said) => hear(said, 'approved'));
  inbox.on('reject', (said) => hear(said, 'rejected'));
  const deadline = Date.now() + timeoutMs;
  const keepWaiting = onTimeout === 'keep waiting';
  for (;;) {
    board.enter(
      'approve',
      keepWaiting
        ? 'it waits as long as it takes'
        : `without an answer it is rejected, and everything put back`,
      { what: 'an approval: approve or reject', ...(keepWaiting ? {} : { deadline }) },
    );
    const trouble = await untilAnswered(
      run,
      plan,
      () => answered !== undefined,
      keepWaiting ? undefined : deadline,
    );
    if (trouble?.failure === 'TrafficMoved') {
      await run.askPerson(trouble);
      await confirmPlan(run, plan, 'live');
      continue;
    }
    if (trouble) throw asFailure(trouble);
    return (
      answered ?? {
        kind: 'rejected',
        by: 'time',
        reason: `nobody approved within ${inHours(timeoutMs)}`,
      }
    );
  }
}

/** Waits for the answer or the deadline, watching the load balancer meanwhile; gives what was found wrong there. */
async function untilAnswered(
  run: DeploymentRun,
  plan: Plan,
  answered: () => boolean,
  deadline: number | undefined,
): Promise<Complaint | undefined> {
  const { service } = run;
  let trouble: Complaint | undefined;
  const scope = new CancellationScope();
  const watching = scope.run(() =>
    watch.watchLoadBalancer.executeWithOptions({ summary: 'is the load balancer still as planned' }, [
      {
        service,
        plan: { objects: plan.objects },
        live: expectedColor(plan, 'live'),
        everyMs: service.approve.watchEveryMs,
      },
    ]),
  );
  const ended = watching.catch((error: unknown) => {
    // Once it is ended, a watch whose worker was lost meanwhile fails and says nothing.
    if (!isCancellation(error) && !scope.consideredCancelled) trouble = complaintOf(error);
  });
  try {
    const done = () => answered() || trouble !== undefined;
    await (deadline === undefined
      ? condition(done)
      : condition(done, Math.max(1, deadline - Date.now()), { summary: 'an approval' }));
  } finally {
    scope.cancel();
    await CancellationScope.nonCancellable(() => ended);
  }
  return trouble;
}
