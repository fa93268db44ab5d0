import type { Drivers } from '../drivers/drivers.js';
import { createArtifactActivities } from './artifacts.js';
import { failingByName } from './fail.js';
import { createHealthActivities } from './health.js';
import { createObservationActivities } from './observation.js';
import { createReleaseActivities } from './releases.js';
import { createRunActivities } from './runs.js';
import { withServiceOfRun } from './service-of-run.js';
import { createTrafficActivities } from './traffic.js';
import { createTurnActivities } from './turns.js';

/** Every step that workflows can take against the world. Each is safe to repeat. */
export const createActivities = (drivers: Drivers) =>
  failingByName(
    withServiceOfRun({
      ...createRunActivities(),
      ...createTurnActivities(),
      ...createObservationActivities(drivers),
      ...createArtifactActivities(drivers),
      ...createReleaseActivities(drivers),
      ...createHealthActivities(drivers),
      ...createTrafficActivities(drivers),
    }),
  );

export type Activities = ReturnType<typeof createActivities>;
