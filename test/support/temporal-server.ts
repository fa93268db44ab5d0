import type { TestProject } from 'vitest/node';
import { existingServer } from '../../sandbox/temporal/executable.js';
import { startTemporal } from '../../sandbox/temporal/server.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the one Temporal server that all tests of this run share: `inject('temporalAddress')`. */
    temporalAddress: string;
  }
}

/** One server for the run: the one that `TEMPORAL_ADDRESS` names, else a dev server of our own. */
export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const existing = existingServer();
  if (existing) {
    project.provide('temporalAddress', existing.address);
    return undefined;
  }
  const server = await startTemporal({ onProgress: (line) => console.error(line) });
  project.provide('temporalAddress', server.address);
  return () => server.close();
}
