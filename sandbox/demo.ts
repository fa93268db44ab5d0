import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Connection, Client } from '@temporalio/client';
import { ServiceId, workflowIdOf } from '../domain/names.js';
import { exitCodes, type Status } from '../domain/deployment.js';
import type { Stage } from '../domain/phase.js';
import { signals, statusQuery } from '../workflows/messages.js';
import { startLoad, type LoadTally } from './load.js';
import { startPlayground, type Playground } from './playground.js';
import type { BuiltGreeter, GreeterVariant } from './programs.js';
import { removeSandbox } from './sandbox.js';
import { writeShellFile } from './shell-file.js';
import { temporaryDirectory } from './temporary-directory.js';
import { commandFile } from './worker-process.js';

export interface DemoOptions {
  /** Leaves everything running until Ctrl-C. */
  readonly keep?: boolean;
}

/** Requests per second of the visitors; the prober of the deployment comes on top. */
const visitorsPerSecond = 240;

/** Shows a whole life under load: a release by hand is followed, an ill one taken back, a broken one never let in. */
export async function demo({ keep = false }: DemoOptions): Promise<number> {
  const startedAt = Date.now();
  const directory = await temporaryDirectory('verdigris-demo-');
  const say = sayer(startedAt);
  const playground = await startPlayground({
    directory,
    buildDirectory: buildDirectory(),
    onProgress: (line) => say(`getting ready: ${line}`),
  });
  try {
    const show = new Show(playground, say);
    const lost = await show.run();
    say(`done in ${Math.round((Date.now() - startedAt) / 1000)} s`);
    printEnd(show, lost);
    console.log(keep ? kept(playground, await writeShellFile(playground)) : gone);
    if (keep) await untilInterrupted();
    return lost === 0 && show.asExpected ? 0 : 1;
  } finally {
    await playground.close();
    await removeSandbox(directory);
  }
}

type Say = (line: string) => void;
type Handle = ReturnType<Client['workflow']['getHandle']>;

interface Act {
  readonly name: string;
  readonly ending: string;
  readonly tally: LoadTally;
}

/** The acts of the demo, each under load from before its first change to after its last. */
class Show {
  readonly acts: Act[] = [];
  asExpected = true;
  readonly #playground: Playground;
  readonly #say: Say;
  /** The run that had ended when the act began. */
  #lastRun: string | undefined;

  constructor(playground: Playground, say: Say) {
    this.#playground = playground;
    this.#say = say;
  }

  /** Gives the number of requests and streams that were lost. */
  async run(): Promise<number> {
    const playground = this.#playground;
    const { sandbox } = playground;
    this.#say(
      `v1 serves ${sandbox.publicUrl} from a flat directory on blue, put there by hand; green is empty`,
    );
    const [worker, v2, v3, v4] = await Promise.all([
      playground.startWorker(),
      playground.build('2.0.0'),
      playground.build('3.0.0', 'falls-ill-slow'),
      playground.build('4.0.0', 'crashes-at-start'),
    ]);
    await this.#act('v2 is deployed to green, and the worker is killed in the middle', async () => {
      const following = this.#deploy(v2, '2.0.0');
      await this.#untilStage('verify');
      await worker.kill();
      this.#say('✂ the worker was killed (SIGKILL); another one is started');
      await playground.startWorker();
      await this.#approve();
      return this.#ending(await following, 'promoted');
    });
    await this.#act('blue, idle now, is adopted: its files stay, nothing restarts', async () =>
      this.#ending(await this.#verdigris('adopt'), 'promoted', 'adopted'),
    );
    await this.#act('v3 falls ill under traffic (it is slow) and is taken back by itself', async () => {
      const following = this.#deploy(v3, '3.0.0', 'falls-ill-slow');
      await this.#approve();
      return this.#ending(await following, 'rolled back');
    });
    await this.#act('v4 crashes at start and is undone before any traffic', async () =>
      this.#ending(await this.#deploy(v4, '4.0.0', 'crashes-at-start'), 'rolled back'),
    );
    return this.acts.reduce((lost, { tally }) => lost + tally.failed + tally.streams.cut, 0);
  }

  async #act(name: string, play: () => Promise<string>): Promise<void> {
    this.#say('');
    this.#say(name);
    const load = startLoad({
      url: this.#playground.sandbox.publicUrl,
      requestsPerSecond: visitorsPerSecond,
      streamPath: '/stream?seconds=5',
    });
    const ending = await play();
    this.#lastRun = await this.#withWorkflow(async (handle) => (await handle.describe()).runId);
    this.acts.push({ name, ending, tally: await load.stop() });
  }

  #deploy({ archive, sha256 }: BuiltGreeter, version: string, variant?: GreeterVariant): Promise<number> {
    const label = variant === undefined ? version : `${version} (${variant})`;
    return this.#verdigris('deploy', '--artifact', archive, '--sha256', sha256, '--version', label, '--wait');
  }

  /** Approves with a bare signal, as somebody does from the Temporal UI. */
  async #approve(): Promise<void> {
    await this.#untilStage('approve');
    this.#say('approved by a bare signal, as from the Temporal UI');
    await this.#withWorkflow((handle) => handle.signal(signals.approve));
  }

  async #untilStage(stage: Stage): Promise<void> {
    await this.#withWorkflow(async (handle) => {
      for (;;) {
        const status = await this.#status(handle);
        if (status?.stage === stage && (stage !== 'approve' || status.awaits !== undefined)) return;
        if (status?.stage === 'ended') throw new Error(`Cannot reach "${stage}": the deployment has ended`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
  }

  /** Of the run that this act began; while no worker answers there is none. */
  async #status(handle: Handle): Promise<Status | undefined> {
    const status = await handle.query(statusQuery).catch((): undefined => undefined);
    return status && status.deployment !== this.#lastRun ? status : undefined;
  }

  async #withWorkflow<T>(use: (handle: Handle) => Promise<T>): Promise<T> {
    const connection = await Connection.connect({ address: this.#playground.temporal.address });
    try {
      return await use(
        new Client({ connection }).workflow.getHandle(workflowIdOf(ServiceId('greeter', 'production'))),
      );
    } finally {
      await connection.close();
    }
  }

  /** Runs the real command and shows what it prints. Gives its exit code. */
  async #verdigris(command: string, ...words: readonly string[]): Promise<number> {
    const { sandbox, environment } = this.#playground;
    const child = spawn(process.execPath, [commandFile, command, '--config', sandbox.serviceFile, ...words], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const shown = words.map((word) => (word.length > 60 ? `${word.slice(0, 12)}...` : word)).join(' ');
    this.#say(`$ verdigris ${command} ${shown}`);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#say(`  ${line}`));
    }
    const [code] = (await once(child, 'close')) as [number | null];
    return code ?? 1;
  }

  #ending(code: number, expected: keyof typeof exitCodes, word: string = expected): string {
    if (code === exitCodes[expected]) return word;
    this.asExpected = false;
    return `exit code ${code}, expected ${exitCodes[expected]} (${word})`;
  }
}

function printEnd({ acts }: Show, lost: number): void {
  const rows = acts.map(({ name, ending, tally }) => [
    `${ending}: ${name}`,
    String(tally.sent),
    String(tally.failed + tally.streams.cut),
    `${Math.round(tally.longestGapMs)} ms`,
    `${Math.round(tally.p99Ms)} ms`,
  ]);
  console.log(`\n${table(['deployment', 'requests', 'lost', 'longest gap', 'p99'], rows)}`);
  console.log(`\n${lost} requests lost.`);
}

const gone = `
To look around while it runs: npm run demo -- --keep
To deploy your own: verdigris sandbox up, then docs/first-deployment.md`;

const kept = ({ sandbox, temporal }: Playground, shellFile: string): string => `
Temporal UI:   ${temporal.uiUrl ?? 'where your Temporal has it'}
The service:   ${sandbox.publicUrl}
Try:           . ${shellFile}
               verdigris status
               verdigris rollback
Ctrl-C ends it all.`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

const sayer =
  (startedAt: number): Say =>
  (line) =>
    console.log(line === '' ? '' : `${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);

export const buildDirectory = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'verdigris', 'programs');

export const untilInterrupted = (): Promise<void> =>
  new Promise((resolve) => {
    const end = () => resolve();
    process.once('SIGINT', end).once('SIGTERM', end);
  });
