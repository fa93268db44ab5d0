import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { execa } from 'execa';
import { megabytes, whileGrowing, type Download, type Limits } from './download.js';

/**
 * The SDK downloads an executable only to start it, and cannot be interrupted. So it does this in a process of its own,
 * which stops the server at once and which can be killed.
 */
const program = `
const { TestWorkflowEnvironment } = require(process.argv[1]);
const [, , server, downloadDir, version] = process.argv;
const options = { server: { executable: { type: 'cached-download', downloadDir, version } } };
const started = server === 'dev-server'
  ? TestWorkflowEnvironment.createLocal(options)
  : TestWorkflowEnvironment.createTimeSkipping(options);
started.then((environment) => environment.teardown()).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
`;

/** What Temporal's own SDK would fetch. */
export const officialDownload: Download = officialDownloadWithin({ stallMs: 10_000, totalMs: 600_000 });

export function officialDownloadWithin(limits: Limits): Download {
  return {
    name: 'official download',
    async fetch(wanted, directory, environment, onProgress) {
      onProgress(`${wanted.title} ${wanted.version}: official download`);
      const sdk = createRequire(import.meta.url).resolve('@temporalio/testing');
      const words = ['-e', program, sdk, wanted.official.server, directory, wanted.official.version];
      const tell = (bytes: number) => onProgress(`${wanted.title} ${wanted.version}: ${megabytes(bytes)}`);
      const run = await whileGrowing(directory, limits, tell, (cancelSignal) =>
        execa(process.execPath, words, {
          env: environment,
          extendEnv: false,
          stdin: 'ignore',
          stdout: 'ignore',
          reject: false,
          cancelSignal,
          forceKillAfterDelay: 500,
        }).then((ended) => {
          cancelSignal.throwIfAborted();
          return ended;
        }),
      );
      if (run.failed) throw new Error(reasonFrom(run.stderr) ?? run.shortMessage);
      return onlyFileIn(directory);
    },
  };
}

/** The SDK wraps the cause in several layers that say the same; the innermost is last. */
const reasonFrom = (stderr: string): string | undefined =>
  stderr
    .split('\n')
    .filter((line) => line.trim() !== '')
    .at(-1);

async function onlyFileIn(directory: string): Promise<string> {
  const names = (await readdir(directory, { withFileTypes: true })).filter((entry) => entry.isFile());
  const [name] = names;
  if (names.length !== 1 || !name) throw new Error(`left ${names.length} files, needs 1`);
  return join(directory, name.name);
}
