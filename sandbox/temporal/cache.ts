import { chmod, mkdir, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { PinnedExecutable } from './pinned.js';
import { prove } from './proof.js';

/** Where an executable is kept for every checkout of this person. */
export const cachedPath = (wanted: PinnedExecutable, environment: NodeJS.ProcessEnv): string =>
  join(cacheDirectory(environment), wanted.command, wanted.version, wanted.command);

/**
 * Puts what `fetch` brings into a directory of its own into the cache. Whoever looks meanwhile sees the old file or
 * the whole new one, and a file that does not run never gets there.
 */
export async function keep(
  wanted: PinnedExecutable,
  environment: NodeJS.ProcessEnv,
  fetch: (directory: string) => Promise<string>,
): Promise<string> {
  const cache = cacheDirectory(environment);
  await mkdir(cache, { recursive: true });
  await sweep(cache);
  const directory = await mkdtemp(join(cache, `${unfinished}${process.pid}-`));
  try {
    const fetched = await fetch(directory);
    await chmod(fetched, 0o755);
    await prove(wanted, fetched);
    await sync(fetched);
    const path = cachedPath(wanted, environment);
    await mkdir(dirname(path), { recursive: true });
    await rename(fetched, path);
    return path;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const unfinished = '.download-';

/** Removes what downloads left behind that were killed. */
async function sweep(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const pid = new RegExp(`^\\${unfinished}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)))
      await rm(join(cache, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function cacheDirectory(environment: NodeJS.ProcessEnv): string {
  const given = environment['XDG_CACHE_HOME'];
  const base = given && isAbsolute(given) ? given : join(environment['HOME'] || homedir(), '.cache');
  return join(base, 'verdigris');
}
