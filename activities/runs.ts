import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Release, TakenOver } from '../domain/deployment.js';
import { inOneLine } from '../domain/failures.js';
import { shortId, type ReleaseId } from '../domain/names.js';
import { describeTakeOver } from '../domain/take-over.js';
import { patiently } from './patience.js';

export const createRunActivities = () => ({
  /**
   * Tells who took an earlier deployment of this service over, when nobody has repaired what was left since then.
   * @returns what was taken over, as people read it, or an empty text when there is nothing to settle.
   */
  async unsettledTakeOver(input: { readonly workflowId: string }): Promise<string> {
    return patiently(async ({ signal }) => {
      const { client } = Context.current();
      // Visibility lists the newest run first; SQL visibility refuses an ORDER BY.
      const runs = client.workflow.list({
        query: `WorkflowId = "${input.workflowId}" AND ExecutionStatus != "Running"`,
        pageSize: 20,
      });
      for await (const run of runs) {
        signal.throwIfAborted();
        const handle = client.workflow.getHandle(run.workflowId, run.runId);
        if (run.status.name === 'FAILED') {
          return await handle.result().then(
            () => '',
            (error: unknown) => whyFailed(run.runId, error),
          );
        }
        if (run.status.name !== 'COMPLETED' || settlesNothing.has(run.type)) continue;
        const ended = (await handle.result()) as Ended;
        if (ended.kind !== 'refused') return '';
      }
      return '';
    });
  },

  /** The release as the last deployment that promoted it has known it; nothing where Temporal remembers none. */
  async lastPromoted(input: {
    readonly workflowId: string;
    readonly release: ReleaseId;
  }): Promise<Release | undefined> {
    return patiently(async ({ signal }) => {
      const { client } = Context.current();
      const runs = client.workflow.list({
        query: `WorkflowId = "${input.workflowId}" AND ExecutionStatus = "Completed"`,
        pageSize: 20,
      });
      for await (const run of runs) {
        signal.throwIfAborted();
        const ended = (await client.workflow.getHandle(run.workflowId, run.runId).result()) as Ended;
        if (ended.kind === 'promoted' && ended.release?.id === input.release) return ended.release;
      }
      return undefined;
    });
  },

  /** Tells when the last run of this service rolled it back, and to which environment; nothing when it did not. */
  async lastRollback(input: { readonly workflowId: string }): Promise<RolledBack | undefined> {
    return patiently(async () => {
      const { client } = Context.current();
      const runs = client.workflow.list({
        query: `WorkflowId = "${input.workflowId}" AND ExecutionStatus = "Completed"`,
        pageSize: 20,
      });
      for await (const run of runs) {
        const ended = (await client.workflow.getHandle(run.workflowId, run.runId).result()) as Ended;
        if (ended.kind === 'refused' || run.type === 'adopt' || run.type === 'converge') continue;
        if (ended.kind !== 'rolled back' || run.type !== 'rollback') return undefined;
        return { at: (run.closeTime ?? run.startTime).toISOString(), live: ended.live ?? 'unknown' };
      }
      return undefined;
    });
  },
});

export interface RolledBack {
  readonly at: string;
  readonly live: string;
}

/** What a run came to. A repair that was done, or a deployment that was let begin, shows that all is settled; a refusal shows nothing. */
interface Ended {
  readonly kind: string;
  readonly live?: string;
  readonly release?: Release;
}

/** Workflows under the same id that settle nothing, whatever they come to. */
const settlesNothing: ReadonlySet<string> = new Set(['rollback', 'adopt', 'converge']);

/** Only a take-over ends a run as a failure; whatever else did leaves as much behind. */
function whyFailed(runId: string, error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof ApplicationFailure)) throw error;
  const [takenOver] = (cause.details ?? []) as readonly TakenOver[];
  return cause.type === 'TakenOver' && takenOver
    ? describeTakeOver(runId, takenOver)
    : `run ${shortId(runId)} has failed (${inOneLine(cause.message)}), needs to be settled first`;
}
