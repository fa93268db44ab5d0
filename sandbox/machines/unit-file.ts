/** One `Key=value` of a unit file or drop-in, with where it stands. */
export interface Assignment {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  /** `/path/of/file:line`, as systemd's complaints begin. */
  readonly at: string;
}

/** What a line of a unit file is: something to apply, or something that systemd would complain about. */
export type UnitLine =
  | ({ readonly kind: 'assignment' } & Assignment)
  | {
      readonly kind: 'malformed';
      readonly complaint: string;
      /** Whether it keeps the unit from being loaded at all. */
      readonly fatal: boolean;
    };

const sections = new Set(['Unit', 'Service', 'Install']);

/** Reads the text of one file: sections, continued lines, comments (also between continued lines). */
export function* parseUnitFile(text: string, path: string): Generator<UnitLine> {
  let section: string | undefined;
  let isIgnored = false;

  for (const { line, number } of logicalLines(text)) {
    const at = `${path}:${number}`;
    if (line.startsWith('[')) {
      if (!line.endsWith(']')) {
        yield { kind: 'malformed', complaint: `${at}: Invalid section header '${line}'`, fatal: true };
        return;
      }
      section = line.slice(1, -1);
      isIgnored = !sections.has(section);
      if (isIgnored && !section.startsWith('X-'))
        yield malformed(at, `Unknown section '${section}'. Ignoring.`);
    } else if (!isIgnored) yield parseLine(line, section, at);
  }
}

function parseLine(line: string, section: string | undefined, at: string): UnitLine {
  const equals = line.indexOf('=');
  if (section === undefined) return malformed(at, 'Assignment outside of section. Ignoring.');
  if (equals < 0) return malformed(at, "Missing '=', ignoring line.");
  if (equals === 0) return malformed(at, "Missing key name before '=', ignoring line.");
  const [key, value] = [line.slice(0, equals).trimEnd(), line.slice(equals + 1).trim()];
  return { kind: 'assignment', section, key, value, at };
}

const malformed = (at: string, what: string): UnitLine => ({
  kind: 'malformed',
  complaint: `${at}: ${what}`,
  fatal: false,
});

/** A continued line counts under the number of its last piece, as in systemd. */
function* logicalLines(text: string): Generator<{ readonly line: string; readonly number: number }> {
  let continued = '';
  for (const [index, raw] of text.split('\n').entries()) {
    const piece = raw.trim();
    if (/^[#;]/.test(piece)) continue;
    if (piece.endsWith('\\')) {
      continued += `${piece.slice(0, -1)} `;
      continue;
    }
    const line = (continued + piece).trim();
    continued = '';
    if (line !== '') yield { line, number: index + 1 };
  }
  if (continued.trim() !== '') yield { line: continued.trim(), number: text.split('\n').length };
}
