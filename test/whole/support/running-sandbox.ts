import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdtemp, readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import { execa } from 'execa';
import { inject, test as base, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { readService } from '../../../client/configuration/configuration.js';
import type { Color } from '../../../domain/color.js';
import type { Artifact, Message, Outcome, Status } from '../../../domain/deployment.js';
import { workflowIdOf } from '../../../domain/names.js';
import type { MessageName, Stage } from '../../../domain/phase.js';
import type { Service } from '../../../domain/service.js';
import { buildDirectory } from '../../../sandbox/demo.js';
import { runByHand } from '../../../sandbox/foreign-release.js';
import { startLoad, type Load, type LoadTally } from '../../../sandbox/load.js';
import type { JournalEntry } from '../../../sandbox/ovh-api/journal.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import { buildGreeter, type BuiltGreeter, type GreeterVariant } from '../../../sandbox/programs.js';
import {
  removeSandbox,
  startSandbox,
  type Sandbox,
  type SandboxOptions,
  type SandboxServer,
} from '../../../sandbox/sandbox.js';
import { WorkerProcess, commandFile } from '../../../sandbox/worker-process.js';
import {
  statusQuery,
  updates,
  workflowTypes,
  type Answer,
  type MessageInput,
} from '../../../workflows/messages.js';
import { requireCompiled } from './compiled.js';

export interface RunningSandboxOptions extends Pick<SandboxOptions, 'serversPerEnvironment' | 'behaviour'> {
  /** Laid over the quick settings, section by section. */
  readonly settings?: Readonly<Record<string, JsonObject>>;
  /** Certificates that workers trust beside the sandbox's own, as PEM. */
  readonly trust?: string;
  /** More secrets for `worker.yaml`: what their names resolve to. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** What people had before: greeter 1.0.0 on blue, put there by hand, unless told. */
  readonly before?: 'by hand' | 'nothing';
}

/** What takes minutes in production takes seconds here. Limits are wide: the machine may be busy with other tests. */
const quick: Readonly<Record<string, JsonObject>> = {
  health: { timeout: '10s' },
  verify: { passes: 2, every: '200ms', minimum: '1s', deadline: '30s', loadBalancerDeadline: '60s' },
  approve: { timeout: '30m', watchEvery: '300ms' },
  prober: { requestsPerSecond: 15, timeout: '20s' },
  bake: { duration: '2s', maxErrorRate: '1 %', minRequests: 10, latencyFloor: '5s', watchEvery: '300ms' },
  drain: { atMost: '10s' },
};

const hastyApi = { todoMs: 50, doingMs: 200 } as const;

/** How a command ended. */
export interface Finished {
  readonly exitCode: number | undefined;
  /** What it printed, both streams as a terminal shows them. */
  readonly output: string;
}

/** A sandbox with real workers on the Temporal server of the test run, and everything that tests ask of it. */
export class RunningSandbox {
  readonly sandbox: Sandbox;
  readonly service: Service;
  readonly client: Client;
  readonly taskQueue: string;
  readonly workerLog: string;
  readonly #connection: Connection;
  readonly #workers: WorkerProcess[] = [];

  private constructor(sandbox: Sandbox, connection: Connection) {
    this.sandbox = sandbox;
    this.service = readService(sandbox.serviceFile);
    this.taskQueue = this.service.name;
    this.workerLog = join(sandbox.directory, 'worker.log');
    this.#connection = connection;
    this.client = new Client({ connection });
  }

  static async start(options: RunningSandboxOptions = {}): Promise<RunningSandbox> {
    requireCompiled();
    const { settings = {}, before = 'by hand', behaviour = {}, trust = '', secrets = {}, ...rest } = options;
    const sections = Object.entries(settings).map(([name, section]) => [
      name,
      { ...quick[name], ...section },
    ]);
    const sandbox = await startSandbox({
      ...rest,
      directory: await mkdtemp(join(tmpdir(), 'verdigris-whole-')),
      service: `greeter-${randomUUID().slice(0, 8)}`,
      behaviour: { ...hastyApi, ...behaviour },
      settings: { ...quick, ...(Object.fromEntries(sections) as JsonObject) },
    });
    await appendFile(sandbox.api.caFile, trust);
    await addSecrets(sandbox, secrets);
    const connection = await Connection.connect({ address: inject('temporalAddress') });
    const running = new RunningSandbox(sandbox, connection);
    if (before === 'by hand') await running.runByHand('blue', '1.0.0');
    return running;
  }

  // What people and CI do

  build(version: string, variant: GreeterVariant = 'none'): Promise<BuiltGreeter> {
    return buildGreeter({ version, variant, directory: buildDirectory() });
  }

  async runByHand(color: Color, version: string): Promise<void> {
    const built = await this.build(version);
    await Promise.all(this.servers(color).map((server) => runByHand(server, built, this.#unit)));
  }

  async startWorker(): Promise<WorkerProcess> {
    const worker = await WorkerProcess.start({
      workerFile: this.sandbox.workerFile,
      address: inject('temporalAddress'),
      taskQueue: this.taskQueue,
      logFile: this.workerLog,
    });
    this.#workers.push(worker);
    return worker;
  }

  /** Kills the worker that works, as a power cut would, and starts another one; `between` happens while there is none. */
  async replaceWorker(between: () => void = () => undefined): Promise<void> {
    await this.#workers.pop()?.kill();
    between();
    await this.startWorker();
  }

  /** What a name resolves to is looked up each time: the next use meets the new value. */
  async rotateSecret(name: string, value: string): Promise<void> {
    await writeFile(join(this.sandbox.directory, 'secrets', name), value, { mode: 0o600 });
  }

  /** Runs the compiled command about this service to its end. */
  async verdigris(words: readonly string[]): Promise<Finished> {
    const { exitCode, all } = await execa(process.execPath, [commandFile, ...words, ...this.#whereabouts], {
      all: true,
      reject: false,
      stdin: 'ignore',
      env: { CI: '', NO_COLOR: '1' },
    });
    return { exitCode, output: all };
  }

  /** Starts a deployment; the one that is open, if there is one, makes it fail. */
  async start(built: Pick<BuiltGreeter, 'archive' | 'sha256'>, version: string): Promise<WorkflowHandle> {
    return this.startFrom({ url: pathToFileURL(built.archive).href, sha256: built.sha256 }, version);
  }

  async startFrom(artifact: Artifact, version: string): Promise<WorkflowHandle> {
    return this.client.workflow.start(workflowTypes.deployment, {
      workflowId: workflowIdOf(this.service.id),
      taskQueue: this.taskQueue,
      args: [{ service: this.service, artifact, requestedBy: 'a test', version, searchAttributes: true }],
    });
  }

  /** Deploys, approves, and gives the outcome. */
  async deploy(version: string, variant: GreeterVariant = 'none'): Promise<Outcome> {
    const handle = await this.start(await this.build(version, variant), version);
    const { stage } = await this.untilStage('approve', 'ended');
    if (stage === 'approve') await this.send('approve', { by: 'ann' });
    return (await handle.result()) as Outcome;
  }

  /** Deploys a good release; its promotion is not what is tested. */
  async promote(version: string): Promise<void> {
    const outcome = await this.deploy(version);
    if (outcome.kind !== 'promoted') throw new Error(`not promoted: ${JSON.stringify(outcome)}`);
  }

  async send(name: MessageName, input?: Message): Promise<void> {
    const update: UpdateDefinition<Answer, [MessageInput]> = updates[name] as never;
    await this.handle.executeUpdate(update, { args: [input] });
  }

  /** Visitors of the public address, until they are stopped. */
  visitors(): Load {
    const url = this.sandbox.publicUrl;
    return startLoad({ url, requestsPerSecond: 25, streamPath: '/stream?seconds=2', timeoutMs: 20_000 });
  }

  // What happens

  /** Of the last run of the service. */
  get handle(): WorkflowHandle {
    return this.client.workflow.getHandle(workflowIdOf(this.service.id));
  }

  /** Waits until the run is at one of these stages, and waits there. Survives that no worker answers for a while. */
  untilStage(...stages: readonly Stage[]): Promise<Status> {
    return this.until(
      ({ stage, awaits }) => stages.includes(stage) && (stage !== 'approve' || awaits !== undefined),
    );
  }

  async until(test: (status: Status) => boolean, patienceMs = 90_000): Promise<Status> {
    const deadlineAtMs = Date.now() + patienceMs;
    let last: unknown;
    for (;;) {
      const status = await this.handle.query(statusQuery).catch((error: unknown) => void (last = error));
      if (status && test(status)) return status;
      if (Date.now() > deadlineAtMs) {
        const { stage, problem, next, outcome } = status ?? {};
        const seen = JSON.stringify({ stage, problem, next, outcome, pending: await this.#pending() });
        throw new Error(`waited in vain: ${seen}`, { cause: last });
      }
      if (status?.stage === 'ended')
        throw new Error(`it has ended before what was waited for: ${JSON.stringify(status.outcome)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Waits until systemd has started the unit on a server; the helper goes on watching it for a while. */
  async untilStarted(server: string): Promise<void> {
    await vi.waitUntil(() => this.starts(server) > 0, { timeout: 60_000, interval: 10 });
  }

  // What is

  servers(color: Color): readonly SandboxServer[] {
    return this.sandbox.servers.filter((server) => server.color === color);
  }

  server(name: string): SandboxServer {
    const found = this.sandbox.servers.find((server) => server.name === name);
    if (!found) throw new Error(`no server ${name}`);
    return found;
  }

  /** Everything that may not change on an environment while the other one is deployed to. */
  fingerprint(color: Color): Promise<unknown> {
    return Promise.all(
      this.servers(color).map(async ({ name, machine, directory }) => {
        const { status } = machine.init.unit(this.#unit);
        return {
          name,
          status,
          program: status.mainPid === 0 ? 'none' : await hashOf(`/proc/${status.mainPid}/exe`),
          files: { ...(await hashesIn(directory)), ...(await hashesIn(machine.unitDirectory)) },
        };
      }),
    );
  }

  pids(color: Color): readonly number[] {
    return this.servers(color).map(({ machine }) => machine.init.unit(this.#unit).status.mainPid);
  }

  /** How often systemd has started the unit on a server since the machine is there. */
  starts(server: string): number {
    return this.journalOf(server).filter((line) => line.startsWith('Started ')).length;
  }

  /** What systemd and the program wrote on a server. */
  journalOf(server: string): readonly string[] {
    return this.server(server)
      .machine.init.journal.entries()
      .map(({ message }) => message);
  }

  /** What the helper says that it did on a server, without times. */
  async stepsOn(server: string): Promise<readonly string[]> {
    const text = await readFile(join(this.server(server).directory, '.verdigris/journal'), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(2).join(' '));
  }

  /** Names of the releases that are installed on a server. */
  async releasesOn(server: string): Promise<readonly string[]> {
    return readdir(join(this.server(server).directory, 'releases')).catch(() => []);
  }

  /** Changes that Verdigris asked the load balancer for, as `PUT /http/frontend/1`, refreshes included. */
  writes(): readonly string[] {
    return this.#calls()
      .filter(({ method }) => method !== 'GET')
      .map(({ method, path }) => `${method} ${path.split('/').slice(3).join('/')}`);
  }

  refreshes(): number {
    return this.writes().filter((write) => write === 'POST refresh').length;
  }

  /** Who answers the world now: the version that the program names. */
  async servedBy(): Promise<string> {
    const { headers } = await fetch(new URL('/version', this.sandbox.publicUrl), {
      headers: { connection: 'close' },
    });
    return headers.get('x-greeter-version') ?? '?';
  }

  // Somebody else in the control panel

  /** Points the production frontend at an environment, and publishes it. */
  async moveInPanel(color: Color): Promise<void> {
    const { loadBalancer } = this.sandbox;
    await this.editInPanel(`/http/frontend/${loadBalancer.frontend}`, {
      defaultFarmId: loadBalancer.farms[color],
    });
    await this.publishInPanel();
  }

  async editInPanel(path: string, body: JsonObject): Promise<void> {
    const { api } = this.sandbox;
    await api.admin.editAsSomebodyElse('PUT', `/ipLoadbalancing/${api.serviceName}${path}`, body);
  }

  async publishInPanel(): Promise<void> {
    const { api } = this.sandbox;
    const { id } = (await api.admin.refreshAsSomebodyElse()) as { readonly id: number };
    const task = `/ipLoadbalancing/${api.serviceName}/task/${id}`;
    for (;;) {
      const { status } = (await api.admin.editAsSomebodyElse('GET', task)) as { readonly status: string };
      if (status === 'done') return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async close(): Promise<void> {
    const open = await this.handle.describe().catch(() => undefined);
    if (open?.status.name === 'RUNNING') await this.handle.terminate('the test is over');
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await this.#connection.close();
    await this.sandbox.close();
    await removeSandbox(this.sandbox.directory);
  }

  get #unit(): string {
    return `${this.service.name}.service`;
  }

  get #whereabouts(): readonly string[] {
    const address = inject('temporalAddress');
    return ['--config', this.sandbox.serviceFile, '--address', address, '--task-queue', this.taskQueue];
  }

  /** The steps in flight, as Temporal knows them: what a test that waits in vain waits for. */
  async #pending(): Promise<readonly unknown[]> {
    const { raw } = await this.handle.describe();
    return (raw.pendingActivities ?? []).map(({ activityType, attempt, lastFailure }) => ({
      step: activityType?.name,
      attempt,
      because: lastFailure?.message,
    }));
  }

  #calls(): readonly JournalEntry[] {
    return this.sandbox.api.journal.entries.filter(({ by }) => by === 'client');
  }
}

/** What visitors lost. */
export const lost = ({ failed, streams }: LoadTally): number => failed + streams.cut;

/**
 * Works under the load of visitors, and tells what they saw. The same load without the work comes first: what fails there
 * is nobody's doing, and voids the test.
 */
export async function underLoad<Result>(
  running: RunningSandbox,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly tally: LoadTally }> {
  const control = running.visitors();
  await new Promise((resolve) => setTimeout(resolve, controlMs));
  const without = await control.stop();
  if (lost(without) > 0)
    throw new Error(`void: the control has lost requests too (${JSON.stringify(without)})`);
  const load = running.visitors();
  try {
    const result = await work();
    return { result, tally: await load.stop() };
  } finally {
    await load.stop();
  }
}

const controlMs = 1_500;

/** As an operator would: a file that only the worker can read, and its name in `worker.yaml`. */
async function addSecrets(sandbox: Sandbox, secrets: Readonly<Record<string, string>>): Promise<void> {
  const worker = parse(await readFile(sandbox.workerFile, 'utf8')) as {
    readonly secrets: Record<string, JsonObject>;
  };
  for (const [name, value] of Object.entries(secrets)) {
    await writeFile(join(sandbox.directory, 'secrets', name), value, { mode: 0o600 });
    worker.secrets[name] = { file: `secrets/${name}`, services: ['*'], hosts: ['127.0.0.1'] };
  }
  await writeFile(sandbox.workerFile, stringify(worker));
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function hashesIn(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await hashOf(file)] as const)),
  );
}

/** `test` with sandboxes of its own: each is closed when the test ends. */
export const test = base.extend<{
  readonly aSandbox: (options?: RunningSandboxOptions) => Promise<RunningSandbox>;
}>({
  // oxlint-disable-next-line no-empty-pattern -- the runner reads the pattern to learn what a fixture needs
  aSandbox: async ({}, use) => {
    const opened: RunningSandbox[] = [];
    await use(async (options) => {
      const running = await RunningSandbox.start(options);
      opened.push(running);
      await running.startWorker();
      return running;
    });
    for (const running of opened) await running.close();
  },
});
