import {
  describeLimit,
  type Diagnosis,
  type ExaminedServer,
  type ServerExamination,
} from '../domain/examination.js';
import { grid } from './words.js';

/** What a doctor saw of a service's servers, side by side, and what to do about it. Pure. */
export const examinationReport = (
  examined: readonly ExaminedServer[],
  { complaints, notes }: Diagnosis,
): readonly string[] => [
  ...grid([headings, ...examined.map(rowOf)]),
  ...(notes.length > 0 ? ['', 'To know', ...notes.map((note) => `  ${note}`)] : []),
  ...(complaints.length > 0 ? ['', 'To mend', ...complaints.map((complaint) => `  ${complaint}`)] : []),
];

const headings = [
  'server',
  'color',
  'machine',
  'system',
  'glibc',
  'systemd',
  'cpu',
  'memory free',
  'disk free',
  'inodes',
  'clock',
  'files',
  'port',
  'sudo',
  'forwards',
] as const;

function rowOf(seen: ExaminedServer): readonly string[] {
  if (seen.kind === 'not examined') return [seen.server, seen.color, 'not examined'];
  const { facts } = seen;
  return [
    seen.server,
    seen.color,
    facts.platform.machine,
    (facts.platform.system ?? 'unknown').replace(/ \(.*\)$/, ''),
    facts.platform.glibc ?? 'none',
    facts.systemd === '' ? 'none' : facts.systemd,
    String(facts.processors),
    `${size(facts.memoryFreeBytes)} of ${size(facts.memoryBytes)}`,
    `${size(facts.diskFreeBytes)} of ${size(facts.diskBytes)}`,
    facts.filesFree === undefined ? 'not counted' : String(facts.filesFree),
    clock(facts.clockAheadMs),
    describeLimit(facts.openFiles),
    facts.port,
    rights(facts),
    facts.tcpForwarding ?? 'unknown',
  ];
}

const size = (bytes: number): string =>
  bytes >= 10e9 ? `${Math.round(bytes / 1e9)} GB` : `${(bytes / 1e9).toFixed(1)} GB`;

function clock(aheadMs: number): string {
  const seconds = Math.round(aheadMs / 1_000);
  return seconds === 0 ? 'right' : `${seconds > 0 ? '+' : ''}${seconds} s`;
}

function rights({ isRoot, rights: rules }: ServerExamination): string {
  if (isRoot) return 'is root';
  if (rules === undefined) return 'unknown';
  return rules.length === 0
    ? 'none'
    : rules.map((rule) => rule.replace(/^\(.*?\) ?(NOPASSWD: )?/, '')).join('; ');
}
