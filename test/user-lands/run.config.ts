import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Runs what every server promises on the systems that people have: `npm run test-user-lands`. Needs what the fleet tests need. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/user-lands/promises.ts'],
    pool: 'forks',
    testTimeout: 180_000,
    hookTimeout: 900_000,
  },
});
