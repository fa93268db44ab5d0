import type { Outcome, Status } from '../domain/deployment.js';
import { shortId } from '../domain/names.js';
import { describeSplit } from '../domain/split.js';
import { coverage, failureBound } from '../domain/traffic.js';

/** A status as Markdown, for the Temporal UI's page of the run. */
export function describe(status: Status): string {
  const { service, release, stage, since, live, split, outcome } = status;
  return [
    `## ${service}: ${outcome?.kind ?? stage}`,
    ...(outcome ? whyItEnded(outcome).map((line) => `**${escape(line)}**`) : whatHappens(status)),
    list([
      ['release', release ? `${release.version ?? ''} ${release.id}`.trim() : 'not known yet'],
      ['live', split ? `${live} (${describeSplit(split)})` : live],
      ['since', new Date(since).toISOString()],
      ...(status.deadline ? [['until', new Date(status.deadline).toISOString()] as const] : []),
      ['asked by', status.requestedBy],
      ['deployment', shortId(status.deployment)],
      ...(status.plan ? [['plan', status.plan.hash.slice(0, 12)] as const] : []),
      ...(status.evidence ? [['evidence', status.evidence.hash.slice(0, 12)] as const] : []),
      ['requests seen', tallyLine(status)],
    ]),
    ...(status.evidence ? ['### Evidence', ...status.evidence.lines.map((line) => `- ${escape(line)}`)] : []),
    ...(status.plan && status.plan.warnings.length > 0
      ? ['### To know', ...status.plan.warnings.map((line) => `- ${escape(line)}`)]
      : []),
    '### Servers',
    ...status.servers.map(
      ({ server, color, state, detail }) =>
        `- ${server} (${color}): ${state}${detail ? `, ${escape(detail)}` : ''}`,
    ),
    ...(status.notes.length > 0 ? ['### Notes', ...status.notes.map((line) => `- ${escape(line)}`)] : []),
  ].join('\n\n');
}

function whyItEnded(outcome: Outcome): readonly string[] {
  switch (outcome.kind) {
    case 'promoted':
      return [];
    case 'refused':
      return outcome.complaints.map(({ message }) => message);
    case 'rolled back':
      return [outcome.because.message];
    case 'rejected':
      return [`Rejected by ${outcome.by}${outcome.reason ? `: ${outcome.reason}` : ''}`];
    default:
      return outcome satisfies never;
  }
}

const whatHappens = (status: Status): readonly string[] => [
  ...(status.problem ? [`**${escape(status.problem.message)}**`] : []),
  ...(status.awaits ? [`Waits for: **${escape(status.awaits)}**`] : []),
  `Next: ${escape(status.next)}`,
  ...howToAnswer(status),
];

function howToAnswer({ accepts, stage }: Status): readonly string[] {
  if (accepts.length === 0) return [];
  const words = accepts.map((message) => `\`${message}\``).join(', ');
  const hint =
    stage === 'approve' || stage === 'needs a person'
      ? ' Send one as a signal from this page (no input needed), or with the command line.'
      : '';
  return [`Accepted now: ${words}.${hint}`];
}

function tallyLine({ tally }: Status): string {
  if (tally.sent === 0) return 'counted when a phase ends';
  return `${tally.sent}, ${tally.failed} failed, ${Math.round(coverage(tally) * 100)} % of the time watched, at most ${(failureBound(tally) * 100).toFixed(2)} % can have failed unseen`;
}

/** A list and not a table: the page draws tables without any space between the columns. */
const list = (rows: readonly (readonly [string, string])[]): string =>
  rows.map(([name, value]) => `- ${name}: ${escape(value)}`).join('\n');

/** Text from elsewhere must not become markup. */
const escape = (text: string): string => text.replaceAll(/[\\`*_{}[\]<>|#]/g, '\\$&').replaceAll('\n', ' ');
