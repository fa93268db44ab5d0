import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** How a process ended. */
export type Exit =
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'killed'; readonly signal: NodeJS.Signals };

export interface SessionOptions {
  /** Whose it is: the unit directory of a machine. Tells what a machine left behind that was killed itself. */
  readonly owner: string;
  readonly program: string;
  /** With `argv[0]` in front. */
  readonly words: readonly string[];
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: 'pipe' | 'ignore';
}

/** How often a session that should be over is looked at: there is no event for the end of somebody else's child. */
const lookEveryMs = 20;

/** Names owner and session in the environment of processes, which tells them from later users of their numbers. */
const mark = 'VERDIGRIS_SESSION';

/**
 * A process with everything it starts: it leads a session of its own, so that all can be found and ended together.
 * It stands in for a control group, which needs root; a process that starts a session for itself gets away.
 */
export class Session {
  readonly pid: number;
  /** Of the leading process; others may live on. */
  readonly exited: Promise<Exit>;
  /** The leading process is gone, and nobody holds its output any more. */
  readonly closed: Promise<unknown>;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;

  readonly #id: string;
  #leaderIsGone = false;

  private constructor(child: ChildProcess, pid: number, stdout: Readable, stderr: Readable, id: string) {
    this.pid = pid;
    this.stdin = child.stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.#id = id;
    this.closed = once(child, 'close');
    this.exited = new Promise((resolve) => {
      child.once('exit', (status, signal) => {
        this.#leaderIsGone = true;
        resolve(signal === null ? { kind: 'exited', status: status ?? 0 } : { kind: 'killed', signal });
      });
    });
  }

  /** Resolves once the program was executed. @throws the system's error where it cannot be. */
  static async start(options: SessionOptions): Promise<Session> {
    const id = `${options.owner} ${randomUUID()}`;
    const [argv0 = options.program, ...words] = options.words;
    const settings = {
      argv0,
      cwd: options.workingDirectory,
      env: { ...options.environment, [mark]: id },
      stdio: [options.stdin, 'pipe', 'pipe'],
      detached: true,
    } satisfies SpawnOptions;

    const child = spawn(options.program, words, settings);
    if (child.pid === undefined || child.stdout === null || child.stderr === null) {
      const [error] = (await once(child, 'error')) as [Error];
      throw error;
    }
    return new Session(child, child.pid, child.stdout, child.stderr, id);
  }

  /** Everyone who still runs in this session, zombies left out. */
  livingMembers(): readonly number[] {
    const members = livingIn(this.pid);
    return this.#leaderIsGone
      ? members.filter((pid) => environmentOf(pid).includes(`${mark}=${this.#id}`))
      : members;
  }

  signalLeader(signal: NodeJS.Signals): void {
    if (!this.#leaderIsGone) signalProcess(this.pid, signal);
  }

  signalEveryone(signal: NodeJS.Signals): void {
    // The leader's own group in one call, since its members may be forking meanwhile.
    if (!this.#leaderIsGone) signalProcess(-this.pid, signal);
    const group = this.#leaderIsGone ? undefined : this.pid;
    for (const pid of this.livingMembers()) if (processGroupOf(pid) !== group) signalProcess(pid, signal);
  }

  /** Waits until nobody is left, at most `atMostMs`, and tells whether that is so. */
  async emptied(atMostMs: number): Promise<boolean> {
    const deadline = performance.now() + atMostMs;
    while (this.livingMembers().length > 0) {
      if (performance.now() >= deadline) return false;
      await delay(lookEveryMs);
    }
    return true;
  }

  /** Kills whoever is left, again and again until nobody is: a process may fork while it is being killed. */
  async end(): Promise<void> {
    do this.signalEveryone('SIGKILL');
    while (!(await this.emptied(lookEveryMs * 5)));
  }
}

/** The program's name as the kernel keeps it, at most 15 characters. */
export const processName = (pid: number): string => readProcessFile(pid, 'comm').trim();

/** Kills what sessions of that owner still run, be it that the process which started them did not live to do it. */
export async function endOrphans(owner: string): Promise<void> {
  const belongs = (pid: number) =>
    environmentOf(pid).some((variable) => variable.startsWith(`${mark}=${owner} `));
  for (;;) {
    const orphans = processes().filter((pid) => belongs(pid) && isRunning(pid));
    if (orphans.length === 0) return;
    for (const pid of orphans) signalProcess(pid, 'SIGKILL');
    await delay(lookEveryMs);
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

interface ProcessState {
  readonly state: string;
  readonly group: number;
  readonly session: number;
}

const livingIn = (session: number): readonly number[] =>
  processes().filter((pid) => processState(pid)?.session === session && isRunning(pid));

const processes = (): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** A zombie has ended, and only waits to be taken note of. */
const isRunning = (pid: number): boolean => !'ZX'.includes(processState(pid)?.state ?? 'X');

const processGroupOf = (pid: number): number | undefined => processState(pid)?.group;

/** The program's name stands in brackets and may hold anything, brackets included. */
function processState(pid: number): ProcessState | undefined {
  const stat = readProcessFile(pid, 'stat');
  const [state, , group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === undefined || stat === ''
    ? undefined
    : { state, group: Number(group), session: Number(session) };
}

const environmentOf = (pid: number): readonly string[] => readProcessFile(pid, 'environ').split('\0');

function readProcessFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

/** A process that belongs to somebody else by now (EACCES, EPERM) is not ours either. */
const isGone = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  ['ESRCH', 'ENOENT', 'EACCES', 'EPERM'].includes(String(error.code));
