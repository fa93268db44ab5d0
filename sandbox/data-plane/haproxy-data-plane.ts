import { mkdir, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort } from '../free-port.js';
import { startGuarded, type GuardedProcess } from '../guarded-process.js';
import type { Configuration } from './configuration.js';
import { instancesIn, type DataPlane, type Instance, type ServerState } from './data-plane.js';
import {
  backendName,
  checkEveryMs,
  checkTimeoutMs,
  haproxyConfiguration,
  serverName,
} from './haproxy-configuration.js';

export interface HaproxyOptions {
  /** Configurations and sockets of the processes. */
  readonly directory: string;
  /** Default: one zone, `gra`. */
  readonly zones?: readonly string[];
  /** Default 1. Instances share the listening ports: the kernel gives each a part of the new connections. */
  readonly instancesPerZone?: number;
  /** How many times faster than configured servers are probed: 60 (the default) makes 30 s half a second. */
  readonly probeSpeed?: number;
  /** Milliseconds since 1970, for `checkTime`. */
  readonly clock?: () => number;
}

export interface HaproxyDataPlane extends DataPlane {
  /** The local port on which a frontend listens; throws where no instance was told of it. */
  portOf(frontendId: number): number;
  close(): Promise<void>;
}

/** The real load balancer: one HAProxy per instance, reloaded without losing a connection as the provider's are. */
export function startHaproxy(options: HaproxyOptions): HaproxyDataPlane {
  const { zones = ['gra'], instancesPerZone = 1 } = options;
  return new RunningHaproxy(instancesIn(zones, instancesPerZone), {
    probeSpeed: 60,
    clock: Date.now,
    ...options,
  });
}

type Settled = Required<Pick<HaproxyOptions, 'directory' | 'probeSpeed' | 'clock'>>;

class RunningHaproxy implements HaproxyDataPlane {
  readonly instances: readonly Instance[];
  readonly #running: readonly HaproxyInstance[];
  readonly #ports = new Map<number, number>();
  /** Changes come one at a time, so that two instances agree on the port of a frontend. */
  #changes: Promise<void> = Promise.resolve();

  constructor(instances: readonly Instance[], options: Settled) {
    this.instances = instances;
    this.#running = instances.map(({ instanceId }) => new HaproxyInstance(instanceId, options));
  }

  apply(instanceId: number, configuration: Configuration): Promise<void> {
    const change = this.#changes.then(() => this.#change(instanceId, configuration));
    this.#changes = change.catch(() => undefined);
    return change;
  }

  serverStates(farmId: number, serverId: number): readonly ServerState[] {
    return this.#running.flatMap((instance) => instance.stateOf(farmId, serverId) ?? []);
  }

  portOf(frontendId: number): number {
    const port = this.#ports.get(frontendId);
    if (port === undefined)
      throw new Error(
        `Cannot tell the port of frontend "${frontendId}": no instance runs it, needs a refresh`,
      );
    return port;
  }

  async close(): Promise<void> {
    await this.#changes;
    await Promise.all(this.#running.map((instance) => instance.close()));
  }

  async #change(instanceId: number, configuration: Configuration): Promise<void> {
    const instance = this.#running.find((one) => one.instanceId === instanceId);
    if (!instance)
      throw new Error(`Cannot apply a configuration to instance "${instanceId}": there is no such instance`);
    for (const { frontendId } of configuration.frontends)
      if (!this.#ports.has(frontendId)) this.#ports.set(frontendId, await freePort());
    await instance.become(configuration, (frontendId) => `127.0.0.1:${this.portOf(frontendId)}`);
  }
}

/** What a look at the process found, server by server. */
type Looks = ReadonlyMap<string, ServerState>;

const lookEveryMs = 200;
const patienceMs = 30_000;

/** A master process and the worker that carries the newest configuration; older ones end with what they carry. */
class HaproxyInstance {
  readonly instanceId: number;
  readonly #options: Settled;
  readonly #file: string;
  readonly #socket: string;
  readonly #masterSocket: string;
  #master: GuardedProcess | undefined;
  #said = '';
  #generation = 0;
  #configuration: Configuration = { frontends: [], farms: [] };
  #looks: Looks = new Map();
  #looking: NodeJS.Timeout | undefined;

  constructor(instanceId: number, options: Settled) {
    this.instanceId = instanceId;
    this.#options = options;
    this.#file = join(options.directory, `haproxy-${instanceId}.cfg`);
    this.#socket = join(options.directory, `haproxy-${instanceId}.sock`);
    this.#masterSocket = join(options.directory, `haproxy-${instanceId}-master.sock`);
  }

  /** Settles when the new worker answers. The old one may still send to its servers for a moment, as anywhere. */
  async become(configuration: Configuration, bind: (frontendId: number) => string): Promise<void> {
    const node = `generation-${(this.#generation += 1)}`;
    const { directory, probeSpeed } = this.#options;
    const text = haproxyConfiguration(configuration, {
      instanceId: this.instanceId,
      node,
      socket: this.#socket,
      bind,
      probeSpeed,
    });
    await mkdir(directory, { recursive: true });
    await writeFile(`${this.#file}.new`, text);
    await this.#check(`${this.#file}.new`);
    await writeFile(this.#file, text);

    if (this.#master) await this.#reload();
    else this.#start();
    await this.#untilItAnswers(this.#socket, 'show info', (answer) => answer.includes(`node: ${node}\n`));
    this.#configuration = configuration;
    this.#looks = new Map();
    await this.#look();
    this.#looking ??= setInterval(() => void this.#look().catch(() => undefined), lookEveryMs).unref();
  }

  stateOf(farmId: number, serverId: number): ServerState | undefined {
    const isKnown = this.#configuration.farms.some(
      (farm) => farm.farmId === farmId && farm.servers.some((server) => server.serverId === serverId),
    );
    if (!isKnown) return undefined;
    const { instanceId } = this;
    return (
      this.#looks.get(`${backendName(farmId)},${serverName(serverId)}`) ?? { instanceId, status: 'no check' }
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    await this.#master?.stop(5_000);
  }

  async #check(file: string): Promise<void> {
    const { failed, all } = await execa('haproxy', ['-c', '-f', file], { all: true, reject: false });
    if (failed) throw new Error(`Cannot run HAProxy: it refuses its configuration ${file}\n${all}`);
  }

  #start(): void {
    // The master in front, workers that it replaces.
    this.#master = startGuarded('haproxy', ['-W', '-S', this.#masterSocket, '-f', this.#file]);
    for (const stream of [this.#master.stdout, this.#master.stderr])
      stream.on('data', (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-4_000)));
  }

  /** Asked by its socket: a master that is not done with the reload before forgets a signal (seen with 2.6.12). */
  async #reload(): Promise<void> {
    await this.#untilItAnswers(this.#masterSocket, 'reload', () => true);
  }

  async #untilItAnswers(socket: string, question: string, isIt: (answer: string) => boolean): Promise<void> {
    const deadlineAtMs = Date.now() + patienceMs;
    for (;;) {
      const answer = await ask(socket, question).catch(() => undefined);
      if (answer !== undefined && isIt(answer)) return;
      if (!this.#master?.isRunning() || Date.now() > deadlineAtMs)
        throw new Error(`Cannot run HAProxy: instance "${this.instanceId}" does not answer\n${this.#said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #look(): Promise<void> {
    const generation = this.#generation;
    const lines = (await ask(this.#socket, 'show stat')).trim().split('\n');
    if (generation !== this.#generation) return;
    const columns = (lines[0] ?? '').replace('# ', '').split(',');
    const now = this.#options.clock();
    this.#looks = new Map(
      lines.slice(1).map((line) => {
        const fields = line.split(',');
        const field = (name: string): string => fields[columns.indexOf(name)] ?? '';
        return [`${field('pxname')},${field('svname')}`, this.#stateFrom(field, now)];
      }),
    );
  }

  #stateFrom(field: (name: string) => string, now: number): ServerState {
    const { instanceId } = this;
    const [, word = ''] = /^(UP|DOWN)\b/.exec(field('status')) ?? [];
    const checkStatus = field('check_status');
    if (word === '' || checkStatus === '') return { instanceId, status: 'no check' };
    const status = word as 'UP' | 'DOWN';
    const last = checkStatus.replace('* ', '');
    // Presumed up, and not asked yet.
    if (last === 'INI' || last === 'UNK') return { instanceId, status };
    const code = field('check_code');
    return {
      instanceId,
      status,
      checkStatus: last,
      ...(code === '' ? {} : { checkCode: Number(code) }),
      checkTime:
        now - this.#ageAtMost(field('pxname'), checkStatus.startsWith('* '), field('check_duration')),
      lastCheckContent: field('last_chk'),
    };
  }

  /** HAProxy does not tell when it asked. It asks regularly, so that the last answer is at most this old, in ms. */
  #ageAtMost(backend: string, isAskingAgain: boolean, durationMs: string): number {
    const farm = this.#configuration.farms.find(({ farmId }) => backendName(farmId) === backend);
    if (!farm?.probe) return 0;
    const everyMs = checkEveryMs(farm.probe, this.#options.probeSpeed);
    return everyMs + (isAskingAgain ? checkTimeoutMs(everyMs) : Number(durationMs));
  }
}

/** One question on a socket of HAProxy's, which closes it when it has answered. */
function ask(socket: string, question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const connection = createConnection(socket, () => connection.write(`${question}\n`));
    connection.setTimeout(5_000, () => connection.destroy(new Error('HAProxy does not answer')));
    connection.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    connection.once('error', reject);
    connection.once('end', () => resolve(answer));
  });
}
