import type { Artifact, ArtifactFacts } from '../domain/deployment.js';
import type { Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import { patiently } from './patience.js';

export const createArtifactActivities = (drivers: Drivers) => ({
  /** Makes sure that the artifact is in this worker's cache, is what its digest says, and is safe and complete. */
  async fetchArtifact(input: {
    readonly service: Service;
    readonly artifact: Artifact;
  }): Promise<ArtifactFacts> {
    return patiently(
      async (patience) => (await drivers.artifacts.ensure(input.artifact, input.service, patience)).facts,
    );
  },
});
