import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { Digest } from '../../../domain/names.js';
import type { BuiltGreeter } from '../../../sandbox/programs.js';

/** The same build with something changed in what was packed. The archive is put into `directory`. */
export async function repacked(
  built: BuiltGreeter,
  directory: string,
  name: string,
  change: (tree: string) => Promise<unknown>,
): Promise<BuiltGreeter> {
  const tree = await mkdtemp(join(tmpdir(), 'verdigris-repacked-'));
  const archive = join(directory, `greeter-${name}.tar.gz`);
  try {
    await execa('tar', ['-xzf', built.archive, '-C', tree]);
    await change(tree);
    await execa('tar', ['-czf', archive, '-C', tree, '.']);
  } finally {
    await rm(tree, { recursive: true });
  }
  const sha256 = createHash('sha256')
    .update(await readFile(archive))
    .digest('hex');
  return { ...built, archive, sha256: Digest(sha256) };
}
