import type { Outcome, Status } from '../domain/deployment.js';
import { describeLeftBehind, type LeftBehind } from '../domain/fleet.js';
import { emptyTally } from '../domain/traffic.js';
import type { End, EndedRun, OpenRun, ServiceRun } from './service-run.js';
import { describeSplit } from '../domain/split.js';
import type { MessageName } from '../domain/phase.js';
import {
  ago,
  clock,
  columns,
  describeDuration,
  describeRelease,
  indented,
  shortId,
  tallyLines,
} from './words.js';

/** What people read at the end and in between, from plain values. Pure. */

/** What a report cannot know by itself: how to go on from here. */
export interface Pointers {
  readonly service: string;
  /** The page of the run in the Temporal UI. */
  readonly link?: string;
  /** A command with the options that reach this service. */
  readonly command: (words: string) => string;
  /** The options that commands need here, empty where the defaults do. */
  readonly whereabouts: string;
}

/** The end of a run, repeating what matters. */
export function endReport(run: EndedRun, pointers: Pointers): readonly string[] {
  return [
    ...endLines(run.end, run, pointers),
    ...columns([
      ['deployment', `${shortId(run.id)}, took ${describeDuration(run.endedAtMs - run.startedAtMs)}`],
      ...(pointers.link === undefined ? [] : [['history', pointers.link] as const]),
      ['next', nextCommand(run.end, pointers)],
    ]),
  ];
}

function endLines(end: End, run: EndedRun, { service }: Pointers): readonly string[] {
  switch (end.kind) {
    case 'outcome':
      return outcomeLines(end.outcome, run, service);
    case 'adopted':
      return [
        `Adopted ${service}: what runs there is a release that can be gone back to.`,
        ...columns(Object.entries(end.releases).sort(([one], [other]) => byName(one, other))),
        ...indented(end.notAdopted.map((left) => `not adopted: ${describeLeftBehind(left)}`)),
      ];
    case 'repaired':
      return [`Repaired ${service}: all traffic goes to ${end.live}.`];
    case 'converged':
      return [
        `Brought back to ${end.release}: ${end.broughtBack.join(', ') || 'no server'}.`,
        ...indented(end.leftBehind.map((left) => `still left behind: ${describeLeftBehind(left)}`)),
      ];
    case 'taken over':
      return [
        `Taken over by ${end.takenOver.by}${end.takenOver.reason ? `: ${end.takenOver.reason}` : ''}.`,
        ...indented(end.takenOver.undone.map((left) => `left undone: ${left}`)),
      ];
    case 'broken':
      return [`Ended without an outcome: ${end.how}.`, ...indented(lastKnown(run.status))];
    default:
      return end satisfies never;
  }
}

function outcomeLines(outcome: Outcome, { type, status }: EndedRun, service: string): readonly string[] {
  switch (outcome.kind) {
    case 'promoted':
      return [
        `Promoted ${service} to ${describeRelease(outcome.release)}.`,
        ...indented([`${outcome.live} is live`, ...leftBehindLines(outcome.leftBehind), ...outcome.notes]),
        ...indented(tallyLines(outcome.tally)),
      ];
    case 'refused':
      return [
        `Refused: nothing was changed on ${service}.`,
        ...indented(outcome.complaints.map(({ message }) => message)),
      ];
    case 'rolled back': {
      const what =
        type === 'rollback' ? `Rolled back ${service}` : `Rolled back ${service} during ${outcome.during}`;
      return [
        `${what}.`,
        ...indented([
          outcome.because.message,
          type === 'rollback' ? `${outcome.live} is live again` : liveLine(outcome.live),
          ...outcome.notes,
        ]),
        ...indented(tallyLines(outcome.tally)),
      ];
    }
    case 'rejected':
      return [
        `Rejected by ${outcome.by}${outcome.reason ? `: ${outcome.reason}` : ''}.`,
        ...indented([liveLine(outcome.live), ...outcome.notes]),
        ...indented(tallyLines(outcome.tally ?? status?.tally ?? emptyTally)),
      ];
    default:
      return outcome satisfies never;
  }
}

/** The notes tell why; this tells what to do about it. */
const leftBehindLines = (leftBehind: readonly LeftBehind[] = []): readonly string[] =>
  leftBehind.length === 0
    ? []
    : [
        `left behind: ${leftBehind.map(({ server }) => server).join(', ')}; they get no traffic until they are brought back: verdigris converge`,
      ];

/** `green-2` before `green-10`. */
const byName = (one: string, other: string): number => one.localeCompare(other, 'en', { numeric: true });

const liveLine = (live: string): string =>
  live === 'nothing' ? 'nothing is live, as before' : `${live} is live, as before`;

const lastKnown = (status: Status | undefined): readonly string[] =>
  status
    ? [`it was at "${status.stage}" since ${clock(status.since)}; ${status.live} was live then`]
    : ['nothing is known of how far it came'];

function nextCommand(end: End, { command }: Pointers): string {
  switch (end.kind) {
    case 'outcome':
      return end.outcome.kind === 'promoted'
        ? `${command('rollback')} takes it back`
        : end.outcome.kind === 'refused'
          ? `${command('check')} looks again`
          : `${command('deploy')} ${end.outcome.kind === 'rejected' ? 'once it is wanted' : 'with the mended version'}; ${command('plan')} shows what that would do`;
    case 'adopted':
      return end.notAdopted.length === 0 ? command('plan') : `${command('adopt')} tries again`;
    case 'repaired':
      return command('check');
    case 'converged':
      return end.leftBehind.length === 0 ? command('check') : `${command('converge')} tries again`;
    case 'taken over':
      return `${command('repair')} when it is settled; nothing else is accepted before`;
    case 'broken':
      return `${command('check')} shows what is, ${command('repair')} settles it`;
    default:
      return end satisfies never;
  }
}

/** Where a service is now, and what the last run was. */
export function runReport(run: ServiceRun, pointers: Pointers, nowMs: number): readonly string[] {
  return run.kind === 'open' ? openReport(run, pointers, nowMs) : lastReport(run, pointers, nowMs);
}

function lastReport(run: EndedRun, pointers: Pointers, nowMs: number): readonly string[] {
  return [
    `No deployment of ${pointers.service} is open. The last run was a ${kindOf(run)} that ended ${ago(run.endedAtMs, nowMs)} (${clock(run.endedAtMs, nowMs)}):`,
    ...endReport(run, pointers),
  ];
}

export const kindOf = ({ type, status }: Pick<ServiceRun, 'type' | 'status'>): string =>
  status?.kind ?? (type === 'blueGreenDeployment' ? 'deployment' : type);

function openReport(run: OpenRun, pointers: Pointers, nowMs: number): readonly string[] {
  const { status } = run;
  if (!status) {
    return [
      `A ${kindOf(run)} of ${pointers.service} is open since ${clock(run.startedAtMs, nowMs)}; no worker has taken it up yet.`,
      ...columns([['deployment', shortId(run.id)], ...linkRow(pointers)]),
    ];
  }
  return [
    `${status.service}: ${status.stage}, for ${describeDuration(Math.max(0, nowMs - status.since))}`,
    ...(run.told === 'by the memo' ? ['  No worker answers: this is what was last written down.'] : []),
    ...(status.problem ? indented([status.problem.message]) : []),
    ...columns([...factRows(run, status, nowMs), ...linkRow(pointers)]),
    ...section('Evidence', status.evidence?.lines ?? []),
    ...section('To know', status.plan?.warnings ?? []),
    ...section(
      'Servers',
      columns(
        status.servers.map(({ server, color, state, detail }) => [
          server,
          `${color.padEnd(5)}  ${state}${detail === undefined ? '' : `: ${detail}`}`,
        ]),
      ).map((line) => line.slice(2)),
    ),
    ...section('Notes', status.notes),
    ...acceptedLines(status, pointers),
  ];
}

const factRows = (run: OpenRun, status: Status, nowMs: number): readonly (readonly [string, string])[] => [
  [
    'deployment',
    `${shortId(run.id)}, a ${status.kind} asked for by ${status.requestedBy} at ${clock(run.startedAtMs, nowMs)}`,
  ],
  ...(status.release ? [['release', describeRelease(status.release)] as const] : []),
  ['live', status.split ? `${status.live} (${describeSplit(status.split)})` : status.live],
  ...(status.awaits === undefined ? [] : [['waits for', status.awaits] as const]),
  ...(status.deadline === undefined
    ? []
    : [
        [
          'until',
          `${clock(status.deadline, nowMs)} (${status.deadline > nowMs ? `in ${describeDuration(status.deadline - nowMs)}` : 'now'})`,
        ] as const,
      ]),
  ['next', status.next],
  ...(status.plan ? [['plan', status.plan.hash.slice(0, 12)] as const] : []),
  ...(status.evidence ? [['evidence', status.evidence.hash.slice(0, 12)] as const] : []),
  ['traffic', trafficLines(status).join('\n')],
];

/** What the prober counts is added when a stretch of probing ends: until then, nothing counted is not nothing sent. */
const trafficLines = ({ kind, tally }: Status): readonly string[] =>
  tally.sent === 0 && (kind === 'deployment' || kind === 'rollback')
    ? ['counted when this phase ends']
    : tallyLines(tally);

const linkRow = ({ link }: Pointers): readonly (readonly [string, string])[] =>
  link === undefined ? [] : [['look', link]];

const section = (heading: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : [`  ${heading}`, ...indented(lines, 4)];

const hints: Readonly<Record<MessageName, string>> = {
  approve: 'gives the new release the traffic',
  reject: 'puts everything back',
  rollback: 'goes back, traffic first',
  advance: 'ends the bake early and promotes',
  extend: 'makes the bake longer',
  retry: 'tries again what waits for a person',
  'take-over': 'takes what is left out of its hands',
};

/** What can be done now, and what each does. */
export function acceptedLines({ accepts }: Status, { whereabouts }: Pointers): readonly string[] {
  const heading = `What can be done now${whereabouts === '' ? '' : ` (each with ${whereabouts})`}`;
  const rows = columns(accepts.map((name) => [`verdigris ${name}`, hints[name]]));
  return section(
    heading,
    rows.map((row) => row.slice(2)),
  );
}

/** What somebody approves. */
export function approvalReport(status: Status): readonly string[] {
  return [
    ...section('Evidence', status.evidence?.lines ?? ['none was given']),
    ...section('To know', status.plan?.warnings ?? []),
    ...columns([
      ...(status.release ? [['release', describeRelease(status.release)] as const] : []),
      ['plan', status.plan?.hash.slice(0, 12) ?? 'none'],
      ['evidence', status.evidence?.hash.slice(0, 12) ?? 'none'],
    ]),
  ];
}

/** Why a run stands in the way of another: who holds it, since when, at what stage, how to follow it. */
export function heldReport(
  action: string,
  run: OpenRun,
  { service, command, link }: Pointers,
  nowMs: number,
): string {
  const { status } = run;
  const who = status ? `, asked for by ${status.requestedBy}` : '';
  const where = status
    ? `at "${status.stage}" since ${clock(status.since, nowMs)}`
    : 'not yet taken up by a worker';
  return [
    `Cannot ${action} "${service}": a ${kindOf(run)} (${shortId(run.id)}${who}) is open since ${clock(run.startedAtMs, nowMs)}, ${where}, needs to end first`,
    ...(status?.awaits === undefined ? [] : [`  it waits for ${status.awaits}`]),
    `  follow it: ${command('status --watch')}`,
    ...(link === undefined ? [] : [`  look: ${link}`]),
  ].join('\n');
}
