import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import type { Status } from '../domain/deployment.js';
import type { Complaint } from '../domain/failures.js';
import { DeploymentId, workflowIdOf, type ServiceId } from '../domain/names.js';
import { acceptedIn } from '../domain/phase.js';
import { serversOf, type Service } from '../domain/service.js';
import { memoOf } from '../domain/status-memo.js';
import { asUnsettled, describeTakeOver } from '../domain/take-over.js';
import { emptyTally } from '../domain/traffic.js';
import { searchAttributeNames } from '../workflows/messages.js';
import { Refusal } from './refusal.js';
import { heldReport } from './report.js';
import { lookAt, unsettled } from './service-run.js';
import type { Session } from './session.js';

/** A run to be started under the service's workflow id, which is the lock. */
export interface RunToStart {
  /** What is wanted, for the refusal: `deploy`, `adopt`, ... */
  readonly action: string;
  readonly workflowType: string;
  readonly kind: Status['kind'];
  readonly request: {
    readonly service: Service;
    readonly requestedBy: string;
    readonly searchAttributes: boolean;
  };
  /** One line for lists of the Temporal UI. */
  readonly summary: string;
  /** Markdown for the run's page. */
  readonly details: string;
}

/** Starts a run, or refuses with who holds the service, since when and how to follow it. */
export async function startRun(session: Session, run: RunToStart): Promise<DeploymentId> {
  const { temporal } = session;
  try {
    const handle = await temporal.call(() =>
      temporal.client.workflow.start(run.workflowType, {
        ...startOptions(session, run),
        workflowIdConflictPolicy: 'FAIL',
      }),
    );
    return DeploymentId(handle.firstExecutionRunId);
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new Refusal(await whyHeld(session, run.action), { cause: error });
  }
}

/** What `start` and its relatives need to know of a run. */
export const startOptions = ({ temporal, service }: Session, run: RunToStart) => ({
  workflowId: workflowIdOf(service.id),
  taskQueue: temporal.taskQueue,
  args: [run.request],
  workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const,
  memo: memoOf(firstStatus(run, temporal.taskQueue)),
  staticSummary: run.summary,
  staticDetails: run.details,
  ...(run.request.searchAttributes
    ? {
        typedSearchAttributes: new TypedSearchAttributes([
          { key: defineSearchAttributeKey(searchAttributeNames.service, 'KEYWORD'), value: service.id },
        ]),
      }
    : {}),
});

/** What is known before any worker has taken the run up. */
function firstStatus(
  { kind, request: { service, requestedBy } }: RunToStart,
  taskQueue: string,
): Omit<Status, 'deployment'> {
  return {
    service: service.id,
    kind,
    requestedBy,
    stage: 'inspect',
    phase: 'inspect',
    since: Date.now(),
    live: 'unknown',
    idle: 'unknown',
    servers: serversOf(service).map(({ name, color }) => ({ server: name, color, state: 'not looked at' })),
    awaits: `a worker on task queue "${taskQueue}"`,
    accepts: acceptedIn('inspect', kind),
    next: 'a worker takes it up and looks at load balancer and servers; nothing is changed',
    notes: [],
    tally: emptyTally,
  };
}

async function whyHeld({ temporal, service, pointers }: Session, action: string): Promise<string> {
  const run = await lookAt(temporal, service.id);
  if (run?.kind === 'open') return heldReport(action, run, pointers(run.id), Date.now());
  return `Cannot ${action} "${service.id}": a run was open a moment ago, and has ended since\n  try again`;
}

/** After a take-over nothing but `repair` is accepted: nobody knows what the person left behind. */
export async function refuseUnsettled(session: Session, action: string): Promise<void> {
  const [left] = await complaintsUnsettled(session, action);
  if (left) throw new Refusal(left.message);
}

/** The take-over that nobody has settled yet, as what stands in the way; empty where there is none. */
export async function complaintsUnsettled(
  { temporal, service, command }: Session,
  action: string,
): Promise<readonly Complaint[]> {
  const run = await unsettled(temporal, service.id);
  if (run?.end.kind !== 'taken over') return [];
  const left = describeTakeOver(run.id, run.end.takenOver);
  return [asUnsettled(action, service.id, left, command('repair'))];
}

/** Says so when nobody would take a run up; following it goes on all the same. */
export async function noticeWithoutWorker({ temporal, output }: Session): Promise<void> {
  if ((await temporal.hasWorker()) === false) {
    output.notice(
      `No worker asks for work on task queue "${temporal.taskQueue}": the run starts once one does (verdigris worker)`,
    );
  }
}

export const runSummary = (action: string, service: ServiceId, what = ''): string =>
  // The server takes 400 bytes.
  [action, service, what].filter(Boolean).join(' ').slice(0, 200);
