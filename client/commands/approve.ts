import type { Command } from 'commander';
import type { Message, Status } from '../../domain/deployment.js';
import { shortId } from '../../domain/names.js';
import { refusalOf } from '../../domain/phase.js';
import { confirm } from '../output.js';
import { Refusal } from '../refusal.js';
import { approvalReport } from '../report.js';
import { openRun, send } from '../sending.js';
import type { OpenRun } from '../service-run.js';
import { inSession, type ServiceOptions, type Session } from '../session.js';
import { waitFor } from '../waiting.js';
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

interface ApproveOptions extends ServiceOptions {
  readonly deployment?: string;
  readonly version?: string;
  readonly plan?: string;
  readonly evidence?: string;
  readonly by?: string;
  readonly reason?: string;
  readonly yes?: boolean;
  readonly wait?: boolean;
  readonly timeout?: number;
}

export function define(command: Command): void {
  command
    .description('Approves what waits: the new release gets the traffic.')
    .addOption(deploymentOption())
    .option('--version <text>', 'only if the release has this version, as it was deployed')
    .option('--plan <hash>', 'only if the plan is this one (as status shows it)')
    .option('--evidence <hash>', 'only if the evidence is this one (as status shows it)')
    .addOption(byOption())
    .addOption(reasonOption())
    .option('-y, --yes', 'do not ask, although a terminal is there')
    .option('-w, --wait', 'follow it to its end')
    .option('--timeout <duration>', 'stop following after this long (exit 21)', durationArgument)
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris approve --deployment 3f9c2a1b --wait',
    'On a terminal the evidence is shown and you are asked. The approval is for exactly the plan and the evidence that were shown: when either has changed it is refused. Then the servers are verified once more, the traffic is switched, and the new environment is watched.',
  );
}

export async function run(options: ApproveOptions): Promise<number> {
  requireFollowed(options.timeout, options.wait === true, '--wait');
  return inSession(options, async (session) => {
    const { output, service } = session;
    const run = await openRun(session, 'approve', options.deployment);
    const status = waitingForApproval(session, run);
    requireVersion(session, status, options.version);
    output.say([
      `Deployment ${shortId(run.id)} of ${service.id} waits for an approval.`,
      ...approvalReport(status),
    ]);
    if (output.interactive && options.yes !== true && !(await confirm('Give it the traffic?'))) {
      output.say('Nothing was sent.');
      return 0;
    }
    const message = approvalOf(status, options);
    const answer = await send(session, run, 'approve', message, updateIdOf(status, message));
    output.say(`Approved: ${answer.next}`);
    if (options.wait === true) {
      output.documentLine({ event: 'approved', ...message, ...answer });
      return waitFor(session, run.id, options.timeout === undefined ? {} : { timeoutMs: options.timeout });
    }
    output.document({ ...message, ...answer });
    return 0;
  });
}

function waitingForApproval({ service, command }: Session, { status }: OpenRun): Status {
  const why = status ? refusalOf('approve', status.stage) : 'no worker has taken it up yet';
  if (!status || why !== undefined) {
    throw new Refusal(`Cannot approve "${service.id}": ${why}\n  look: ${command('status')}`);
  }
  return status;
}

/** A pipeline may approve its own release, and not the one of another that waits just then. */
function requireVersion(
  { service, command }: Session,
  { release }: Status,
  version: string | undefined,
): void {
  if (version === undefined || release?.version === version) return;
  throw new Refusal(
    `Cannot approve "${service.id}": ${release?.version ?? 'a release without a version'} waits for an approval, needs ${version} as --version says\n  look: ${command('status')}`,
  );
}

/** Names what was seen: what `--plan` and `--evidence` say, else what was just shown. */
function approvalOf({ plan, evidence }: Status, options: ApproveOptions): Message {
  const seen = { plan: options.plan ?? plan?.hash, evidence: options.evidence ?? evidence?.hash };
  return {
    by: whoAsks(options.by),
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(seen.plan === undefined ? {} : { plan: seen.plan }),
    ...(seen.evidence === undefined ? {} : { evidence: seen.evidence }),
  };
}

/** A CI job that runs again approves the same thing: it gets the first answer. Asked again, it is another. */
const updateIdOf = ({ deployment, since }: Status, { plan = '', evidence = '' }: Message): string =>
  ['approve', shortId(deployment), plan.slice(0, 12), evidence.slice(0, 12), since].join('-');
