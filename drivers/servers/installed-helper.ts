import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Where a helper is installed and what it looks at there. */
export interface HelperPlace {
  readonly path: string;
  /** Holds `<unit>.policy` for each unit that may be released. */
  readonly policies: string;
  readonly unitDirectory: string;
  readonly searchPath: string;
}

/** Where `verdigris server setup` puts it: the same everywhere, since a sudo rule names it. */
export const helperPlace: HelperPlace = {
  path: '/usr/local/lib/verdigris/helper',
  policies: '/etc/verdigris',
  unitDirectory: '/etc/systemd/system',
  searchPath: '/usr/sbin:/usr/bin:/sbin:/bin',
};

const source = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The helper as it is installed: bound to its place, and with the part that obeys a policy. */
export function installedHelper({ path, policies, unitDirectory, searchPath } = helperPlace): string {
  const bound = [
    `installed_at='${path}' policies='${policies}'`,
    `unit_directory='${unitDirectory}'`,
    `PATH='${searchPath}'`,
  ].join('\n');
  return source('helper.sh')
    .replace(/^# @installed$/m, () => bound)
    .replace(/^# @examination$/m, () => part('helper-examination.sh'))
    .replace(/^# @policy$/m, () => part('helper-policy.sh'));
}

/** A file that is part of the helper, as it stands in the middle of it. */
const part = (name: string): string => source(name).replace(/^# shellcheck shell=sh\n/, '');

/**
 * The helper as it travels with a command: without its comments and indentation, and with the functions only that this command
 * can reach, since an SSH packet may not be larger than 35,000 bytes everywhere.
 */
export function travellingHelper(command: string): string {
  const known = travelling.get(command);
  if (known !== undefined) return known;
  const whole = source('helper.sh').replace(/^# @examination$/m, () => part('helper-examination.sh'));
  const text = reachable(whole, command)
    .split('\n')
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');
  travelling.set(command, text);
  return text;
}

const travelling = new Map<string, string>();

/** Leaves out every function whose name is in none of those that are kept. A function ends where a line begins with its brace. */
function reachable(text: string, command: string): string {
  const pattern = /^(\w+)\(\) \{\n[\s\S]*?^\}$/gm;
  const bodies = new Map([...text.matchAll(pattern)].map(([body, name = '']) => [name, body]));
  const main = (bodies.get('main') ?? '').replaceAll(/^ +([\w-]+)\) \w+ ;;\n/gm, (line, name: string) =>
    name === command ? line : '',
  );
  bodies.set('main', main);
  const kept = new Set<string>();
  const keep = (words: string): void => {
    for (const [word] of words.matchAll(/\w+/g)) {
      const body = bodies.get(word);
      if (body === undefined || kept.has(word)) continue;
      kept.add(word);
      keep(body);
    }
  };
  keep('main');
  return text.replaceAll(pattern, (_, name: string) => (kept.has(name) ? (bodies.get(name) ?? '') : ''));
}

let digest: string | undefined;

/** What a worker demands of the helper that it finds installed. */
export const installedHelperDigest = (): string =>
  (digest ??= createHash('sha256').update(installedHelper()).digest('hex'));
