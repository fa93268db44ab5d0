import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure, type UpdateDefinition } from '@temporalio/common';
import type { Message } from '../domain/deployment.js';
import { isMeant, shortId, workflowIdOf } from '../domain/names.js';
import { verbOf, type MessageName } from '../domain/phase.js';
import { updates, type Answer, type MessageInput } from '../workflows/messages.js';
import { Refusal } from './refusal.js';
import { kindOf } from './report.js';
import { lookAt, type OpenRun } from './service-run.js';
import type { Session } from './session.js';
import { TemporalSilent } from './temporal.js';
import { ago, describeDuration } from './words.js';

/** The open run that a message is for. Refuses where there is none, or another than was meant. */
export async function openRun(
  { temporal, service, command }: Session,
  action: string,
  meant: string | undefined,
): Promise<OpenRun> {
  const run = await lookAt(temporal, service.id);
  if (!run)
    throw new Refusal(
      `Cannot ${action} "${service.id}": it has never been deployed, needs an open deployment\n  begin: ${command('check')}`,
    );
  if (run.kind === 'ended') {
    throw new Refusal(
      `Cannot ${action} "${service.id}": no deployment is open (the last run, a ${kindOf(run)}, ended ${ago(run.endedAtMs, Date.now())}), needs one\n  how it ended: ${command('status')}`,
    );
  }
  if (meant !== undefined && !isMeant(run.id, meant)) {
    throw new Refusal(
      `Cannot ${action} "${service.id}": deployment ${shortId(run.id)} is open, needs ${meant} as --deployment says\n  look: ${command('status')}`,
    );
  }
  return run;
}

/** An answer takes a second; a worker that is just taking the run up takes longer. */
export const answerMs = 15_000;

/** Sends a message that is checked and answered. The same `updateId` again is the same message. */
export async function send(
  session: Session,
  run: OpenRun,
  name: MessageName,
  message: Message,
  updateId?: string,
): Promise<Answer> {
  const { temporal, service } = session;
  const handle = temporal.client.workflow.getHandle(workflowIdOf(service.id), run.id);
  return answered(session, name, () =>
    temporal.call(
      () =>
        handle.executeUpdate(withInput(name), {
          args: [{ ...message, deployment: run.id }],
          ...(updateId === undefined ? {} : { updateId }),
        }),
      answerMs,
    ),
  );
}

/** The update, sent with its input: the client's types know no optional one. */
export const withInput = (name: MessageName) => updates[name] as UpdateDefinition<Answer, [MessageInput]>;

/**
 * Asks until the run has heard it, and puts a refusal by the run, and silence of all workers, in words.
 * `ask` is made anew each time.
 */
export async function answered(
  session: Session,
  name: MessageName,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  const giveUpAtMs = Date.now() + answerMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isUnheard(error)) throw inWords(session, name, error);
      if (Date.now() > giveUpAtMs) throw noWorker(session, name, error);
      await sleep(askAgainMs);
    }
  }
}

/**
 * A worker that has just come, or is just going, may hand a run back without having looked at its updates. The
 * server then rejects them, and nothing of them is kept: they can be sent again.
 */
const isUnheard = (error: unknown): boolean =>
  error instanceof WorkflowUpdateFailedError &&
  error.cause instanceof ApplicationFailure &&
  error.cause.type === 'UnprocessedUpdate';

const askAgainMs = 300;

function inWords(session: Session, name: MessageName, error: unknown): unknown {
  if (error instanceof WorkflowUpdateFailedError) {
    const why = error.cause?.message ?? error.message;
    const next = why.includes('verdigris ') ? '' : `\n  look: ${session.command('status')}`;
    return new MessageRefused(`${why}${next}`, { cause: error });
  }
  return error instanceof TemporalSilent ? noWorker(session, name, error) : error;
}

const noWorker = ({ service, temporal, command }: Session, name: MessageName, cause: unknown): NoWorker =>
  new NoWorker(
    `Cannot ${verbOf(name)} "${service.id}": no worker on task queue "${temporal.taskQueue}" answered within ${describeDuration(answerMs)}, needs one that is alive\n  start one: verdigris worker; it may hear this yet: ${command('status')}`,
    { cause },
  );

/** The run heard the message and said no. */
export class MessageRefused extends Refusal {}

/** No worker answered; what was sent may be heard yet. */
export class NoWorker extends Refusal {}
