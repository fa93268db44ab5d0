import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import { execa } from 'execa';
import { inject } from 'vitest';
import { readService } from '../../../client/configuration/configuration.js';
import type { Color } from '../../../domain/color.js';
import type { Artifact, Message, Outcome, Status } from '../../../domain/deployment.js';
import { workflowIdOf } from '../../../domain/names.js';
import type { MessageName, Stage } from '../../../domain/phase.js';
import type { Service } from '../../../domain/service.js';
import { buildDirectory } from '../../../sandbox/demo.js';
import { startLoad, type Load, type LoadTally } from '../../../sandbox/load.js';
import type { JournalEntry } from '../../../sandbox/ovh-api/journal.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import { buildGreeter, type BuiltGreeter, type GreeterVariant } from '../../../sandbox/programs.js';
import { type Sandbox } from '../../../sandbox/sandbox.js';
import { WorkerProcess, commandFile } from '../../../sandbox/worker-process.js';
import {
  statusQuery,
  updates,
  workflowTypes,
  type Answer,
  type MessageInput,
} from '../../../workflows/messages.js';
import { requireCompiled } from './compiled.js';

/** What takes minutes in production takes seconds here. Limits are wide: the machine may be busy with other tests. */
const quick: Readonly<Record<string, JsonObject>> = {
  health: { timeout: '10s' },
  verify: { passes: 2, every: '200ms', minimum: '1s', deadline: '30s', loadBalancerDeadline: '60s' },
  approve: { timeout: '30m', watchEvery: '300ms' },
  prober: { requestsPerSecond: 15, timeout: '20s' },
  bake: { duration: '2s', maxErrorRate: '1 %', minRequests: 10, latencyFloor: '5s', watchEvery: '300ms' },
  drain: { atMost: '10s' },
};

/** Quick settings with others laid over them, section by section. */
export const quickSettings = (settings: Readonly<Record<string, JsonObject>>): JsonObject => ({
  ...quick,
  ...Object.fromEntries(
    Object.entries(settings).map(([name, section]) => [name, { ...quick[name], ...section }]),
  ),
});

export const hastyApi = { todoMs: 50, doingMs: 200, updatingMs: 200 } as const;

/** How a command ended. */
export interface Finished {
  readonly exitCode: number | undefined;
  /** What it printed, both streams as a terminal shows them. */
  readonly output: string;
}

/** What a service runs on: files as a user would have them, and the control panel of its load balancer. */
export interface Site extends Pick<
  Sandbox,
  'directory' | 'serviceFile' | 'workerFile' | 'publicUrl' | 'api' | 'loadBalancer'
> {
  /** Where programs listen. */
  readonly address: string;
  /** Ends it, and leaves nothing behind. */
  close(): Promise<void>;
}

/** A service with real workers on the Temporal server of the test run, and everything that tests ask of it. */
export class RunningService {
  readonly service: Service;
  readonly client: Client;
  /** Where Temporal is: of the test run, unless told. */
  readonly temporal: string;
  readonly taskQueue: string;
  readonly workerLog: string;
  protected readonly site: Site;
  readonly #connection: Connection;
  readonly #workers: WorkerProcess[] = [];

  constructor(site: Site, connection: Connection, temporal: string = inject('temporalAddress')) {
    requireCompiled();
    this.temporal = temporal;
    this.site = site;
    this.service = readService(site.serviceFile);
    this.taskQueue = this.service.name;
    this.workerLog = join(site.directory, 'worker.log');
    this.#connection = connection;
    this.client = new Client({ connection });
  }

  // What people and CI do

  build(version: string, variant: GreeterVariant = 'none'): Promise<BuiltGreeter> {
    const { address } = this.site;
    return buildGreeter({ version, variant, address, directory: buildDirectory() });
  }

  async startWorker(): Promise<WorkerProcess> {
    const worker = await WorkerProcess.start({
      workerFile: this.site.workerFile,
      address: this.temporal,
      taskQueue: this.taskQueue,
      logFile: this.workerLog,
      // Switches by hand that are written down on this machine are somebody else's, unless the test has told where to look.
      environment: { XDG_STATE_HOME: join(this.site.directory, 'state'), ...process.env },
    });
    this.#workers.push(worker);
    return worker;
  }

  async killWorker(): Promise<void> {
    await this.#workers.pop()?.kill();
  }

  /** Kills the worker that works, as a power cut would, and starts another one; `between` happens while there is none. */
  async replaceWorker(between: () => void = () => undefined): Promise<void> {
    await this.killWorker();
    between();
    await this.startWorker();
  }

  /** What a name resolves to is looked up each time: the next use meets the new value. */
  async rotateSecret(name: string, value: string): Promise<void> {
    await writeFile(join(this.site.directory, 'secrets', name), value, { mode: 0o600 });
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

  /** As whoever is on call does while Temporal is down, with a worker's file. */
  switchByHand(color: Color, more: readonly string[] = []): Promise<Finished> {
    const words = ['switch', color, '--without-temporal', '--yes', '--worker-config', this.site.workerFile];
    return this.verdigris([...words, ...more]);
  }

  /** Starts a deployment; the one that is open, if there is one, makes it fail. */
  async start(
    built: Pick<BuiltGreeter, 'archive' | 'sha256'>,
    version: string,
    changes: Partial<Service> = {},
  ): Promise<WorkflowHandle> {
    return this.startFrom({ url: pathToFileURL(built.archive).href, sha256: built.sha256 }, version, changes);
  }

  /** `changes` are laid over the service as it is configured. */
  async startFrom(
    artifact: Artifact,
    version: string,
    changes: Partial<Service> = {},
  ): Promise<WorkflowHandle> {
    return this.client.workflow.start(workflowTypes.deployment, {
      workflowId: workflowIdOf(this.service.id),
      taskQueue: this.taskQueue,
      args: [
        {
          service: { ...this.service, ...changes },
          artifact,
          requestedBy: 'a test',
          version,
          searchAttributes: true,
        },
      ],
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
  visitors(requestsPerSecond = 25): Load {
    const url = this.site.publicUrl;
    return startLoad({ url, requestsPerSecond, streamPath: '/stream?seconds=2', timeoutMs: 20_000 });
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

  async until(test: (status: Status) => boolean, patienceMs = 240_000, everyMs = 50): Promise<Status> {
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
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  // What is

  /** Changes that Verdigris asked the load balancer for, as `PUT /http/frontend/1`, refreshes included. */
  writes(): readonly string[] {
    return this.#calls()
      .filter(({ method }) => method !== 'GET')
      .map(({ method, path }) => `${method} ${path.split('/').slice(3).join('/')}`);
  }

  /** How often Verdigris has called the API. */
  calls(): number {
    return this.#calls().length;
  }

  refreshes(): number {
    return this.writes().filter((write) => write === 'POST refresh').length;
  }

  /** Who answers the world now: the version that the program names. */
  async servedBy(): Promise<string> {
    const { headers } = await fetch(new URL('/version', this.site.publicUrl), {
      headers: { connection: 'close' },
    });
    return headers.get('x-greeter-version') ?? '?';
  }

  // Somebody else in the control panel

  /** Points the production frontend at an environment, and publishes it. */
  async moveInPanel(color: Color): Promise<void> {
    const { loadBalancer } = this.site;
    await this.editInPanel(`/http/frontend/${loadBalancer.frontend}`, {
      defaultFarmId: loadBalancer.farms[color],
    });
    await this.publishInPanel();
  }

  async editInPanel(path: string, body: JsonObject): Promise<void> {
    const { api } = this.site;
    await api.admin.editAsSomebodyElse('PUT', `/ipLoadbalancing/${api.serviceName}${path}`, body);
  }

  async publishInPanel(): Promise<void> {
    const { api } = this.site;
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
    await this.site.close();
  }

  get unit(): string {
    return `${this.service.name}.service`;
  }

  get #whereabouts(): readonly string[] {
    return ['--config', this.site.serviceFile, '--address', this.temporal, '--task-queue', this.taskQueue];
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
    return this.site.api.journal.entries.filter(({ by }) => by === 'client');
  }
}

/** What visitors lost. */
export const lost = ({ failed, streams }: LoadTally): number => failed + streams.cut;

/**
 * Works under the load of visitors, and tells what they saw. The same load without the work comes first: what fails there
 * is nobody's doing, and voids the test.
 */
export async function underLoad<Result>(
  running: RunningService,
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
