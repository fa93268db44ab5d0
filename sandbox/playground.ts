import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runByHand } from './foreign-release.js';
import { buildGreeter, type BuiltGreeter, type GreeterVariant } from './programs.js';
import { startSandbox, type Sandbox, type SandboxOptions } from './sandbox.js';
import { existingServer } from './temporal/executable.js';
import { startTemporal, type TemporalServer } from './temporal/server.js';
import { WorkerProcess } from './worker-process.js';

export interface PlaygroundOptions extends SandboxOptions {
  /** Where builds are kept for the next time. */
  readonly buildDirectory: string;
  readonly onProgress: (line: string) => void;
}

/** Everything that a deployment needs, on one machine: Temporal with its UI, the sandbox, a worker, and v1 running by hand on blue. */
export interface Playground {
  readonly sandbox: Sandbox;
  readonly temporal: Pick<TemporalServer, 'address' | 'uiUrl'>;
  /** For commands and workers: where Temporal and its UI are, and where a switch by hand is written down. */
  readonly environment: NodeJS.ProcessEnv;
  build(version: string, variant?: GreeterVariant): Promise<BuiltGreeter>;
  startWorker(): Promise<WorkerProcess>;
  close(): Promise<void>;
}

export async function startPlayground(options: PlaygroundOptions): Promise<Playground> {
  const { directory, onProgress } = options;
  await mkdir(directory, { recursive: true });
  const workers: WorkerProcess[] = [];
  const ends: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.kill()));
    for (const end of ends.splice(0).reverse()) await end();
  };
  const build = (version: string, variant: GreeterVariant = 'none'): Promise<BuiltGreeter> =>
    buildGreeter({ version, variant, directory: options.buildDirectory });
  try {
    onProgress('Temporal');
    const temporal = await temporalFor(options);
    ends.push(() => temporal.close());
    onProgress('the sandbox: OVHcloud API, load balancer, servers');
    const sandbox = await startSandbox(options);
    ends.push(() => sandbox.close());
    if (!sandbox.isResumed) {
      onProgress('greeter 1.0.0, built by CMake and put on blue by hand');
      const first = await build('1.0.0');
      const blue = sandbox.servers.filter(({ color }) => color === 'blue');
      await Promise.all(blue.map((server) => runByHand(server, first, { enabled: options.keep === true })));
    }
    const environment = {
      ...process.env,
      TEMPORAL_ADDRESS: temporal.address,
      ...(temporal.uiUrl === undefined ? {} : { VERDIGRIS_UI: temporal.uiUrl }),
      // A service of the same name may be a real one for whoever plays.
      XDG_STATE_HOME: stateDirectory(sandbox),
    };
    const startWorker = async (): Promise<WorkerProcess> => {
      const logFile = join(directory, 'worker.log');
      const worker = await WorkerProcess.start({
        workerFile: sandbox.workerFile,
        address: temporal.address,
        logFile,
        environment,
      });
      workers.push(worker);
      return worker;
    };
    return { sandbox, temporal, environment, build, startWorker, close };
  } catch (error) {
    await close();
    throw error;
  }
}

export const stateDirectory = ({ directory }: Pick<Sandbox, 'directory'>): string => join(directory, 'state');

async function temporalFor({
  directory,
  onProgress,
}: PlaygroundOptions): Promise<Pick<TemporalServer, 'address' | 'uiUrl' | 'close'>> {
  const existing = existingServer();
  if (existing)
    return { address: existing.address, uiUrl: process.env['VERDIGRIS_UI'], close: async () => undefined };
  return startTemporal({ directory: join(directory, 'temporal'), ui: true, onProgress });
}
