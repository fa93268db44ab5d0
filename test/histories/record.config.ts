import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Records the histories anew: `npm run record-histories`. Needs what the tests need. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/histories/record.ts'],
    globalSetup: ['test/support/temporal-server.ts', 'test/support/workflow-bundle.ts'],
    pool: 'forks',
    maxConcurrency: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
