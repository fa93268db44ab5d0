import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

/**
 * A shell that puts a guard beside itself and then becomes the program, so that the program has the shell's pid and there
 * is no moment without a guard. The guard reads the pipe that we hold: a line means that we saw the program end; the end
 * of the pipe means that we are gone, however we went. It is nobody's child: a program that waits for its children before it ends,
 * as HAProxy's master does, would wait for its guard.
 */
const shell = `
exec 3<&0 </dev/null
(
  {
    read -r _ <&3 || {
      kill -TERM $$
      tries=0
      while kill -0 $$ && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
      kill -KILL $$
    }
  } >/dev/null 2>&1 &
)
exec 3<&-
exec "$@"
`;

/** A program that does not outlive us, even when we are killed. */
export interface GuardedProcess {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended, as in `exit code 1` or `SIGKILL`, once it did. */
  readonly ended: Promise<string>;
  isRunning(): boolean;
  /** Asks it to end, and ends it by force when it has not within `graceMs`. */
  stop(graceMs: number): Promise<void>;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
}

/** In a session of its own: a Ctrl-C at our terminal is ours to answer, not the program's. */
export function startGuarded(
  program: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): GuardedProcess {
  const child = spawn('sh', ['-c', shell, program, program, ...words], {
    detached: true,
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // The guard may be gone by the time that we dismiss it.
  child.stdin.on('error', () => undefined);
  const ended = endOf(child).finally(() => child.stdin.end('seen\n'));
  const isRunning = () => child.exitCode === null && child.signalCode === null;

  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return {
    pid: child.pid ?? -1,
    stdout: child.stdout,
    stderr: child.stderr,
    ended,
    isRunning,
    kill,
    async stop(graceMs) {
      child.kill('SIGTERM');
      const force = setTimeout(() => void child.kill('SIGKILL'), graceMs);
      await ended.finally(() => clearTimeout(force));
    },
  };
}

const endOf = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
