import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { hashOf } from '../../domain/hash.js';
import type { Binaries } from '../../domain/library-search.js';
import { Digest } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import type { Patience } from '../patience.js';
import { pause } from '../servers/pause.js';
import type { ArtifactStore, StoredArtifact } from './store.js';

interface Imagined {
  readonly bytes: Buffer;
  readonly executable: Digest;
  readonly binaries?: Binaries;
}

/** Artifacts that exist by name only, for tests of what is decided about them. */
export class InMemoryArtifacts implements ArtifactStore {
  /** How long fetching takes. */
  delayMs = 0;
  readonly #artifacts = new Map<Digest, Imagined>();
  readonly #failures: Error[] = [];

  /** From now on there is an artifact of these bytes, said to hold this program. Gives its digest. */
  add(bytes: Buffer, executable: Digest, binaries?: Binaries): Digest {
    const digest = Digest(createHash('sha256').update(bytes).digest('hex'));
    this.#artifacts.set(digest, { bytes, executable, ...(binaries === undefined ? {} : { binaries }) });
    return digest;
  }

  failNext(failure: Error): void {
    this.#failures.push(failure);
  }

  async ensure(artifact: Artifact, _service: Service, { signal }: Patience): Promise<StoredArtifact> {
    if (this.delayMs > 0) await pause(this.delayMs, signal);
    const failure = this.#failures.shift();
    if (failure) throw failure;
    const found = this.#artifacts.get(artifact.sha256);
    if (!found) {
      throw new Failure('ArtifactUnreachable', `Cannot fetch "${artifact.url}": there is no such artifact`);
    }
    const unitTemplate = '[Service]\nExecStart={{directory}}/current/bin/program --port {{port}}\n';
    const { bytes, ...told } = found;
    const facts = { sizeBytes: bytes.length, files: 2, settings: hashOf(unitTemplate), ...told };
    return { facts, sizeBytes: facts.sizeBytes, unitTemplate, open: () => Readable.from([bytes]) };
  }
}
