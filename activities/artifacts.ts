import type { Artifact, ArtifactFacts } from '../domain/deployment.js';
import type { Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import { patiently } from './patience.js';
import { settingsForAll } from './settings.js';

export const createArtifactActivities = (drivers: Drivers) => ({
  /**
   * Makes sure that the artifact is in this worker's cache, is what its digest says, is safe and complete, and that its
   * templates can be filled in for every server.
   */
  async fetchArtifact(input: {
    readonly service: Service;
    readonly artifact: Artifact;
  }): Promise<ArtifactFacts> {
    return patiently(async (patience) => {
      const { facts, templates } = await drivers.artifacts.ensure(input.artifact, input.service, patience);
      const { digest } = await settingsForAll(drivers, input.service, templates);
      return { ...facts, settings: digest };
    });
  },
});
