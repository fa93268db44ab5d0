import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startGuarded, type GuardedProcess } from './guarded-process.js';

/** Longer than a worker takes to end politely. */
const graceMs = 70_000;

/** The real `verdigris worker`, as a process of its own that does not outlive us. */
export class WorkerProcess {
  readonly #process: GuardedProcess;

  private constructor(process_: GuardedProcess) {
    this.#process = process_;
  }

  /** Starts it and resolves once it asks Temporal for work. Its log goes to `logFile`. */
  static async start(options: WorkerProcessOptions): Promise<WorkerProcess> {
    const { workerFile, address, taskQueue, logFile, environment } = options;
    const where = [
      '--config',
      workerFile,
      '--address',
      address,
      ...(taskQueue === undefined ? [] : ['--task-queue', taskQueue]),
    ];
    const worker = startGuarded(process.execPath, [commandFile, 'worker', ...where], environment);
    const log = createWriteStream(logFile, { flags: 'a' });
    worker.stderr.pipe(log);
    worker.stdout.resume();
    let tail = '';
    const ready = new Promise<void>((resolve) => {
      worker.stderr.on('data', (chunk: Buffer) => {
        tail = (tail + chunk.toString()).slice(-2_000);
        if (tail.includes('worker is ready')) resolve();
      });
    });
    const failed = worker.ended.then((how): never => {
      throw new Error(`Cannot start a worker: it ended with ${how}, needs to run\n${tail}`);
    });
    // Once it is ready, its end is nobody's failure.
    failed.catch(() => undefined);
    await Promise.race([ready, failed]);
    return new WorkerProcess(worker);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** As a power cut would: nothing is finished, nothing is said. */
  async kill(): Promise<void> {
    await this.#process.kill();
    await this.#process.ended;
  }

  /** Politely: steps in flight reach a safe point. */
  async stop(): Promise<void> {
    await this.#process.stop(graceMs);
  }
}

export interface WorkerProcessOptions {
  readonly workerFile: string;
  /** Of Temporal. */
  readonly address: string;
  readonly taskQueue?: string;
  readonly logFile: string;
  /** This process's own, unless it is given. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** The compiled command, whether this file runs as TypeScript or from `dist/`. */
export const commandFile = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../dist/client/main.js' : '../client/main.js', import.meta.url),
);
