import type { Artifact } from '../../domain/deployment.js';
import type { ArtifactSettings, Service } from '../../domain/service.js';
import type { Patience } from '../patience.js';

/** Brings the artifact's bytes to this machine, from one kind of place. */
export interface ArtifactDriver {
  /** URL scheme that it answers for, for example `https:`. */
  readonly scheme: string;

  /**
   * Writes the artifact to `path`, which does not exist yet, and ends when all bytes are there. Does not judge them.
   * @throws Failure `ArtifactUnreachable`, `ArtifactRefused` (larger than `settings.maxBytes`, not found, login refused, unsafe redirect), `SecretRefused`
   */
  download(
    artifact: Artifact,
    settings: ArtifactSettings,
    service: Service,
    path: string,
    patience: Patience,
  ): Promise<void>;
}
