import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import type { Init } from './init.js';
import type { Journal, JournalEntry } from './journal.js';
import type { Terminal } from './terminal.js';
import { parseTimeSpan } from './time-span.js';
import { unitName, type UnitName } from './unit-name.js';

/** Does what `journalctl` of systemd 252 does, in its words. @returns the exit status. */
export async function journalctl(init: Init, words: readonly string[], terminal: Terminal): Promise<number> {
  const question = parse(words);
  if (question.kind === 'refused') {
    terminal.err(`${question.because}\n`);
    return 1;
  }
  const { isWanted, format, lines, isReversed, isFollowing, isQuiet } = question;
  const wanted = init.journal.entries().filter(isWanted);
  const shown = wanted.slice(Math.max(0, wanted.length - lines));

  const text = (isReversed ? shown.toReversed() : shown).map((entry) => `${format(entry)}\n`).join('');
  if (text === '' && !isQuiet && !isFollowing) terminal.out('-- No entries --\n');
  else terminal.out(text);
  if (!isFollowing) return 0;

  const stop = init.journal.watch((entry) => {
    if (isWanted(entry)) terminal.out(`${format(entry)}\n`);
  });
  await new Promise((resolve) => {
    if (terminal.gone.aborted) resolve(undefined);
    else terminal.gone.addEventListener('abort', resolve, { once: true });
  });
  stop();
  return 130;
}

/** The last lines about a unit as `systemctl status` shows them. */
export const recentLines = (journal: Journal, { full }: UnitName, lines: number): readonly string[] => {
  const wanted = journal.entries().filter(({ unit }) => unit === full);
  return wanted.slice(Math.max(0, wanted.length - lines)).map(shortLine);
};

type Question =
  | { readonly kind: 'refused'; readonly because: string }
  | {
      readonly kind: 'asked';
      readonly isWanted: (entry: JournalEntry) => boolean;
      readonly format: (entry: JournalEntry) => string;
      readonly lines: number;
      readonly isReversed: boolean;
      readonly isFollowing: boolean;
      readonly isQuiet: boolean;
    };

const parseOptions = (words: readonly string[]) =>
  parseArgs({
    args: words.map((word) => (word === '-n' ? '--lines' : word)),
    options: {
      unit: { type: 'string', short: 'u', multiple: true },
      lines: { type: 'string', short: 'n' },
      output: { type: 'string', short: 'o' },
      since: { type: 'string', short: 'S' },
      until: { type: 'string', short: 'U' },
      identifier: { type: 'string', short: 't' },
      'after-cursor': { type: 'string' },
      follow: { type: 'boolean', short: 'f' },
      reverse: { type: 'boolean', short: 'r' },
      quiet: { type: 'boolean', short: 'q' },
      boot: { type: 'boolean', short: 'b' },
      all: { type: 'boolean', short: 'a' },
      utc: { type: 'boolean' },
      catalog: { type: 'boolean', short: 'x' },
      'pager-end': { type: 'boolean', short: 'e' },
      'no-pager': { type: 'boolean' },
      'no-hostname': { type: 'boolean' },
      'no-tail': { type: 'boolean' },
      system: { type: 'boolean' },
    },
    allowPositionals: true,
  });

function parse(words: readonly string[]): Question {
  let parsed: ReturnType<typeof parseOptions>;
  try {
    parsed = parseOptions(words);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return {
      kind: 'refused',
      because: `journalctl: unrecognized option '${/'(-[^' ]*)/.exec(error.message)?.[1] ?? ''}'`,
    };
  }

  const { values, positionals } = parsed;
  const format = formats[values.output ?? 'short'];
  if (format === undefined) return { kind: 'refused', because: `Unknown output format '${values.output}'.` };

  const since = values.since === undefined ? -Infinity : microsecondsOf(values.since);
  const until = values.until === undefined ? Infinity : microsecondsOf(values.until);
  if (since === undefined || until === undefined) {
    return {
      kind: 'refused',
      because: `Failed to parse timestamp: ${since === undefined ? values.since : values.until}`,
    };
  }
  const lines =
    values.lines === 'all' ? Infinity : Number(values.lines ?? (values.follow === true ? 10 : Infinity));
  if (Number.isNaN(lines) || lines < 0)
    return { kind: 'refused', because: `Failed to parse lines '${values.lines}'` };

  const units = values.unit?.map((name) => unitName(name).full);
  const afterCursor =
    values['after-cursor'] === undefined ? 0 : Number(values['after-cursor'].replace('c=', ''));
  return {
    kind: 'asked',
    isWanted: (entry) =>
      (units?.includes(entry.unit) ?? true) &&
      (values.identifier === undefined || values.identifier === entry.identifier) &&
      entry.atMicroseconds >= since &&
      entry.atMicroseconds <= until &&
      entry.cursor > afterCursor &&
      positionals.every((match) => matches(entry, match)),
    format,
    lines,
    isReversed: values.reverse === true,
    isFollowing: values.follow === true,
    isQuiet: values.quiet === true,
  };
}

/** `@EPOCH`, `YYYY-MM-DD[ HH:MM[:SS]][ UTC]`, `now`, `today`, `-5min`, `5 min ago`. The machine's clock shows UTC. */
function microsecondsOf(text: string): number | undefined {
  const epoch = /^@(\d+(?:\.\d+)?)$/.exec(text)?.[1];
  if (epoch !== undefined) return Number(epoch) * 1e6;
  if (text === 'now') return Date.now() * 1000;
  if (text === 'today') return new Date().setUTCHours(0, 0, 0, 0) * 1000;

  const back = /^-(.+)$/.exec(text)?.[1] ?? /^(.+) ago$/.exec(text)?.[1];
  const span = back === undefined ? undefined : parseTimeSpan(back);
  if (span !== undefined) return (Date.now() - span) * 1000;

  const [, date, time = '00:00:00'] =
    /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(?: UTC|Z)?$/.exec(text) ?? [];
  const milliseconds = date === undefined ? Number.NaN : Date.parse(`${date}T${time}Z`);
  return Number.isNaN(milliseconds) ? undefined : milliseconds * 1000;
}

/** A match `FIELD=VALUE` over the fields that the JSON form shows. */
function matches(entry: JournalEntry, match: string): boolean {
  const equals = match.indexOf('=');
  return jsonFields(entry)[match.slice(0, equals)] === match.slice(equals + 1);
}

const iso = ({ atMicroseconds }: JournalEntry): string => new Date(atMicroseconds / 1000).toISOString();

const origin = ({ identifier, pid }: JournalEntry): string => `${hostname()} ${identifier}[${pid}]`;

const shortLine = (entry: JournalEntry): string => {
  const date = new Date(entry.atMicroseconds / 1000);
  const month = date.toLocaleString('en-US', { month: 'short', timeZone: 'UTC' });
  return `${month} ${String(date.getUTCDate()).padStart(2, '0')} ${iso(entry).slice(11, 19)} ${origin(entry)}: ${entry.message}`;
};

const jsonFields = (entry: JournalEntry): Readonly<Record<string, string>> => ({
  __CURSOR: `c=${entry.cursor}`,
  __REALTIME_TIMESTAMP: String(entry.atMicroseconds),
  _HOSTNAME: hostname(),
  _PID: String(entry.pid),
  SYSLOG_IDENTIFIER: entry.identifier,
  PRIORITY: String(entry.priority),
  ...(entry.from === 'unit'
    ? { _SYSTEMD_UNIT: entry.unit, _SYSTEMD_INVOCATION_ID: entry.invocationId, _TRANSPORT: 'stdout' }
    : { UNIT: entry.unit, INVOCATION_ID: entry.invocationId, _TRANSPORT: 'journal' }),
  MESSAGE: entry.message,
});

const formats: Readonly<Record<string, (entry: JournalEntry) => string>> = {
  short: shortLine,
  cat: ({ message }) => message,
  'short-iso': (entry) => `${iso(entry).slice(0, 19)}+0000 ${origin(entry)}: ${entry.message}`,
  'short-iso-precise': (entry) => `${iso(entry).slice(0, 23)}000+0000 ${origin(entry)}: ${entry.message}`,
  'short-unix': (entry) => `${(entry.atMicroseconds / 1e6).toFixed(6)} ${origin(entry)}: ${entry.message}`,
  json: (entry) => JSON.stringify(jsonFields(entry)),
};
