import type { Status } from '../domain/deployment.js';
import { phases, type Phase, type Stage } from '../domain/phase.js';
import { describeSplit } from '../domain/split.js';
import { clock, count, describeDuration, describeRelease, grouped } from './words.js';

/**
 * A deployment told as it happens: one line per phase with its fact and its time, and what is awaited
 * when nothing has been said for a while. Pure: from one status to the next.
 */

/** What there is to say when `next` follows `previous`. */
export function narrate(previous: Status | undefined, next: Status): readonly string[] {
  return [
    ...passed(previous, next).map(({ stage, tookMs, status }) =>
      stageLine(stage, factOf(stage, status), tookMs),
    ),
    ...turnLines(previous, next),
    ...newNotes(previous, next),
  ];
}

interface Passed {
  readonly stage: Stage;
  /** Missing where the phase came and went between two looks. */
  readonly tookMs?: number;
  readonly status: Status;
}

/** The phases that lie behind `next` and were not yet told. */
function passed(previous: Status | undefined, next: Status): readonly Passed[] {
  const from: Stage = previous?.stage ?? 'inspect';
  if (from === next.stage) return [];
  if (!isPhase(from)) return [];
  const start = phases.indexOf(from);
  // A deployment that turned back has ended its phase, not finished it.
  const finished = isPhase(next.stage)
    ? phases.indexOf(next.stage)
    : next.stage === 'ended' && next.outcome?.kind === 'promoted'
      ? phases.length
      : phases.indexOf(next.phase);
  // Only a deployment goes through all of them.
  const end = next.kind === 'deployment' ? finished : Math.min(finished, start + 1);
  return phases.slice(start, Math.max(start, end)).map((stage, index) => ({
    stage,
    status: next,
    ...(index === 0 && previous ? { tookMs: next.since - previous.since } : {}),
  }));
}

/** `  switch       all to green                                   12 s` */
export function stageLine(stage: Stage, fact: string, tookMs?: number): string {
  const took = tookMs === undefined || tookMs < 0 ? '' : describeDuration(tookMs);
  return `  ${stage.padEnd(13)} ${fact.padEnd(62)} ${took.padStart(9)}`.trimEnd();
}

/** What is true once a phase is over, in a few words. */
export function factOf(stage: Stage, status: Status): string {
  const { kind, live, idle, release, servers, split, tally } = status;
  const onIdle = servers.filter(({ color }) => color === (status.plan?.idle ?? idle)).length;
  const left = status.leftBehind?.length ?? 0;
  const fleet = `${left > 0 ? `${onIdle - left} of ` : ''}${count(onIdle, 'server')} of ${status.plan?.idle ?? idle}`;
  switch (stage) {
    case 'inspect':
      return status.plan
        ? `${status.plan.live} is live, ${status.plan.idle} is idle`
        : live !== 'unknown'
          ? `${live} is live`
          : kind === 'repair'
            ? 'asked both environments who they are'
            : 'looked at load balancer and servers';
    case 'fetch':
      return release ? `release ${describeRelease(release)}` : 'artifact verified';
    case 'install':
      return `installed on ${fleet}`;
    case 'activate':
      return `started on ${fleet}`;
    case 'verify':
      return `proved on ${fleet}`;
    case 'approve':
      return 'approved';
    case 'switch':
      return split ? `traffic: ${describeSplit(split)}` : `${live} is live`;
    case 'bake':
      return tally.sent === 0
        ? 'watched'
        : `${grouped(tally.failed)} of ${count(tally.sent, 'request')} failed, p99 ${Math.round(tally.p99Ms)} ms`;
    case 'retire':
      return retiredWords(status);
    default:
      return '';
  }
}

function retiredWords({ plan, servers }: Status): string {
  if (plan?.live === 'nothing') return 'there was no old environment';
  const stopped = servers.filter(({ color, state }) => color === plan?.live && state === 'stopped').length;
  return stopped === 0
    ? 'the old environment is the way back'
    : `stopped on ${count(stopped, 'server')} of ${plan?.live}`;
}

/** Turns that people must not miss: it goes back, it needs somebody, it waits for approval. */
function turnLines(previous: Status | undefined, next: Status): readonly string[] {
  if (previous?.stage === next.stage) return [];
  switch (next.stage) {
    case 'rolling back':
      return [stageLine('rolling back', next.problem?.message.split('\n')[0] ?? next.next)];
    case 'needs a person':
      return [stageLine('needs a person', next.problem?.message.split('\n')[0] ?? next.next)];
    case 'approve':
      return [stageLine('approve', waitingFor(next))];
    default:
      return [];
  }
}

function newNotes(previous: Status | undefined, next: Status): readonly string[] {
  const told = new Set(previous?.notes);
  return next.notes.filter((note) => !told.has(note)).map((note) => `  - ${note}`);
}

/** What to say when nothing has changed for a while. */
export function stillLine(status: Status, nowMs: number): string {
  const progress = progressOf(status, nowMs);
  const waited = `for ${describeDuration(Math.max(0, nowMs - status.since))}`;
  return stageLine(status.stage, `${waited}: ${progress?.text ?? waitingFor(status, nowMs)}`);
}

const waitingFor = ({ awaits, next, deadline }: Status, nowMs?: number): string =>
  `${awaits === undefined ? next : `waits for ${awaits}`}${deadline === undefined ? '' : ` until ${clock(deadline, nowMs)}`}`;

/** How far a phase is, 0 to 1, where that is known. */
export interface Progress {
  readonly share: number;
  readonly text: string;
}

export function progressOf(status: Status, nowMs: number): Progress | undefined {
  const { stage, since, deadline, servers, tally } = status;
  if (stage === 'bake' && deadline !== undefined && deadline > since) {
    const doneMs = Math.min(Math.max(0, nowMs - since), deadline - since);
    return {
      share: doneMs / (deadline - since),
      text: `${describeDuration(doneMs)} of ${describeDuration(deadline - since)}, ${grouped(tally.failed)} of ${count(tally.sent, 'request')} failed`,
    };
  }
  const reached = reachedIn[stage];
  const left = new Set(status.leftBehind?.map(({ server }) => server));
  const mine = servers.filter(
    ({ server, color }) => color === (status.plan?.idle ?? status.idle) && !left.has(server),
  );
  if (!reached || mine.length === 0) return undefined;
  const done = mine.filter(({ state }) => reached.includes(state)).length;
  return { share: done / mine.length, text: `${done} of ${count(mine.length, 'server')}` };
}

/** The states that a server is in once a phase is done with it. */
const reachedIn: Partial<Readonly<Record<Stage, readonly string[]>>> = {
  install: ['installed'],
  activate: ['active'],
  verify: ['verified'],
};

/** `[######----]` */
export function bar(share: number, width = 20): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

const isPhase = (stage: Stage): stage is Phase => (phases as readonly Stage[]).includes(stage);
