import { WithStartWorkflowOperation } from '@temporalio/client';
import type { Command } from 'commander';
import type { Message } from '../../domain/deployment.js';
import { DeploymentId, shortId } from '../../domain/names.js';
import { signals, workflowTypes, type RollbackRequest } from '../../workflows/messages.js';
import { Refusal } from '../refusal.js';
import { answerMs, answered, MessageRefused, NoWorker, openRun, withInput } from '../sending.js';
import { kindOf } from '../report.js';
import { exitCodeOf, lookAt, type End } from '../service-run.js';
import { commandWith, inSession, whereabouts, type ServiceOptions, type Session } from '../session.js';
import { refuseUnsettled, runSummary, startOptions, type RunToStart } from '../starting.js';
import { TemporalUnreachable } from '../temporal.js';
import { waitFor } from '../waiting.js';
import { messageOf } from './message.js';
import {
  byOption,
  deploymentOption,
  durationArgument,
  jsonOption,
  reasonOption,
  requireFollowed,
  teach,
  whoAsks,
  withService,
} from './options.js';

interface RollbackOptions extends ServiceOptions {
  readonly deployment?: string;
  readonly force?: boolean;
  readonly by?: string;
  readonly reason?: string;
  readonly wait: boolean;
  readonly timeout?: number;
}

export function define(command: Command): void {
  command
    .description(
      'Goes back, in every situation: an open deployment is undone, a finished one is switched back.',
    )
    .option('--force', 'go back although nothing proves that the old environment is better')
    .addOption(deploymentOption())
    .addOption(byOption())
    .addOption(reasonOption())
    .option('--no-wait', 'do not follow it')
    .option('--timeout <duration>', 'stop following after this long (exit 21)', durationArgument)
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris rollback --reason "checkout fails since 14:02"',
    'Traffic goes back first, is read back and proved at the public address; then the rest is undone. Old and new are probed just before: where the old is not able to serve, nothing moves and a person decides. Exit code 0: it is back.',
  );
}

export async function run(options: RollbackOptions): Promise<number> {
  requireFollowed(options.timeout, options.wait, '--no-wait to be left out');
  return goBack(options).catch((error: unknown) => {
    if (!(error instanceof TemporalUnreachable)) throw error;
    throw new Refusal(
      `${error.message}\n  to move the traffic meanwhile: ${commandWith(whereabouts(options))('switch blue --without-temporal')} (or green)`,
      { cause: error },
    );
  });
}

const goBack = (options: RollbackOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { output } = session;
    if (options.deployment !== undefined) await openRun(session, 'roll back', options.deployment);
    await refuseUnsettled(session, 'roll back');
    const { id, next } = await askForRollback(session, options);
    output.say([
      `Rollback of ${session.service.id} (${shortId(id)}): ${next}`,
      ...(options.reason === undefined ? [] : [`  reason: ${options.reason}`]),
    ]);
    if (!options.wait) {
      output.document({ service: session.service.id, deployment: id, next });
      return 0;
    }
    output.documentLine({ event: 'started', service: session.service.id, deployment: id, next });
    return waitFor(session, id, {
      exitCode: exitCodeOfRollback,
      ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    });
  });

/** Being back is what was asked for, whoever got there first. */
const exitCodeOfRollback = (end: End): number =>
  end.kind === 'outcome' && (end.outcome.kind === 'rolled back' || end.outcome.kind === 'rejected')
    ? 0
    : end.kind === 'outcome' && end.outcome.kind === 'promoted'
      ? 2
      : exitCodeOf(end);

interface Asked {
  readonly id: DeploymentId;
  readonly next: string;
}

/** One call in every situation: it reaches the open run, or starts the one that goes back. */
async function askForRollback(session: Session, options: RollbackOptions): Promise<Asked> {
  const { temporal } = session;
  const run = await rollbackRun(session, options);
  const message: Message = {
    ...messageOf(options),
    ...(options.force === true ? { force: true } : {}),
    ...(options.deployment === undefined ? {} : { deployment: options.deployment }),
  };
  try {
    const { deployment, next } = await answered(session, 'rollback', () => {
      const operation = new WithStartWorkflowOperation(run.workflowType, {
        ...startOptions(session, run),
        workflowIdConflictPolicy: 'USE_EXISTING',
      });
      // What keeps it from a handle keeps the update from an answer too, and is told there.
      operation.workflowHandle().catch(() => undefined);
      const request = { args: [message] as [Message], startWorkflowOperation: operation };
      return temporal.call(
        () => temporal.client.workflow.executeUpdateWithStart(withInput('rollback'), request),
        answerMs,
      );
    });
    const id = DeploymentId(deployment);
    return { id, next: (await whatMoves(session, id)) ?? next };
  } catch (error) {
    if (error instanceof NoWorker) return leaveWord(session, run, message);
    const already = error instanceof MessageRefused ? await rollingBack(session) : undefined;
    if (already) return already;
    throw error;
  }
}

/** With no deployment to undo there is only traffic to move, and the run's answer is worded for both. */
async function whatMoves({ temporal, service }: Session, id: DeploymentId): Promise<string | undefined> {
  try {
    const run = await lookAt(temporal, service.id, id);
    return run && kindOf(run) === 'rollback' ? onlyTraffic : undefined;
  } catch (error) {
    // The rollback was heard: how it is worded is not worth failing for.
    if (error instanceof TemporalUnreachable) return undefined;
    throw error;
  }
}

const onlyTraffic =
  'the other environment is asked whether it is able; then all new traffic goes back to it, and that is proved from outside. No server is changed';

/** Somebody was faster: what was asked for is under way. */
async function rollingBack({ temporal, service }: Session): Promise<Asked | undefined> {
  const open = await lookAt(temporal, service.id);
  return open?.kind === 'open' && open.status?.stage === 'rolling back'
    ? { id: open.id, next: 'it is rolling back already' }
    : undefined;
}

async function rollbackRun({ service, temporal }: Session, options: RollbackOptions): Promise<RunToStart> {
  const request: RollbackRequest = {
    service,
    requestedBy: whoAsks(options.by),
    searchAttributes: await temporal.searchable(),
  };
  return {
    action: 'roll back',
    workflowType: workflowTypes.rollback,
    kind: 'rollback',
    request,
    summary: runSummary('Roll back', service.id),
    details: [
      `Sends all traffic of **${service.id}** back to the other environment, once that has proved able.`,
      '',
      `- asked for by: ${request.requestedBy}`,
      `- reason: ${options.reason ?? 'none was given'}`,
    ].join('\n'),
  };
}

/** No worker is alive: the request is stored with Temporal and acted on by the first that comes back. */
async function leaveWord(session: Session, run: RunToStart, message: Message): Promise<Asked> {
  const { temporal, output } = session;
  const handle = await temporal.call(() =>
    temporal.client.workflow.signalWithStart(run.workflowType, {
      ...startOptions(session, run),
      workflowIdConflictPolicy: 'USE_EXISTING',
      signal: signals.rollback.name,
      signalArgs: [message],
    }),
  );
  output.notice(
    `No worker answers on task queue "${temporal.taskQueue}": the rollback is stored and begins as soon as one is back\n  start one: verdigris worker`,
  );
  return { id: DeploymentId(handle.signaledRunId), next: 'it is stored; a worker will act on it' };
}
