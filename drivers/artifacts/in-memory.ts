import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import type { Binaries } from '../../domain/library-search.js';
import { Digest } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import type { Template } from '../../domain/template.js';
import type { Patience } from '../patience.js';
import { pause } from '../servers/pause.js';
import type { ArtifactStore, StoredArtifact } from './store.js';

interface Imagined {
  readonly bytes: Buffer;
  readonly executable: Digest;
  readonly files: readonly Template[];
  readonly binaries?: Binaries;
}

/** Artifacts that exist by name only, for tests of what is decided about them. */
export class InMemoryArtifacts implements ArtifactStore {
  /** How long fetching takes. */
  delayMs = 0;
  readonly #artifacts = new Map<Digest, Imagined>();
  readonly #failures: Error[] = [];
  /** Called before each answer, with how often was asked. */
  onEnsure: (times: number) => void = () => undefined;
  #times = 0;

  /** From now on there is an artifact of these bytes, said to hold this program and these templates. Gives its digest. */
  add(bytes: Buffer, executable: Digest, binaries?: Binaries, files: readonly Template[] = []): Digest {
    const digest = Digest(createHash('sha256').update(bytes).digest('hex'));
    this.#artifacts.set(digest, {
      bytes,
      executable,
      files,
      ...(binaries === undefined ? {} : { binaries }),
    });
    return digest;
  }

  failNext(failure: Error): void {
    this.#failures.push(failure);
  }

  async ensure(artifact: Artifact, service: Service, { signal }: Patience): Promise<StoredArtifact> {
    this.onEnsure(++this.#times);
    if (this.delayMs > 0) await pause(this.delayMs, signal);
    const failure = this.#failures.shift();
    if (failure) throw failure;
    const found = this.#artifacts.get(artifact.sha256);
    if (!found) {
      throw new Failure('ArtifactUnreachable', `Cannot fetch "${artifact.url}": there is no such artifact`);
    }
    const { bytes, files, ...told } = found;
    const missing = service.configuration.files.filter((path) => !files.some((file) => file.path === path));
    if (missing.length > 0) {
      throw new Failure(
        'ArchiveIncomplete',
        `Cannot use "${artifact.url}": ${missing.join(', ')} is missing`,
      );
    }
    const unit = {
      path: service.program.unitFile,
      text: '[Service]\nExecStart={{directory}}/current/bin/program --port {{port}}\n',
    };
    const sizeBytes = bytes.length;
    return {
      facts: {
        sizeBytes,
        files: 2 + files.length,
        entries: 4 + files.length,
        unpackedBytes: 3 * sizeBytes,
        ...told,
      },
      sizeBytes,
      templates: { unit, files },
      open: () => Readable.from([bytes]),
    };
  }
}
