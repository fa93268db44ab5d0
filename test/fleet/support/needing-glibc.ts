import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuiltGreeter } from '../../../sandbox/programs.js';
import { repacked } from './repacked.js';

/**
 * The same build as a compiler on a much newer system would link it: it needs a version of the C library that no machine has yet.
 * What the loader goes by is changed: the name of the version, and the hash of that name.
 */
export const needingGlibc = (
  built: BuiltGreeter,
  version: string,
  directory: string,
): Promise<BuiltGreeter> =>
  repacked(built, directory, version, async (tree) => {
    const executable = join(tree, 'bin/greeter');
    const bytes = await readFile(executable);
    const old = /GLIBC_2\.3\d/.exec(bytes.toString('latin1'))?.[0];
    if (old?.length !== version.length)
      throw new Error(`Cannot make greeter need ${version}: it needs ${old} now`);
    replaceAll(bytes, Buffer.from(`${old}\0`), Buffer.from(`${version}\0`));
    replaceAll(bytes, hashOf(old), hashOf(version));
    await writeFile(executable, bytes);
  });

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
