import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';

/** The workflows as one file, made once per build: a worker that restarts need not bundle again. */
export const bundlePath = fileURLToPath(new URL('./workflow-bundle.cjs', import.meta.url));

/** Where the workflows stand in this tree: compiled beside a compiled worker, sources beside sources. */
export const workflowsPath = fileURLToPath(
  new URL(`../workflows/index.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
  await writeFile(bundlePath, code);
}
