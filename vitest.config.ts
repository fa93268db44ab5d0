import { configDefaults, defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { SpreadOut, sharedProcess } from './test/support/order.js';
import { scratchFolder } from './test/support/scratch.js';

// Before anything asks for a folder: whatever is started inherits it.
process.env['TMPDIR'] = scratchFolder();

/** Where tests start and keep nothing that another could meet: they share processes, since starting one costs more than most of them. */
const alike = ['activities', 'client/configuration', 'domain', 'ovh', 'sandbox/ovh-api', 'worker'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

const limits = {
  // A limit for what hangs, and no measure of speed: a machine that checks changes may be shared and slow.
  testTimeout: 180_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 60_000 } },
  // A test that fails now and then is mended, not tried again.
  retry: 0,
};

const project = (
  name: string,
  test: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration => ({ test: { name, pool: 'forks', ...limits, ...test } });

export default defineConfig({
  test: {
    globalSetup: ['test/support/temporal-server.ts', 'test/support/workflow-bundle.ts'],
    // More than there are processors: many tests wait for machines most of the time.
    maxWorkers: 5,
    sequence: { sequencer: SpreadOut },
    projects: [
      project(sharedProcess, { include: alike, isolate: false }),
      project('own process', {
        include: ['test/**/*.test.ts'],
        exclude: [...configDefaults.exclude, ...alike],
      }),
    ],
  },
});
