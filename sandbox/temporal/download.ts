import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PinnedExecutable } from './pinned.js';

/** One way to get an executable from somewhere else. */
export interface Download {
  /** For people, as in `official download`. */
  readonly name: string;
  /** Leaves the executable, and anything it likes beside it, in `directory`. Returns its path. */
  fetch(
    wanted: PinnedExecutable,
    directory: string,
    environment: NodeJS.ProcessEnv,
    onProgress: (line: string) => void,
  ): Promise<string>;
}

export interface Limits {
  /** Given up when nothing has arrived for this long. */
  readonly stallMs: number;
  /** Given up after this long whatever arrives. */
  readonly totalMs: number;
}

/**
 * Runs `work` for as long as it makes `directory` grow: patient with a slow line, quick to give up where there is none.
 * `work` must end soon after its signal is aborted.
 */
export async function whileGrowing<T>(
  directory: string,
  limits: Limits,
  onBytes: (bytes: number) => void,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const startedAt = performance.now();
  let grown = { bytes: 0, at: startedAt };
  const look = async () => {
    const bytes = await bytesIn(directory);
    const now = performance.now();
    if (bytes !== grown.bytes) {
      grown = { bytes, at: now };
      onBytes(bytes);
    }
    if (now - grown.at >= limits.stallMs) end.abort(`nothing arrived for ${limits.stallMs / 1000} s`);
    else if (now - startedAt >= limits.totalMs) end.abort(`was not done after ${limits.totalMs / 1000} s`);
  };
  const timer = setInterval(
    () => void look().catch((error: unknown) => end.abort(error)),
    limits.stallMs / 10,
  );
  try {
    return await work(end.signal);
  } catch (error) {
    throw end.signal.aborted ? new Error(String(end.signal.reason), { cause: error }) : error;
  } finally {
    clearInterval(timer);
  }
}

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

async function bytesIn(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(absent([] as string[]));
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then((found) => (found.isFile() ? found.size : 0), absent(0)),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Files come and go while they are counted. */
const absent =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT') return instead;
    throw error;
  };
