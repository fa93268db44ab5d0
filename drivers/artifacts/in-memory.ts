import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { hashOf } from '../../domain/hash.js';
import { Digest } from '../../domain/names.js';
import type { ArtifactStore, StoredArtifact } from './store.js';

/** Artifacts that exist by name only, for tests of what is decided about them. */
export class InMemoryArtifacts implements ArtifactStore {
  readonly #artifacts = new Map<Digest, { readonly bytes: Buffer; readonly executable: Digest }>();
  readonly #failures: Error[] = [];

  /** From now on there is an artifact of these bytes, said to hold this program. Gives its digest. */
  add(bytes: Buffer, executable: Digest): Digest {
    const digest = Digest(createHash('sha256').update(bytes).digest('hex'));
    this.#artifacts.set(digest, { bytes, executable });
    return digest;
  }

  failNext(failure: Error): void {
    this.#failures.push(failure);
  }

  async ensure(artifact: Artifact): Promise<StoredArtifact> {
    const failure = this.#failures.shift();
    if (failure) throw failure;
    const found = this.#artifacts.get(artifact.sha256);
    if (!found) {
      throw new Failure('ArtifactUnreachable', `Cannot fetch "${artifact.url}": there is no such artifact`);
    }
    const unitTemplate = '[Service]\nExecStart={{directory}}/current/bin/program --port {{port}}\n';
    const { bytes, executable } = found;
    const facts = { sizeBytes: bytes.length, files: 2, executable, settings: hashOf(unitTemplate) };
    return { facts, sizeBytes: facts.sizeBytes, unitTemplate, open: () => Readable.from([bytes]) };
  }
}
