import type { Readable } from 'node:stream';
import type { Artifact, ArtifactFacts } from '../../domain/deployment.js';
import type { Templates } from '../../domain/settings.js';
import type { Service } from '../../domain/service.js';
import type { Patience } from '../patience.js';

/**
 * The worker's artifacts, by content. Any worker can serve any step: what is missing is fetched again.
 */
export interface ArtifactStore {
  /**
   * Makes sure that the artifact is here, is what its digest says, and is safe and complete.
   * @throws Failure of `ArtifactDriver.download`, `DigestMismatch`, `ArchiveUnsafe` (absolute or `..` path, link out, device, set-uid,
   * too large when unpacked), `ArchiveIncomplete` (no executable or unit file where the service says)
   */
  ensure(artifact: Artifact, service: Service, patience: Patience): Promise<StoredArtifact>;
}

export interface StoredArtifact {
  /** What the bytes alone tell; what the settings are depends on the service. */
  readonly facts: Omit<ArtifactFacts, 'settings'>;
  readonly sizeBytes: number;
  readonly templates: Templates;
  readonly open: () => Readable;
}
