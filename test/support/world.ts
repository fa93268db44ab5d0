import { randomUUID } from 'node:crypto';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import { test as base, inject } from 'vitest';
import { createActivities } from '../../activities/index.js';
import { withServiceOfRun } from '../../activities/service-of-run.js';
import type { Color } from '../../domain/color.js';
import type { DeploymentRequest, Message, Outcome, Status } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import type { HandSwitch } from '../../domain/hand-switch.js';
import { hashOf } from '../../domain/hash.js';
import type { Binaries } from '../../domain/library-search.js';
import { Secret, type SecretReference } from '../../domain/secret.js';
import type { Template } from '../../domain/template.js';
import type { ConfigurationSecret } from '../../drivers/servers/configuration-secret.js';
import { ServerName, ServiceId, workflowIdOf, type Digest } from '../../domain/names.js';
import type { MessageName, Stage } from '../../domain/phase.js';
import { serversOf, type Server, type Service } from '../../domain/service.js';
import { SecretName } from '../../domain/names.js';
import { wholly } from '../../domain/split.js';
import { InMemoryArtifacts } from '../../drivers/artifacts/in-memory.js';
import { InMemoryMachines } from '../../drivers/machines/in-memory.js';
import type { Drivers } from '../../drivers/drivers.js';
import type { Behaviour } from '../../drivers/servers/imagined-program.js';
import { InMemoryServers, type InMemoryServer } from '../../drivers/servers/in-memory.js';
import {
  createInMemoryLoadBalancer,
  InMemoryLoadBalancers,
  type InMemoryLoadBalancer,
} from '../../drivers/load-balancers/in-memory.js';
import { severalLoadBalancers } from '../../drivers/load-balancers/several.js';
import { InMemoryPublicAddress, createInMemoryProber } from '../../drivers/traffic/in-memory.js';
import {
  statusQuery,
  updates,
  workflowTypes,
  type Answer,
  type MessageInput,
} from '../../workflows/messages.js';
import './runtime.js';

/** A service in a world without network or machines, deployed by the real workflows on a real Temporal server. */
export class World {
  readonly service: Service;
  readonly taskQueue = `test-${randomUUID()}`;
  readonly workflowId: string;
  readonly loadBalancer: InMemoryLoadBalancer;
  readonly servers = new InMemoryServers();
  readonly artifacts = new InMemoryArtifacts();
  readonly machines = new InMemoryMachines();
  readonly publicAddress = new InMemoryPublicAddress();
  /** What names of secrets resolve to. */
  readonly secrets = new Map<string, string>();
  /** What a person did without Temporal. */
  handSwitch: HandSwitch | undefined;
  readonly client: Client;
  readonly #connection: Connection;
  readonly #drivers: Drivers;
  readonly #loadBalancers = new InMemoryLoadBalancers();
  readonly #releases = new Map<string, Digest>();
  #worker: { readonly worker: Worker; readonly running: Promise<void> } | undefined;
  #native: NativeConnection | undefined;

  constructor(connection: Connection, changes: Partial<Service>) {
    const name = `shop-${randomUUID().slice(0, 8)}`;
    this.#connection = connection;
    this.client = new Client({ connection });
    this.service = { ...serviceNamed(name), ...changes };
    this.workflowId = workflowIdOf(this.service.id);
    const [first] = this.service.regions ?? [];
    this.loadBalancer = this.region(first?.name ?? name);
    this.publicAddress.current = (headers) => this.#publicBehaviour(headers);
    this.loadBalancer.backendState = (server) =>
      this.server(server).answer().kind === 'answered' ? 'up' : 'down';
    this.#drivers = {
      loadBalancer: async (service) =>
        service.regions
          ? severalLoadBalancers(
              service.regions.map(({ name: region }) => ({
                name: region,
                driver: createInMemoryLoadBalancer(this.region(region), serversOf(service)),
              })),
            )
          : createInMemoryLoadBalancer(this.loadBalancer, serversOf(service)),
      server: (service, server) => this.servers.driver(serverIn(service, server)),
      machines: () => Promise.resolve(this.machines),
      artifacts: this.artifacts,
      handSwitch: () => Promise.resolve(this.handSwitch),
      configurationSecret: (_service, _server, reference) => this.#secret(reference),
      prober: createInMemoryProber(this.publicAddress, { windowMs: 50 }),
    };
  }

  /** The load balancer of a region. */
  region(name: string): InMemoryLoadBalancer {
    return this.#loadBalancers.world(name);
  }

  server(name: string): InMemoryServer {
    return this.servers.server(ServerName(name));
  }

  /** A release that CI could have built; `deploy` takes its name. */
  release(
    name: string,
    behaviour: Behaviour = { kind: 'answers' },
    binaries?: Binaries,
    files: readonly Template[] = [],
  ): Digest {
    const bytes = Buffer.from(`artifact ${name}`);
    const artifact = this.artifacts.add(bytes, hashOf(`program ${name}`), binaries, files);
    this.#releases.set(name, artifact);
    this.servers.program(artifact, { executable: hashOf(`program ${name}`), behaviour, identity: name });
    return artifact;
  }

  async #secret({ secret: name }: SecretReference): Promise<ConfigurationSecret> {
    const value = this.secrets.get(name);
    if (value === undefined) throw new Failure('SecretRefused', `Cannot use secret "${name}": there is none`);
    return { value: new Secret(value), fingerprint: hashOf([name, value]).slice(0, 32) };
  }

  /** Puts a foreign program on an environment, running: what people have before they use Verdigris. */
  runForeign(color: Color, name: string, behaviour: Behaviour = { kind: 'answers' }): void {
    for (const server of this.service.environments[color]) {
      this.server(server.name).runForeign({
        executable: hashOf(`program ${name}`),
        behaviour,
        identity: name,
      });
    }
  }

  /** `instead` replaces activities, for tests of what workflows make of their answers. */
  async startWorker(
    address = inject('temporalAddress'),
    instead: Readonly<Record<string, (...input: never[]) => Promise<unknown>>> = {},
  ): Promise<void> {
    this.#native ??= await NativeConnection.connect({ address });
    const worker = await Worker.create({
      connection: this.#native,
      taskQueue: this.taskQueue,
      workflowBundle: { codePath: inject('workflowBundle') },
      activities: { ...createActivities(this.#drivers), ...withServiceOfRun(instead) },
      // Workflows run in this thread: one that each worker begins for them costs more than most tests. Whole tests run real workers.
      debugMode: true,
      stickyQueueScheduleToStartTimeout: '2s',
      maxHeartbeatThrottleInterval: '200ms',
      defaultHeartbeatThrottleInterval: '200ms',
      workflowFailureErrorTypes: { '*': ['Error'] },
    } as never);
    this.#worker = { worker, running: worker.run() };
  }

  get hasWorker(): boolean {
    return this.#worker !== undefined;
  }

  async stopWorker(): Promise<void> {
    this.#worker?.worker.shutdown();
    await this.#worker?.running;
    this.#worker = undefined;
  }

  async close(): Promise<void> {
    const open = await this.client.workflow
      .getHandle(this.workflowId)
      .describe()
      .catch(() => undefined);
    if (open?.status.name === 'RUNNING') await this.handle().terminate('the test is over');
    await this.stopWorker();
    await this.#native?.close();
    await this.#connection.close();
  }

  request(release: string, again?: string): DeploymentRequest {
    const artifact = this.#releases.get(release) ?? hashOf('no such release');
    return {
      service: this.service,
      artifact: { url: `file:///artifacts/${release}.tar.gz`, sha256: artifact },
      requestedBy: 'a test',
      version: release,
      searchAttributes: true,
      ...(again === undefined ? {} : { again }),
    };
  }

  async start(release: string, again?: string): Promise<WorkflowHandle> {
    return this.client.workflow.start(workflowTypes.deployment, {
      workflowId: this.workflowId,
      taskQueue: this.taskQueue,
      args: [this.request(release, again)],
    });
  }

  /** Starts a workflow that is no deployment, under the service's own id. */
  async begin(type: string, more: object = {}): Promise<WorkflowHandle> {
    return this.client.workflow.start(type, {
      workflowId: this.workflowId,
      taskQueue: this.taskQueue,
      args: [{ service: this.service, requestedBy: 'ann', searchAttributes: true, ...more }],
    });
  }

  handle(): WorkflowHandle {
    return this.client.workflow.getHandle(this.workflowId);
  }

  /** Deploys and approves, and gives the outcome. */
  async deploy(release: string): Promise<Outcome> {
    const handle = await this.start(release);
    await this.untilStage('approve', 'ended', 'needs a person');
    if ((await this.status()).stage === 'approve') await this.send('approve', { by: 'ann' });
    return (await handle.result()) as Outcome;
  }

  async status(): Promise<Status> {
    return this.handle().query(statusQuery);
  }

  /** Waits until the deployment is at one of these stages, and waits there. */
  async untilStage(...stages: readonly Stage[]): Promise<Status> {
    return this.until(
      (status) =>
        stages.includes(status.stage) && (status.stage !== 'approve' || status.awaits !== undefined),
    );
  }

  async until(test: (status: Status) => boolean, patienceMs = 120_000): Promise<Status> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const status = await this.status();
      if (test(status)) return status;
      if (Date.now() > deadline)
        throw new Error(
          `waited in vain; it is at ${status.stage}: ${JSON.stringify(status.problem ?? status.next)}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async send(name: MessageName, input?: Message | string): Promise<void> {
    const update: UpdateDefinition<Answer, [MessageInput]> = updates[name] as never;
    await this.handle().executeUpdate(update, { args: [input] });
  }

  async signal(name: MessageName, ...input: readonly unknown[]): Promise<void> {
    await this.handle().signal<unknown[]>(name, ...input);
  }

  /** What may not change while the other environment is deployed to. */
  fingerprint(color: Color): unknown {
    return this.service.environments[color].map(({ name }) => {
      const { unit, runningProgram, activeRelease, installedReleases } = this.server(name).facts();
      return {
        name,
        pid: unit.pid,
        startedAtUs: unit.startedAtUs,
        restarts: unit.restarts,
        runningProgram,
        activeRelease,
        installedReleases,
      };
    });
  }

  /** Who answers the world now. */
  servedBy(): string {
    const color = wholly(this.loadBalancer.split);
    if (!color) return 'both';
    const answer = this.server(this.service.environments[color][0]?.name ?? '').answer();
    return answer.kind === 'answered' ? (answer.identity ?? '?') : answer.because;
  }

  #publicBehaviour(headers: Readonly<Record<string, string>>) {
    const { split, testersReach, inactive, backups } = this.loadBalancer;
    const isTester = Object.keys(headers).length > 0;
    const color = (isTester ? testersReach : undefined) ?? wholly(split) ?? 'blue';
    const own = this.service.environments[color]
      .filter(({ name }) => !inactive.includes(name))
      .map(({ name }) => this.server(name).answer());
    const isDown = backups.length > 0 && own.every(({ kind }) => kind === 'silent');
    const answers = isDown ? backups.map((name) => this.server(name).answer()) : own;
    const bad = answers.filter((answer) => answer.kind === 'silent' || answer.status >= 400).length;
    const [first] = answers;
    return {
      errorRate: bad / answers.length,
      latencyMs: first?.kind === 'answered' ? first.tookMs + 5 : 5,
      ...(first?.kind === 'answered'
        ? { status: first.status, ...(first.identity ? { identity: first.identity } : {}) }
        : {}),
      ...(first?.kind === 'silent' ? { silentBecause: first.because } : {}),
    };
  }
}

/** `test` with worlds of its own: each is closed when the test ends. */
export const test = base.extend<{ readonly aWorld: (changes?: Partial<Service>) => Promise<World> }>({
  // oxlint-disable-next-line no-empty-pattern -- the runner reads the pattern to learn what a fixture needs
  aWorld: async ({}, use) => {
    const worlds: World[] = [];
    await use(async (changes) => {
      const world = await makeWorld(changes);
      worlds.push(world);
      return world;
    });
    for (const world of worlds) await world.close();
  },
});

/** A world with blue live, running a release that people installed by hand, and green empty. */
async function makeWorld(changes: Partial<Service> = {}): Promise<World> {
  const world = new World(await Connection.connect({ address: inject('temporalAddress') }), changes);
  world.release('v1');
  world.release('v2');
  world.runForeign('blue', 'v1');
  await world.startWorker();
  return world;
}

const serverIn = (service: Service, name: ServerName): Server => {
  const server = [...service.environments.blue, ...service.environments.green].find(
    (each) => each.name === name,
  );
  if (!server) throw new Error(`no server ${name}`);
  return server;
};

export const serverNamed = (world: string, color: Color, number: number): Server => ({
  name: ServerName(`${color}-${number}`),
  color,
  address: `10.0.${color === 'blue' ? 0 : 1}.${number}`,
  port: 8080,
  unit: 'shop.service',
  directory: '/srv/shop',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: { driver: 'in-memory', world },
});

const serviceNamed = (name: string): Service => ({
  id: ServiceId(name, 'test'),
  name,
  destination: 'test',
  program: { executable: 'bin/program', unitFile: 'lib/program.service', user: 'program' },
  configuration: {
    files: [],
    shared: [],
    values: { all: {}, blue: {}, green: {}, servers: {} },
    limits: { all: {}, blue: {}, green: {}, servers: {} },
  },
  environments: {
    blue: [serverNamed(name, 'blue', 1), serverNamed(name, 'blue', 2)],
    green: [serverNamed(name, 'green', 1), serverNamed(name, 'green', 2)],
  },
  loadBalancer: { driver: 'in-memory', world: name },
  publicAddress: { url: 'http://203.0.113.10', identify: { path: '/version', header: 'x-version' } },
  artifact: {
    headers: { authorization: { secret: SecretName('artifacts') } },
    maxBytes: 1e9,
    timeoutMs: 10_000,
  },
  health: { path: '/health', status: 200, timeoutMs: 500 },
  verify: { passes: 2, everyMs: 50, minimumMs: 300, deadlineMs: 3_000, loadBalancerDeadlineMs: 3_000 },
  fleet: { mayFail: 0, minCapacity: 1, serverDeadlineMs: 60_000, progressDeadlineMs: 60_000 },
  approve: { timeoutMs: 60_000, onTimeout: 'reject', watchEveryMs: 200 },
  prober: { path: '/', requestsPerSecond: 100, timeoutMs: 500 },
  bake: {
    durationMs: 800,
    maxErrorRate: 0.01,
    maxLatencyRatio: 2,
    latencyFloorMs: 50,
    minRequests: 20,
    watchEveryMs: 100,
  },
  retire: { old: 'keep running' },
  machines: { unhealthy: 'warn', unequal: 'warn' },
  drain: { atLeastMs: 0, atMostMs: 500, lingering: 'refuse' },
  install: { keepFreeBytes: 0 },
  keepReleases: 3,
});
