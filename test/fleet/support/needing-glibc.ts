import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { Digest } from '../../../domain/names.js';
import type { BuiltGreeter } from '../../../sandbox/programs.js';

/**
 * The same build as a compiler on a much newer system would link it: it needs a version of the C library that no machine has yet.
 * What the loader goes by is changed: the name of the version, and the hash of that name.
 */
export async function needingGlibc(
  built: BuiltGreeter,
  version: string,
  directory: string,
): Promise<BuiltGreeter> {
  const tree = await mkdtemp(join(directory, 'newer-'));
  await execa('tar', ['-xzf', built.archive, '-C', tree]);
  const executable = join(tree, 'bin/greeter');
  const bytes = await readFile(executable);
  const old = /GLIBC_2\.3\d/.exec(bytes.toString('latin1'))?.[0];
  if (old?.length !== version.length)
    throw new Error(`Cannot make greeter need ${version}: it needs ${old} now`);
  replaceAll(bytes, Buffer.from(`${old}\0`), Buffer.from(`${version}\0`));
  replaceAll(bytes, hashOf(old), hashOf(version));
  await writeFile(executable, bytes);

  const archive = join(directory, `greeter-${version}.tar.gz`);
  await execa('tar', ['-czf', archive, '-C', tree, '.']);
  await rm(tree, { recursive: true });
  const sha256 = createHash('sha256')
    .update(await readFile(archive))
    .digest('hex');
  return { archive, sha256: Digest(sha256), executable, cached: false };
}

function replaceAll(bytes: Buffer, from: Buffer, to: Buffer): void {
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) to.copy(bytes, at);
}

/** The hash of a name as ELF has it (System V ABI, "Hash Table"), as it stands in the file. */
function hashOf(name: string): Buffer {
  let hash = 0;
  for (const byte of Buffer.from(name)) {
    hash = ((hash << 4) >>> 0) + byte;
    const high = hash & 0xf0000000;
    hash = (hash ^ (high >>> 24)) & ~high;
  }
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(hash >>> 0);
  return bytes;
}
