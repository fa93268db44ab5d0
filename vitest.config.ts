import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/temporal-server.ts', 'test/support/workflow-bundle.ts'],
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A machine that checks changes is shared: what fails there is tried once more, and is told as retried.
    retry: process.env['CI'] ? 1 : 0,
  },
});
