import { execa } from 'execa';
import type { PinnedExecutable } from './pinned.js';

/** Generous: the first run of a 150 MB file on a cold, busy disk. */
const answerMs = 20_000;

/** Returns `path` once the executable there has run and answered as the wanted one does. */
export async function prove(wanted: PinnedExecutable, path: string): Promise<string> {
  const run = await execa(path, wanted.proof.words, {
    all: true,
    reject: false,
    stdin: 'ignore',
    timeout: answerMs,
  });
  if (run.failed) throw new Error(`"${path}" does not run: ${run.shortMessage}`);
  const complaint = wanted.proof.refuse(run.all);
  if (complaint !== undefined) throw new Error(`"${path}" ${complaint}`);
  return path;
}
