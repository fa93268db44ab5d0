import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { inject, onTestFinished, vi } from 'vitest';
import { runCommandLine } from '../../../client/command-line.js';
import type { World } from '../../support/world.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** Without tsx's own command, which passes signals on a second time. */
const loader = pathToFileURL(join(root, 'node_modules/tsx/dist/loader.mjs')).href;
const verdigris = ['--import', loader, join(root, 'client/main.ts')];

/** Where the command that runs in this process prints; several may run at once. */
const printing = new AsyncLocalStorage<{ readonly stdout: string[]; readonly stderr: string[] }>();
for (const name of ['stdout', 'stderr'] as const) {
  const write = process[name].write.bind(process[name]);
  process[name].write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    const here = printing.getStore()?.[name];
    if (!here) return write(chunk, ...rest);
    here.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    return true;
  }) as typeof write;
}

/** What CI sets must not leak into what is tested. */
const quiet = { CI: '', GITLAB_USER_LOGIN: '', GITHUB_ACTOR: '', BUILD_USER: '', NO_COLOR: '1' };

export interface Finished {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with a configuration for a world, and the command line run in it. */
export class CommandLine {
  readonly folder: string;
  readonly #world: World;

  constructor(folder: string, world: World) {
    this.folder = folder;
    this.#world = world;
  }

  /** Runs a command about the world's service to its end, within this process: that is fast. */
  async run(words: string): Promise<Finished> {
    return runHere([
      ...splitWords(words),
      '--config',
      join(this.folder, 'verdigris.yaml'),
      ...this.whereabouts,
    ]);
  }

  /** Starts a command as a process of its own, straight from the sources; tests wait for what it prints. */
  start(words: string, address = inject('temporalAddress')) {
    const where = [...this.whereabouts, '--address', address];
    return execa(process.execPath, [...verdigris, ...splitWords(words), ...where], {
      cwd: this.folder,
      env: quiet,
      reject: false,
      all: true,
      stdin: 'ignore',
    });
  }

  get whereabouts(): readonly string[] {
    return ['-d', 'test', '--address', inject('temporalAddress'), '--task-queue', this.#world.taskQueue];
  }

  /** The words that run the command line, for a shell. */
  shell(words: string): string {
    return [process.execPath, ...verdigris, words, ...this.whereabouts].join(' ');
  }

  /** `--artifact` and what goes with it, for a release of the world. */
  artifact(release: string): string {
    const { artifact } = this.#world.request(release);
    return `--artifact ${artifact.url} --sha256 ${artifact.sha256} --version ${release}`;
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }
}

/** Runs a command to its end, within this process. `onPrint` hears what it prints as it does. */
export async function runHere(
  words: readonly string[],
  onPrint: (text: string) => void = () => undefined,
): Promise<Finished> {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const heard = { stdout: Object.assign(stdout, { push: hearing(stdout, onPrint) }), stderr };
  const exitCode = await printing.run(heard, () => runCommandLine(words));
  return { exitCode, stdout: stdout.join('').trimEnd(), stderr: stderr.join('').trimEnd() };
}

const hearing =
  (list: string[], onPrint: (text: string) => void) =>
  (text = ''): number => {
    onPrint(text);
    list[list.length] = text;
    return list.length;
  };

const splitWords = (words: string): readonly string[] =>
  (words.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''));

/** A command line about a world, gone with the test. */
export async function aCommandLine(world: World): Promise<CommandLine> {
  const folder = await mkdtemp(join(tmpdir(), 'verdigris-client-'));
  await writeFile(join(folder, 'verdigris.yaml'), configurationOf(world));
  await writeFile(join(folder, 'verdigris.test.yaml'), 'approve: { timeout: 30m }\n');
  const cli = new CommandLine(folder, world);
  onTestFinished(() => cli.close());
  if (world.hasWorker) await vi.waitUntil(() => isAskedForWork(world), { timeout: 60_000 });
  return cli;
}

/** A worker that has just been started is not known to Temporal for a moment, and commands say so. */
async function isAskedForWork({ client, taskQueue }: World): Promise<boolean> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: 1, // workflow tasks
  });
  return pollers.length > 0;
}

/** What a command printed for machines: JSON lines, or one document. */
export const documentsOf = (stdout: string, form: 'lines' | 'one' = 'lines'): readonly Printed[] =>
  (form === 'one' ? [stdout] : stdout.trim().split('\n')).map((text) => JSON.parse(text) as Printed);

export type Printed = Readonly<Record<string, unknown>>;

/** Waits until a command has printed this. Throws with what it printed when it ends without. */
export function printed(command: Command, text: string | RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    command.all.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (typeof text === 'string' ? seen.includes(text) : text.test(seen)) resolve(seen);
    });
    command.all.once('end', () => reject(new Error(`it ended without "${String(text)}":\n${seen}`)));
  });
}

type Command = ReturnType<CommandLine['start']>;

/** The world's own settings as a person would write them. */
const configurationOf = ({ service }: World): string => `
service: ${service.name}
program: { unit: shop.service, directory: /srv/shop, port: 8080, executable: bin/program, unitFile: lib/program.service }
ssh: { user: deploy, key: secret:ssh-key }
environments:
${(['blue', 'green'] as const)
  .map(
    (color) =>
      `  ${color}:\n${service.environments[color]
        .map(
          ({ name, address }) =>
            `    - { name: ${name}, address: ${address}, hostKey: "SHA256:${'A'.repeat(43)}" }`,
        )
        .join('\n')}`,
  )
  .join('\n')}
loadBalancer:
  driver: ovh-iplb
  serviceName: loadbalancer-0123456789abcdef
  frontends: [1]
  stagingFrontend: 2
  farms: { blue: 10, green: 11 }
publicAddress: { url: "http://203.0.113.10", identify: { path: /version, header: x-version } }
health: { timeout: 500ms }
verify: { passes: 2, every: 50ms, minimum: 300ms, deadline: 3s, loadBalancerDeadline: 3s }
approve: { watchEvery: 200ms }
prober: { requestsPerSecond: 100, timeout: 500ms }
bake: { duration: 800ms, maxErrorRate: 1 %, minRequests: 20, watchEvery: 100ms }
drain: { atMost: 500ms }
`;
