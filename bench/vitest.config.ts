import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Measures, and prints; nothing is asserted but that it worked. Needs what the fleet tests need, and Ansible. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('..', import.meta.url)),
    include: ['bench/*.bench.ts'],
    globalSetup: ['test/support/temporal-server.ts', 'test/support/workflow-bundle.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    disableConsoleIntercept: true,
  },
});
