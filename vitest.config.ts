import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/temporal-server.ts', 'test/support/workflow-bundle.ts'],
    pool: 'forks',
    maxWorkers: 3,
    // A limit for what hangs, and no measure of speed: a machine that checks changes may be shared and slow.
    testTimeout: 180_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    // Told as `retry x1`, and to be mended: a test that fails now and then is broken. Only where a change waits for it.
    retry: process.env['CI'] ? 1 : 0,
  },
});
