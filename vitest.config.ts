import { defineConfig } from 'vitest/config';
import { SpreadTurns } from './test/support/order.js';
import { scratchFolder } from './test/support/scratch.js';

// Before anything asks for a folder: whatever is started inherits it.
process.env['TMPDIR'] = scratchFolder();

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/temporal-server.ts', 'test/support/workflow-bundle.ts'],
    pool: 'forks',
    // More than there are processors: many tests wait for machines most of the time.
    maxWorkers: 5,
    sequence: { sequencer: SpreadTurns },
    // A limit for what hangs, and no measure of speed: a machine that checks changes may be shared and slow.
    testTimeout: 180_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    // A test that fails now and then is mended, not tried again.
    retry: 0,
  },
});
