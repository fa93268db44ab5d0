import { constants, createWriteStream } from 'node:fs';
import { open, readlink, realpath } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import type { ArtifactDriver } from './driver.js';
import { refused, tooLarge, troubleOf } from './http-trouble.js';

export interface FileArtifactOptions {
  /** Only files below this directory may be read; without it, any that the worker can read. */
  readonly below?: string;
}

/** Artifacts on the worker's own disk: `file:///srv/artifacts/greeter.tar.gz`. */
export const createFileArtifacts = ({ below }: FileArtifactOptions = {}): ArtifactDriver => ({
  scheme: 'file:',

  async download(artifact, settings, _service, path, patience) {
    patience.signal.throwIfAborted();
    patience.progress('copying the artifact');
    const source = await openSource(artifact);
    try {
      await checkPlace(artifact, source, below);
      const { size } = await source.stat();
      if (size > settings.maxBytes) throw tooLarge(artifact, settings);
      await pipeline(
        source.createReadStream({ autoClose: false, end: Math.max(0, size - 1) }),
        createWriteStream(path, { flags: 'wx', mode: 0o600 }),
        { signal: patience.signal },
      );
    } catch (error) {
      patience.signal.throwIfAborted();
      throw error instanceof Failure ? error : troubleOf(error, artifact.url);
    } finally {
      await source.close();
    }
  },
});

/** A link in the last place is not followed, and a pipe not waited for: what is named is the file itself. */
async function openSource(artifact: Artifact): Promise<FileHandle> {
  const path = pathOf(artifact);
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw refused(artifact, openWords[code] ?? `it cannot be opened (${code})`);
  }
}

const openWords: Readonly<Record<string, string>> = {
  ENOENT:
    'there is no such file on the worker (file:// is the disk of the worker, not of the machine that runs this command)',
  ENOTDIR: 'there is no such file on the worker',
  EACCES: 'the worker may not read it',
  ELOOP: 'it is a symbolic link, needs the file itself',
  ENXIO: 'it is no regular file',
};

function pathOf(artifact: Artifact): string {
  try {
    return fileURLToPath(artifact.url);
  } catch (error) {
    throw refused(
      artifact,
      `it is no usable file URL (${(error as Error).message}), needs file:///absolute/path`,
    );
  }
}

async function checkPlace(artifact: Artifact, source: FileHandle, below: string | undefined): Promise<void> {
  if (!(await source.stat()).isFile()) throw refused(artifact, 'it is no regular file');
  if (below === undefined) return;
  // Asked of the open file: the path could be another one by now.
  const actual = await readlink(`/proc/self/fd/${source.fd}`);
  const allowed = await realpath(below);
  if (!actual.startsWith(allowed.endsWith(sep) ? allowed : allowed + sep)) {
    throw refused(artifact, `it is not below "${below}", the only place that this worker reads files from`);
  }
}
