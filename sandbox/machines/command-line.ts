import { resolveSpecifiers, type UnitName } from './unit-name.js';

/** A command of `ExecStart=` and its kin. */
export interface ExecCommand {
  /** Absolute, or a bare name that is looked for in systemd's fixed search path. */
  readonly program: string;
  /** With `argv[0]` in front. */
  readonly words: readonly string[];
  /** `-`: a failure counts as success. */
  readonly mayFail: boolean;
  /** `:` switches it off. */
  readonly expandsVariables: boolean;
}

export type ParsedCommands =
  | { readonly kind: 'commands'; readonly commands: readonly ExecCommand[] }
  | { readonly kind: 'malformed'; readonly complaint: string; readonly fatal: boolean };

/** Reads the value of an `Exec…=` line, which may hold several commands separated by a lone `;`. */
export function parseCommands(text: string, name: UnitName): ParsedCommands {
  const words = splitWords(text);
  if (words === undefined) {
    return { kind: 'malformed', complaint: `Unbalanced quoting, ignoring: "${text}"`, fatal: true };
  }

  const commands: ExecCommand[] = [];
  for (const group of groupsOf(words)) {
    const [first = '', ...rest] = group.map((word) => resolveSpecifiers(word === '\\;' ? ';' : word, name));
    const [, prefixes = '', program = ''] = /^([-@:+!|]*)(.*)$/s.exec(first) ?? [];
    const mayFail = prefixes.includes('-');
    if (!isExecutableName(program)) {
      const complaint = `Neither a valid executable name nor an absolute path${mayFail ? ', ignoring' : ''}: ${program}`;
      return { kind: 'malformed', complaint, fatal: !mayFail };
    }
    commands.push({
      program,
      words: prefixes.includes('@') ? rest : [program, ...rest],
      mayFail,
      expandsVariables: !prefixes.includes(':'),
    });
  }
  return { kind: 'commands', commands };
}

/** Replaces `${NAME}` anywhere, and a word that is just `$NAME` by the words of its value. */
export function expandVariables(
  { words, expandsVariables }: ExecCommand,
  environment: Readonly<Record<string, string>>,
): readonly string[] {
  if (!expandsVariables) return words;
  return words.flatMap((word, index) => {
    const lone = index > 0 ? /^\$([A-Za-z_]\w*)$/.exec(word)?.[1] : undefined;
    if (lone !== undefined) return splitWords(environment[lone] ?? '') ?? [];
    return [
      word.replaceAll(/\$\$|\$\{([A-Za-z_]\w*)\}/g, (whole, variable: string | undefined) =>
        variable === undefined ? whole.slice(1) : (environment[variable] ?? ''),
      ),
    ];
  });
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  s: ' ',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

/** Splits as systemd does: single and double quotes, C escapes in and out of them. `undefined`: a quote stays open. */
export function splitWords(text: string): readonly string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  const token = /\\x([0-9A-Fa-f]{2})|\\([0-3][0-7]{2})|\\(.)|(["'])|(\s+)|([^\\"'\s]+|\\)/gsy;

  for (const [whole, hex, octal, escaped, mark, space] of text.matchAll(token)) {
    if (space !== undefined && quote === undefined) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (mark !== undefined && (quote === undefined || quote === mark)) {
      quote = quote === undefined ? mark : undefined;
      word ??= '';
    } else if (hex !== undefined) word = (word ?? '') + String.fromCharCode(Number.parseInt(hex, 16));
    else if (octal !== undefined) word = (word ?? '') + String.fromCharCode(Number.parseInt(octal, 8));
    else if (escaped !== undefined) word = (word ?? '') + (escapes[escaped] ?? whole);
    else word = (word ?? '') + whole;
  }
  if (word !== undefined) words.push(word);
  return quote === undefined ? words : undefined;
}

function groupsOf(words: readonly string[]): readonly (readonly string[])[] {
  const groups: string[][] = [[]];
  for (const word of words) {
    if (word === ';') groups.push([]);
    else groups.at(-1)?.push(word);
  }
  return groups.filter((group) => group.length > 0);
}

const isExecutableName = (program: string): boolean =>
  program.startsWith('/') ? program.length > 1 : program !== '' && !program.includes('/');
