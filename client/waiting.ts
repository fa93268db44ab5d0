import { exitCodes } from '../domain/deployment.js';
import { shortId, type DeploymentId } from '../domain/names.js';
import { describeDuration } from '../configuration/quantities.js';
import { follow, type Followed, type FollowOptions } from './following.js';
import { acceptedLines, approvalReport, endReport } from './report.js';
import { exitCodeOf, type End } from './service-run.js';
import type { Session } from './session.js';
import { createView } from './views.js';
import { indented } from './words.js';

export interface Waiting extends Pick<FollowOptions, 'untilApproval' | 'pastNeed' | 'timeoutMs'> {
  /** The exit code where the command asked for what others would call a bad end. */
  readonly exitCode?: (end: End) => number;
}

/** Follows a run, says how it went, and gives the exit code of the command that waited. */
export async function waitFor(session: Session, id: DeploymentId, waiting: Waiting = {}): Promise<number> {
  const { temporal, service, output } = session;
  const followed = await follow(temporal, service.id, id, {
    ...waiting,
    view: createView(output, session.pointers(id)),
  });
  const exitCode = exitCodeAfter(followed, waiting);
  output.say(['', ...linesAfter(followed, session, id, waiting)]);
  output.documentLine({
    event: followed.kind,
    service: service.id,
    deployment: id,
    exitCode,
    ...(followed.kind === 'ended' ? { end: followed.run.end } : {}),
    ...('status' in followed ? { status: followed.status } : {}),
    link: session.pointers(id).link,
  });
  return exitCode;
}

function exitCodeAfter(followed: Followed, { exitCode = exitCodeOf }: Waiting): number {
  switch (followed.kind) {
    case 'ended':
      return exitCode(followed.run.end);
    case 'approval awaited':
      return 0;
    case 'person needed':
      return exitCodes['needs a person'];
    case 'waited too long':
      return exitCodes['waited too long'];
    case 'interrupted':
      return signalExitCodes[followed.by] ?? 1;
    default:
      return followed satisfies never;
  }
}

/** 128 and the number of the signal, as shells have it. */
const signalExitCodes: Partial<Readonly<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
};

function linesAfter(
  followed: Followed,
  { command, pointers }: Session,
  id: DeploymentId,
  { timeoutMs = 0 }: Waiting,
): readonly string[] {
  const goesOn = [
    `  follow it:    ${command('status --watch')}`,
    `  take it back: ${command('rollback')}`,
    ...(pointers(id).link === undefined ? [] : [`  look:         ${pointers(id).link}`]),
  ];
  switch (followed.kind) {
    case 'ended':
      return endReport(followed.run, pointers(id));
    case 'approval awaited':
      return [
        `Deployment ${shortId(id)} waits for an approval.`,
        ...approvalReport(followed.status),
        `  approve it:   ${command('approve')}`,
        `  reject it:    ${command('reject')}`,
        ...goesOn,
      ];
    case 'person needed':
      return [
        `Deployment ${shortId(id)} needs a person; it goes on waiting.`,
        ...indented([followed.status.problem?.message ?? followed.status.next]),
        ...acceptedLines(followed.status, pointers(id)),
        ...goesOn.slice(2),
      ];
    case 'waited too long':
      return [
        `Stopped waiting after ${describeDuration(timeoutMs)}; deployment ${shortId(id)} goes on.`,
        ...goesOn,
      ];
    case 'interrupted':
      return [`Stopped following; deployment ${shortId(id)} goes on.`, ...goesOn];
    default:
      return followed satisfies never;
  }
}
