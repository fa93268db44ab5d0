import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const hourMs = 3_600_000;

/** What was used within this time may be read at this moment, by this process or another. */
const inUseMs = hourMs;
/** A download that is older than this was cut off by a crash. */
const abandonedMs = 24 * hourMs;

interface Entry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
  readonly notes: string[];
}

/** Removes artifacts, longest unused first, until `maxBytes` are kept at most; and what crashes left behind. */
export async function prune(directory: string, maxBytes: number, nowMs = Date.now()): Promise<void> {
  const entries = await entriesOf(directory, nowMs);
  let totalBytes = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  for (const entry of entries.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) {
    if (totalBytes <= maxBytes || nowMs - entry.usedAtMs < inUseMs) return;
    for (const path of [entry.path, ...entry.notes]) await rm(path, { force: true });
    totalBytes -= entry.sizeBytes;
  }
}

async function entriesOf(directory: string, nowMs: number): Promise<readonly Entry[]> {
  const entries = new Map<string, Entry>();
  const root = join(directory, 'sha256');
  for (const folder of await readdir(root)) {
    const names = (await readdir(join(root, folder))).toSorted();
    for (const name of names) {
      const path = join(root, folder, name);
      const look = await stat(path).catch(ignoreMissing);
      if (look === undefined) continue;
      const [digest = '', ...rest] = name.split('.');
      if (name.endsWith('.part')) {
        if (nowMs - look.mtimeMs > abandonedMs) await rm(path, { force: true });
      } else if (rest.length === 0) {
        entries.set(digest, { path, sizeBytes: look.size, usedAtMs: look.atimeMs, notes: [] });
      } else {
        entries.get(digest)?.notes.push(path);
      }
    }
  }
  return [...entries.values()];
}

/** Another worker prunes too. */
function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
