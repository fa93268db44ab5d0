import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stateDirectory, type Playground } from './playground.js';
import { commandFile } from './worker-process.js';

/** Writes what a shell reads to play along: where Temporal, its UI and records are, and the command by its name. Gives its path. */
export async function writeShellFile({ sandbox, temporal }: Playground): Promise<string> {
  const path = join(sandbox.directory, 'env');
  const lines = [
    `export TEMPORAL_ADDRESS=${quoted(temporal.address)}`,
    ...(temporal.uiUrl === undefined ? [] : [`export VERDIGRIS_UI=${quoted(temporal.uiUrl)}`]),
    `export XDG_STATE_HOME=${quoted(stateDirectory(sandbox))}`,
    `verdigris() { ${quoted(process.execPath)} ${quoted(commandFile)} "$@"; }`,
    `cd ${quoted(sandbox.directory)}`,
    '',
  ];
  await writeFile(path, lines.join('\n'));
  return path;
}

/** One word for a shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
