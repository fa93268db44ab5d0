/** One `Key=value` of a unit file or drop-in, with where it stands. */
export interface Assignment {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  /** `/path/of/file:line`, as systemd's complaints begin. */
  readonly at: string;
}

export interface UnitFile {
  readonly assignments: readonly Assignment[];
  /** What systemd would print about it. */
  readonly complaints: readonly string[];
  /** Whether a complaint keeps the unit from being loaded at all. */
  readonly fatal: boolean;
}

const sections = new Set(['Unit', 'Service', 'Install']);

/** Reads the text of one file: sections, continued lines, comments (also between continued lines). */
export function parseUnitFile(text: string, path: string): UnitFile {
  const assignments: Assignment[] = [];
  const complaints: string[] = [];
  let section: string | undefined;
  let ignored = false;

  for (const { line, number } of logicalLines(text)) {
    const at = `${path}:${number}`;
    if (line.startsWith('[')) {
      if (!line.endsWith(']')) {
        return {
          assignments,
          complaints: [...complaints, `${at}: Invalid section header '${line}'`],
          fatal: true,
        };
      }
      section = line.slice(1, -1);
      ignored = !sections.has(section);
      if (ignored && !section.startsWith('X-'))
        complaints.push(`${at}: Unknown section '${section}'. Ignoring.`);
      continue;
    }
    if (ignored) continue;

    const equals = line.indexOf('=');
    if (section === undefined) complaints.push(`${at}: Assignment outside of section. Ignoring.`);
    else if (equals < 0) complaints.push(`${at}: Missing '=', ignoring line.`);
    else if (equals === 0) complaints.push(`${at}: Missing key name before '=', ignoring line.`);
    else {
      assignments.push({
        section,
        key: line.slice(0, equals).trimEnd(),
        value: line.slice(equals + 1).trim(),
        at,
      });
    }
  }
  return { assignments, complaints, fatal: false };
}

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
