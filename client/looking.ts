import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { workflowIdOf } from '../domain/names.js';
import { describeDuration } from '../configuration/quantities.js';
import { Refusal } from './refusal.js';
import type { Session } from './session.js';
import { noticeWithoutWorker } from './starting.js';

/** A workflow that only looks: it takes no lock and leaves nothing behind. */
export interface Look {
  /** What is wanted, for the refusal: `look at`, `plan`. */
  readonly action: string;
  readonly workflowType: string;
  readonly input: unknown;
  readonly timeoutMs: number;
}

const lookEveryMs = 300;

/** Runs it and waits for what it saw. Gives up with the reason that kept it from an answer. */
export async function lookWith<Seen>(session: Session, look: Look): Promise<Seen> {
  const { temporal, service } = session;
  await noticeWithoutWorker(session);
  const handle = await temporal.call(() =>
    temporal.client.workflow.start(look.workflowType, {
      workflowId: `${workflowIdOf(service.id)}/${look.workflowType}/${randomUUID().slice(0, 8)}`,
      taskQueue: temporal.taskQueue,
      args: [look.input],
      // Nobody waits longer, but who gives up first tells why.
      workflowExecutionTimeout: look.timeoutMs + 60_000,
      staticSummary: `${look.action} ${service.id}: changes nothing`,
    }),
  );
  const giveUpAtMs = Date.now() + look.timeoutMs;
  while (await isOpen(session, handle)) {
    if (Date.now() > giveUpAtMs) throw await gaveUp(session, handle, look);
    await sleep(lookEveryMs);
  }
  try {
    return (await temporal.call(() => handle.result() as Promise<unknown>)) as Seen;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    throw new Refusal(deepestMessage(error), { cause: error });
  }
}

async function isOpen({ temporal }: Session, handle: WorkflowHandle): Promise<boolean> {
  return (await temporal.call(() => handle.describe())).status.name === 'RUNNING';
}

async function gaveUp({ temporal, service }: Session, handle: WorkflowHandle, look: Look): Promise<Refusal> {
  const { raw } = await temporal.call(() => handle.describe());
  const why = raw.pendingActivities?.map(({ lastFailure }) => lastFailure?.message).find(Boolean);
  await temporal.call(() => handle.cancel());
  const waited = `no answer came within ${describeDuration(look.timeoutMs)}`;
  return new Refusal(
    `Cannot ${look.action} "${service.id}": ${waited}${why ? `\n  last: ${why}` : `, needs a worker on task queue "${temporal.taskQueue}"\n  start one: verdigris worker`}`,
  );
}

/** Temporal wraps what an activity said into what it did; the words for people are at the bottom. */
function deepestMessage(error: Error): string {
  return error.cause instanceof Error ? deepestMessage(error.cause) : error.message;
}
