import { Context, activityInfo } from '@temporalio/activity';
import { queue, type QueueInput, type TurnRequest, type Turns } from '../domain/turns.js';
import { patiently, pause } from './patience.js';

export const createTurnActivities = () => ({
  /**
   * Asks for a turn at a load balancer, for the run that this is a step of. The queue answers by signal. May be repeated.
   * @returns where it is asked again, the task queue whose workers carry the queue: who opened it first has chosen that.
   */
  async askForTurn(input: {
    readonly loadBalancer: string;
    readonly request: Pick<TurnRequest, 'id' | 'service' | 'purpose'>;
    readonly isAgain?: true;
  }): Promise<string | undefined> {
    const { loadBalancer, request, isAgain } = input;
    return patiently(async () => {
      const { workflowExecution, taskQueue } = activityInfo();
      if (!workflowExecution) throw new TypeError('Cannot ask for a turn: this is no step of a run');
      const asking: TurnRequest = { ...request, ...workflowExecution };
      const handle = await Context.current().client.workflow.signalWithStart(queue.workflowType, {
        workflowId: queue.workflowId(loadBalancer),
        taskQueue,
        staticSummary: `Who publishes changes of ${loadBalancer}, and who waits`,
        args: [{ loadBalancer } satisfies QueueInput],
        signal: queue.ask,
        signalArgs: [asking],
      });
      return isAgain ? (await handle.describe()).taskQueue : undefined;
    });
  },

  /** Returns once a run is closed, however it ended. */
  async awaitEndOfRun(input: { readonly workflowId: string; readonly runId: string }): Promise<void> {
    return patiently(async ({ progress }) => {
      for (;;) {
        if (!(await isOpen(input.workflowId, input.runId))) return;
        progress(`${input.workflowId} is open`);
        await pause(1_000);
      }
    });
  },
});

/** Whether somebody else may be about to publish what is stored: nobody has a turn, this run or another one has, or who knows. */
export type QueueState =
  | {
      readonly kind: 'quiet';
      /** Another one once somebody has had a turn. */
      readonly mark: string;
    }
  | { readonly kind: 'ours' | 'others' | 'unknown' };

export async function queueState(loadBalancer: string): Promise<QueueState> {
  const { workflow } = Context.current().client;
  const workflowId = queue.workflowId(loadBalancer);
  try {
    const { status, runId } = await workflow.getHandle(workflowId).describe();
    if (status.name !== 'RUNNING') return { kind: 'quiet', mark: runId };
    const { holder } = await workflow.getHandle(workflowId, runId).query<Turns>(queue.turns);
    const isOurs = holder?.workflowId === activityInfo().workflowExecution?.workflowId;
    return { kind: isOurs ? 'ours' : 'others' };
  } catch (error) {
    return isNotFound(error) ? { kind: 'quiet', mark: 'never open' } : { kind: 'unknown' };
  }
}

async function isOpen(workflowId: string, runId: string): Promise<boolean> {
  try {
    const { status } = await Context.current().client.workflow.getHandle(workflowId, runId).describe();
    return status.name === 'RUNNING';
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

// The client's own class is out of reach here: activities are given a client, and make none.
const isNotFound = (error: unknown): boolean =>
  error instanceof Error && error.name === 'WorkflowNotFoundError';
