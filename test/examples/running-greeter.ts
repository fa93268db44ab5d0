import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  type BuiltGreeter,
  buildGreeter,
  greeterSources,
  type GreeterVariant,
} from '../../sandbox/programs.js';

export const root = dirname(dirname(greeterSources()));

/** Built once per change of the sources; kept beside the checkout for the next run. */
export const builtGreeter = (variant: GreeterVariant = 'none', version = '2.0.0'): Promise<BuiltGreeter> =>
  buildGreeter({ version, variant, directory: join(root, '.cache', 'programs') });

export interface GreeterStart {
  readonly variant?: GreeterVariant;
  /** Instead of the built one: a sanitized build, or valgrind with its words before. */
  readonly command?: readonly string[];
  readonly config?: Readonly<Record<string, string | number>>;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Runs the real program on a free port of loopback until it ends or the test does. */
export class RunningGreeter {
  readonly pid: number;
  readonly lines: readonly string[];
  readonly ended: Promise<Ending>;
  readonly #listening: Promise<number>;
  readonly #kill: (signal: NodeJS.Signals) => void;
  readonly #directory: string;

  static async start({ variant, command, config, environment }: GreeterStart = {}): Promise<RunningGreeter> {
    const words = command ?? [(await builtGreeter(variant)).executable];
    const directory = await mkdtemp(join(tmpdir(), 'greeter-'));
    const settings = { address: '127.0.0.1', port: 0, ...config };
    const text = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
    await writeFile(join(directory, 'greeter.conf'), text.join(''));
    return new RunningGreeter([...words, '--config', 'greeter.conf'], directory, environment);
  }

  /** Started, and listening. */
  static async serving(start: GreeterStart = {}): Promise<RunningGreeter> {
    const greeter = await RunningGreeter.start(start);
    await greeter.port();
    return greeter;
  }

  private constructor(words: readonly string[], directory: string, environment: GreeterStart['environment']) {
    const [program = '', ...rest] = words;
    const child = spawn(program, rest, {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    if (child.pid === undefined) throw new Error(`Cannot start "${program}"`);
    const lines: string[] = [];
    const reader = createInterface(child.stderr);
    this.pid = child.pid;
    this.lines = lines;
    this.#directory = directory;
    this.#kill = (signal) => child.kill(signal);
    this.ended = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Ending);
    this.#listening = new Promise((resolve, reject) => {
      reader.on('line', (line) => {
        lines.push(line);
        const port = /^listening on \S+ port (\d+)$/.exec(line)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
      reader.on('close', () => reject(new Error(`greeter ended before it listened: ${lines.join(' | ')}`)));
    });
    this.#listening.catch(() => undefined); // only those who ask for the port want to know
  }

  port(): Promise<number> {
    return this.#listening;
  }

  signal(signal: NodeJS.Signals): void {
    this.#kill(signal);
  }

  async terminate(): Promise<Ending> {
    this.signal('SIGTERM');
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
    await rm(this.#directory, { recursive: true, force: true });
  }
}
