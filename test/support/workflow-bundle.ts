import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DefaultLogger } from '@temporalio/worker';
import type { TestProject } from 'vitest/node';
import { bundleWorkflows } from '../../worker/bundle.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The workflows as one file, bundled once for the run: `inject('workflowBundle')`. */
    workflowBundle: string;
  }
}

/** Bundling takes seconds and refuses Node modules in workflow code: once per run is enough for both. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'verdigris-bundle-'));
  const { code } = await bundleWorkflows(new DefaultLogger('ERROR'));
  const path = join(folder, 'workflows.cjs');
  await writeFile(path, code);
  project.provide('workflowBundle', path);
  return () => rm(folder, { recursive: true });
}
