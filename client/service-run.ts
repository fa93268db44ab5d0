import {
  WorkflowFailedError,
  WorkflowNotFoundError,
  type WorkflowExecutionDescription,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { exitCodes, type Outcome, type Status, type TakenOver } from '../domain/deployment.js';
import type { Color } from '../domain/color.js';
import type { Complaint } from '../domain/failures.js';
import type { LeftBehind } from '../domain/fleet.js';
import { DeploymentId, workflowIdOf, type ServiceId } from '../domain/names.js';
import { statusQuery, workflowTypes } from '../workflows/messages.js';
import { statusFrom } from '../domain/status-memo.js';
import type { Temporal } from './temporal.js';

/** A run of a service's workflow: a deployment, a rollback, an adoption or a repair. */
export type ServiceRun = OpenRun | EndedRun;

interface RunFacts {
  readonly id: DeploymentId;
  /** Which workflow: one of `workflowTypes`. */
  readonly type: string;
  readonly startedAtMs: number;
  /** As a worker or, where none answers, the memo tells it; missing where no worker ever took the run up. */
  readonly status?: Status;
}

export interface OpenRun extends RunFacts {
  readonly kind: 'open';
  readonly told: 'by a worker' | 'by the memo';
}

export interface EndedRun extends RunFacts {
  readonly kind: 'ended';
  readonly endedAtMs: number;
  readonly end: End;
}

/** How a run ended. */
export type End =
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  | {
      readonly kind: 'adopted';
      readonly releases: Readonly<Record<string, string>>;
      readonly notAdopted: readonly LeftBehind[];
    }
  | { readonly kind: 'repaired'; readonly live: Color }
  | {
      readonly kind: 'converged';
      readonly release: string;
      readonly broughtBack: readonly string[];
      readonly leftBehind: readonly LeftBehind[];
    }
  | { readonly kind: 'taken over'; readonly takenOver: TakenOver }
  /** Nobody meant it to end like this. */
  | { readonly kind: 'broken'; readonly how: string };

/** A look takes milliseconds when Temporal, and a query when a worker is alive. */
const lookMs = 5_000;

/** Looks at the last run of a service, or at the one named. `undefined` where there never was one. */
export async function lookAt(
  temporal: Temporal,
  service: ServiceId,
  runId?: string,
): Promise<ServiceRun | undefined> {
  const handle = temporal.client.workflow.getHandle(workflowIdOf(service), runId);
  const description = await temporal.call(() => handle.describe(), lookMs).catch(absent);
  if (!description) return undefined;
  const id = DeploymentId(description.runId);
  const remembered = statusFrom(description.memo ?? {}, id);
  const facts = { id, type: description.type, startedAtMs: description.startTime.getTime() };
  if (description.status.name === 'RUNNING' || description.status.name === 'PAUSED') {
    const told = await askWorker(temporal, service, id);
    const status = told ?? remembered;
    return {
      ...facts,
      kind: 'open',
      told: told ? 'by a worker' : 'by the memo',
      ...(status ? { status } : {}),
    };
  }
  return {
    ...facts,
    kind: 'ended',
    endedAtMs: (description.closeTime ?? description.startTime).getTime(),
    end: await endOf(temporal, service, description),
    ...(remembered ? { status: remembered } : {}),
  };
}

function absent(error: unknown): undefined {
  if (error instanceof WorkflowNotFoundError) return undefined;
  throw error;
}

async function askWorker(
  temporal: Temporal,
  service: ServiceId,
  id: DeploymentId,
): Promise<Status | undefined> {
  const handle = temporal.client.workflow.getHandle(workflowIdOf(service), id);
  try {
    return await temporal.call(() => handle.query(statusQuery), lookMs);
  } catch (error) {
    // The run is open, as was just seen: whatever keeps a worker from answering, the memo tells more.
    if (error instanceof TypeError) throw error;
    return undefined;
  }
}

async function endOf(
  temporal: Temporal,
  service: ServiceId,
  { runId, type, status }: WorkflowExecutionDescription,
): Promise<End> {
  if (status.name !== 'COMPLETED' && status.name !== 'FAILED') {
    return { kind: 'broken', how: `its workflow was ${status.name.toLowerCase().replace('_', ' ')}` };
  }
  const handle = temporal.client.workflow.getHandle(workflowIdOf(service), runId, { followRuns: false });
  try {
    return endIn(await temporal.call(() => handle.result() as Promise<unknown>), type);
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return (
      takenOverIn(error) ?? { kind: 'broken', how: `its workflow failed: ${messageOf(error.cause ?? error)}` }
    );
  }
}

/** What the workflows of our own types return. */
type Result =
  | Outcome
  | Extract<End, { kind: 'adopted' | 'repaired' | 'converged' }>
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] };

function endIn(result: unknown, type: string): End {
  const known: readonly string[] = Object.values(workflowTypes);
  if (!known.includes(type) || typeof result !== 'object' || result === null || !('kind' in result)) {
    return { kind: 'broken', how: `it is a workflow of another kind ("${type}")` };
  }
  const ours = result as Result;
  return ours.kind === 'adopted' || ours.kind === 'repaired' || ours.kind === 'converged'
    ? ours
    : { kind: 'outcome', outcome: ours };
}

function takenOverIn({ cause }: WorkflowFailedError): End | undefined {
  if (!(cause instanceof ApplicationFailure) || cause.type !== 'TakenOver') return undefined;
  const [takenOver] = (cause.details ?? []) as readonly TakenOver[];
  return {
    kind: 'taken over',
    takenOver: takenOver ?? { by: 'somebody', reason: cause.message, undone: [] },
  };
}

/**
 * The run that was taken over and not repaired since, if there is one. A repair or rollback that was
 * refused in between has settled nothing, so it is looked past.
 */
export async function unsettled(temporal: Temporal, service: ServiceId): Promise<EndedRun | undefined> {
  const last = await lookAt(temporal, service);
  if (last?.kind !== 'ended' || !settlesNothing(last)) return takenOver(last);
  const query = `WorkflowId = "${workflowIdOf(service)}"`;
  const ids = await temporal.call(async () => {
    const found: { readonly runId: string; readonly startedAtMs: number }[] = [];
    for await (const { runId, startTime } of temporal.client.workflow.list({ query, pageSize: 50 })) {
      found.push({ runId, startedAtMs: startTime.getTime() });
      if (found.length === 50) break;
    }
    return found.sort((a, b) => b.startedAtMs - a.startedAtMs);
  });
  for (const { runId } of ids) {
    const run = await lookAt(temporal, service, runId);
    if (run?.kind === 'ended' && !settlesNothing(run)) return takenOver(run);
  }
  return undefined;
}

const settlesNothing = ({ end }: EndedRun): boolean =>
  end.kind === 'outcome' && end.outcome.kind === 'refused';

const takenOver = (run: ServiceRun | undefined): EndedRun | undefined =>
  run?.kind === 'ended' && run.end.kind === 'taken over' ? run : undefined;

/** The exit code of a command that waited for this end. */
export function exitCodeOf(end: End): number {
  switch (end.kind) {
    case 'outcome':
      return exitCodes[end.outcome.kind];
    case 'repaired':
      return 0;
    case 'adopted':
      return end.notAdopted.length === 0 ? 0 : exitCodes['rolled back'];
    case 'converged':
      return end.leftBehind.length === 0 ? 0 : exitCodes['rolled back'];
    case 'taken over':
      return exitCodes['taken over'];
    case 'broken':
      return 1;
    default:
      return end satisfies never;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
