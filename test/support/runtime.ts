import { DefaultLogger, Runtime, makeTelemetryFilterString } from '@temporalio/worker';
import { beforeAll } from 'vitest';

let isQuiet = false;

/**
 * A process has one runtime of Temporal, which the files that run in it share. The runtime itself says nothing below an error: a run
 * that ends in the middle of an activity is no news here.
 */
Runtime.install({
  logger: new DefaultLogger('ERROR', ({ level, message, meta }) => {
    if (!isQuiet) console.error(level, message, meta);
  }),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
});

/** For a file in which failures are what is asked for: they would fill the output. */
export function keepQuiet(): void {
  beforeAll(() => {
    isQuiet = true;
    return () => {
      isQuiet = false;
    };
  });
}
