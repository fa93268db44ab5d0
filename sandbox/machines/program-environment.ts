import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { splitWords } from './command-line.js';
import type { OptionalPath, UnitSettings } from './unit-settings.js';

/** Where systemd looks for programs that are named without a path, and the `PATH` it gives to services. */
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The environment of a unit's programs: nothing of the machine's own, then `Environment=`, then the files in order.
 * @throws the system's error where a file that must be there is not.
 */
export const programEnvironment = (
  { environment, environmentFiles }: UnitSettings,
  own: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> => ({
  LANG: 'C.UTF-8',
  PATH: searchPath,
  ...own,
  ...environment,
  ...Object.fromEntries(environmentFiles.flatMap(assignmentsIn)),
});

/** Where a program of a unit is, or `undefined` when nothing there can be executed. */
export const programPath = (program: string): string | undefined =>
  program.startsWith('/')
    ? [program].find(isExecutable)
    : searchPath
        .split(':')
        .map((directory) => join(directory, program))
        .find(isExecutable);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function assignmentsIn({ path, optional }: OptionalPath): readonly (readonly [string, string])[] {
  return textOf(path, optional)
    .replaceAll('\\\n', '')
    .split('\n')
    .flatMap((line) => {
      const [, name, value = ''] = /^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, unquoted(value.trim())] as const];
    });
}

function textOf(path: string, optional: boolean): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (optional && error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

/** Blanks inside an unquoted value are part of it. */
const unquoted = (value: string): string =>
  /["'\\]/.test(value) ? (splitWords(value)?.join(' ') ?? value) : value;
