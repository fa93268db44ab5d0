import type { Release } from '../domain/deployment.js';
import { shortId } from '../domain/names.js';
import { coverage, failureBound, type Tally } from '../domain/traffic.js';
import { describeDuration } from '../configuration/quantities.js';

/** How facts read, the same in every report. */

export const count = (number: number, one: string, many = `${one}s`): string =>
  `${grouped(number)} ${number === 1 ? one : many}`;

export const grouped = (number: number): string => number.toLocaleString('en-US');

/** `0.1 %` */
export const percentOf = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

/** Coverage never reads better than it is: rounded down to a tenth. */
const coverageOf = (tally: Tally): string => `${Math.floor(coverage(tally) * 1_000) / 10} %`;

/** The bound never reads better than it is: rounded up to two digits that matter. */
function boundOf(tally: Tally): string {
  const percent = failureBound(tally) * 100;
  const step = 10 ** (Math.floor(Math.log10(percent)) - 1);
  return `${Number((Math.ceil(percent / step) * step).toPrecision(2))} %`;
}

/** `14:02:31`, with the date where it is not today's. */
export function clock(atMs: number, nowMs: number = Date.now()): string {
  const [date = '', time = ''] = localTime(atMs);
  return date === localTime(nowMs)[0] ? time : `${date} ${time}`;
}

function localTime(atMs: number): readonly string[] {
  const at = new Date(atMs);
  const two = (number: number) => String(number).padStart(2, '0');
  return [
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`,
  ];
}

export const ago = (atMs: number, nowMs: number): string =>
  `${describeDuration(Math.max(0, nowMs - atMs))} ago`;

/** `2.0.1 (3f9c2a1b04de)`: what people call it, and what counts. */
export const describeRelease = ({ version, artifact }: Pick<Release, 'version' | 'artifact'>): string =>
  version === undefined ? artifact.sha256.slice(0, 12) : `${version} (${artifact.sha256.slice(0, 12)})`;

/** The zero-drop certificate: what was seen, what failed and how, how much was watched, what that proves. */
export function tallyLines(tally: Tally): readonly string[] {
  const { sent, failed, idleClosed, failures, unobservedMs } = tally;
  if (sent === 0) return ['no request was sent from outside the load balancer'];
  const kinds = Object.entries(failures)
    .filter(([, times]) => times > 0)
    .map(([kind, times]) => `${kind} ${grouped(times)}`);
  return [
    `${count(sent, 'request')} from outside, ${failed === 0 ? 'none failed' : `${grouped(failed)} failed (${kinds.join(', ') || 'reasons unknown'})`}; p50 ${Math.round(tally.p50Ms)} ms, p99 ${Math.round(tally.p99Ms)} ms, longest gap ${describeDuration(tally.longestGapMs)}`,
    `watched ${coverageOf(tally)} of the time${unobservedMs > 0 ? ` (${describeDuration(unobservedMs)} not)` : ''}; a share of failures above ${boundOf(tally)} is ruled out with 95 % confidence`,
    ...(idleClosed > 0
      ? [
          `${count(idleClosed, 'idle connection')} closed by the other side just as used: the provider's, not counted as failed`,
        ]
      : []),
  ];
}

/** `label  value`, the labels in one column. */
export function columns(rows: readonly (readonly [label: string, value: string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([label]) => label.length));
  return rows.map(([label, value]) =>
    `  ${label.padEnd(width)}  ${value.replaceAll('\n', `\n${' '.repeat(width + 4)}`)}`.trimEnd(),
  );
}

/** Rows of cells, each column as wide as its widest. */
export function grid(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

export const indented = (lines: readonly string[], by = 2): readonly string[] =>
  lines.flatMap((line) => line.split('\n')).map((line) => `${' '.repeat(by)}${line}`);

export { describeDuration, shortId };
