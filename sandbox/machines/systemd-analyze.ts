import { basename, dirname, resolve } from 'node:path';
import { loadUnit } from './loaded-unit.js';
import { programPath } from './program-environment.js';
import type { Terminal } from './terminal.js';
import { unitName } from './unit-name.js';

/**
 * Does what `systemd-analyze verify FILE...` of systemd 252 does, in its words. As there, what systemd would ignore is
 * printed without making the exit status 1. Drop-ins beside the file (`FILE.d/`) count.
 */
export function systemdAnalyze(words: readonly string[], terminal: Terminal): number {
  const [verb, ...files] = words.filter((word) => !word.startsWith('--'));
  if (verb !== 'verify') {
    terminal.err(`Unknown command verb ${verb ?? ''}.\n`);
    return 1;
  }
  if (files.length === 0) {
    terminal.err('Too few arguments.\n');
    return 1;
  }
  const statuses = files.map((file) => verify(resolve(terminal.directory, file), terminal));
  return Math.max(...statuses);
}

function verify(path: string, terminal: Terminal): number {
  const name = unitName(basename(path));
  const loaded = loadUnit(dirname(path), name);
  const say = (lines: readonly string[]) => terminal.err(lines.map((line) => `${line}\n`).join(''));
  switch (loaded.kind) {
    case 'not-found':
      say([`Unit ${name.full} not found.`]);
      return 1;
    case 'masked':
      say([`Unit ${name.full} is masked.`]);
      return 1;
    case 'bad-setting':
      say([...loaded.complaints, `Unit ${name.full} has a bad unit file setting.`]);
      return 1;
    case 'loaded': {
      const { execStart, execStartPre, execStop } = loaded.settings;
      const missing = [...execStartPre, ...execStart, ...execStop]
        .filter(({ program, mayFail }) => !mayFail && programPath(program) === undefined)
        .map(
          ({ program }) => `${name.full}: Command ${program} is not executable: No such file or directory`,
        );
      say([...loaded.complaints, ...missing]);
      return missing.length > 0 ? 1 : 0;
    }
    default:
      return loaded satisfies never;
  }
}
