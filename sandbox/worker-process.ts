import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The real `verdigris worker`, as a process of its own. */
export class WorkerProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts it and resolves once it asks Temporal for work. Its log goes to `logFile`. */
  static async start(options: { readonly workerFile: string; readonly address: string; readonly taskQueue?: string; readonly logFile: string }): Promise<WorkerProcess> {
    const { workerFile, address, taskQueue, logFile } = options;
    const words = [commandFile, 'worker', '--config', workerFile, '--address', address, ...(taskQueue ? ['--task-queue', taskQueue] : [])];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] });
    const worker = new WorkerProcess(child);
    const log = createWriteStream(logFile, { flags: 'a' });
    let tail = '';
    const ready = new Promise<void>((resolve, reject) => {
      child.stderr?.on('data', (chunk: Buffer) => {
        log.write(chunk);
        tail = (tail + chunk.toString()).slice(-2_000);
        if (tail.includes('worker is ready')) resolve();
      });
      child.once('exit', code => reject(new Error(`Cannot start a worker: it ended with ${code ?? 'a signal'}\n${tail}`)));
    });
    child.once('exit', () => log.end());
    await ready;
    return worker;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** As a power cut would: nothing is finished, nothing is said. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Politely: steps in flight reach a safe point. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}

/** The compiled command, whether this file runs as TypeScript or from `dist/`. */
export const commandFile = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../dist/client/main.js' : '../client/main.js', import.meta.url),
);
