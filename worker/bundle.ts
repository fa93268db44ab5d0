import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, bundleWorkflowCode, type Logger } from '@temporalio/worker';

/** The workflows as one file, made once per build: a worker that restarts need not bundle again. */
export const bundlePath = fileURLToPath(new URL('./workflow-bundle.cjs', import.meta.url));

/** Where a module of the workflows stands in this tree: compiled beside a compiled worker, sources beside sources. */
const workflowModule = (name: string): string =>
  fileURLToPath(
    new URL(`../workflows/${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
  );

/** The workflows with all that belongs to them as one file. The only place that makes one. Refuses Node modules in it. */
export async function bundleWorkflows(logger: Logger): Promise<{ readonly code: string }> {
  return bundleWorkflowCode({
    workflowsPath: workflowModule('index'),
    workflowInterceptorModules: [workflowModule('service-by-name'), workflowModule('summaries')],
    logger,
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { code } = await bundleWorkflows(new DefaultLogger('WARN'));
  await writeFile(bundlePath, code);
}
