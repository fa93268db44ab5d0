import type { Readable, Writable } from 'node:stream';
import type { FencingToken } from '../../domain/deployment.js';
import type { ServerExamination } from '../../domain/examination.js';
import { Failure } from '../../domain/failures.js';
import { formatToken } from '../../domain/fencing.js';
import type { HealthQuestion, Sample, WatchedLook } from '../../domain/health.js';
import { Digest, ReleaseId } from '../../domain/names.js';
import type { ServerFacts } from '../../domain/observation.js';
import {
  neighboursOf,
  type Server,
  type ServerConnection,
  type Service,
  type SshAddress,
} from '../../domain/service.js';
import type { Unfit } from '../../domain/unfit.js';
import type { Agents } from '../agents.js';
import type { Told } from '../../domain/told.js';
import type { Patience } from '../patience.js';
import type { Secrets } from '../secrets.js';
import type {
  DrainOrder,
  DrainReport,
  FilledFile,
  Installation,
  ServerDriver,
  StopReport,
} from './driver.js';
import { HelperReply, helperLine, type HelperCommand, type HelperWords } from './helper-protocol.js';
import { LinkLost } from './ssh-command.js';
import type { SshConnections } from './ssh-connection.js';
import { credentialFor } from './ssh-credential.js';
import type { SshLink } from './ssh-link.js';
import type { SshHop, SshTarget } from './ssh-target.js';
import { asDropIn } from './unit-file.js';

type SshConnection = Extract<ServerConnection, { driver: 'ssh' }>;

/** A server that is reached by SSH alone: no agent there, one command per step. */
export function createSshServer(wiring: {
  readonly server: Server;
  readonly service: Service;
  readonly secrets: Secrets;
  readonly agents: Agents;
  readonly pool: SshConnections;
}): ServerDriver {
  const { server, service, pool } = wiring;
  const { connection } = server;
  if (connection.driver !== 'ssh') {
    throw new TypeError(`Cannot reach "${server.name}" by SSH: its driver is "${connection.driver}"`);
  }
  const sources = { service: service.id, secrets: wiring.secrets, agents: wiring.agents };
  const hopTo = (address: SshAddress): SshHop => ({
    host: address.host,
    port: address.port,
    user: address.user,
    hostKeys: address.hostKeys,
    owner: JSON.stringify([service.id, address.key, address.passphrase, address.certificate]),
    credential: () => credentialFor(address, sources),
  });
  const target: SshTarget = {
    ...hopTo(connection),
    bastions: (connection.bastions ?? []).map(hopTo),
    limits: connection.limits ?? {},
  };
  return new SshServer(server, connection, target, pool, neighboursOf(service, server));
}

/** What a step may take on a slow machine, beside the waiting that was asked for: systemd alone may use 90 s to stop. */
const deadlinesMs = { look: 30_000, change: 300_000, transfer: 1_800_000 } as const;

class SshServer implements ServerDriver {
  readonly server: Server;
  readonly #address: SshConnection;
  readonly #target: SshTarget;
  readonly #pool: SshConnections;
  readonly #units: readonly string[];

  constructor(
    server: Server,
    address: SshConnection,
    target: SshTarget,
    pool: SshConnections,
    neighbours: readonly string[],
  ) {
    this.server = server;
    this.#address = address;
    this.#target = target;
    this.#pool = pool;
    this.#units = neighbours;
  }

  async observe(patience: Patience): Promise<ServerFacts> {
    return factsFrom(
      await this.#run(patience, {
        doing: `observe ${this.#quoted}`,
        command: 'observe',
        words: {},
        deadlineMs: deadlinesMs.look,
      }),
    );
  }

  async examine(patience: Patience): Promise<ServerExamination> {
    const beganAtMs = Date.now();
    const reply = await this.#run(patience, {
      doing: `examine ${this.#quoted}`,
      command: 'examine',
      words: {},
      deadlineMs: deadlinesMs.look,
    });
    return examinationFrom(reply, { beganAtMs, endedAtMs: Date.now() });
  }

  async install(installation: Installation, token: FencingToken, patience: Patience): Promise<Told> {
    const {
      release,
      artifact,
      sizeBytes,
      needs,
      open,
      unitFile,
      files,
      shared,
      executable,
      loader = '',
      keep,
    } = installation;
    const unreadable = new AbortController();
    const signal = AbortSignal.any([patience.signal, unreadable.signal]);
    let source: Readable | undefined;
    const step: Step = {
      doing: `install "${release}" on ${this.#quoted}`,
      command: 'install',
      words: {
        token: formatToken(token),
        release,
        artifact,
        size: sizeBytes,
        'needs-kilobytes': Math.ceil(needs.bytes / 1024),
        'needs-inodes': needs.inodes,
        executable,
        loader,
        keep,
        files: files.length,
        shared: shared.join(','),
      },
      deadlineMs: deadlinesMs.transfer,
      // Nothing is sent before the helper asks: it may have the release, or no room for it.
      onField: (key, value, stdin) => {
        if (key !== 'have') return;
        stdin.write(`${Buffer.from(asDropIn(unitFile)).toString('base64')}\n`);
        if (value !== 'no') return;
        for (const file of files) stdin.write(lineOf(file));
        source = open();
        source.once('error', (error) => unreadable.abort(error));
        source.pipe(stdin);
      },
    };
    try {
      return toldBy(await this.#run({ ...patience, signal }, step));
    } finally {
      source?.destroy();
    }
  }

  async activate(
    release: ReleaseId,
    { atMostMs, lingering }: DrainOrder,
    token: FencingToken,
    patience: Patience,
  ): Promise<DrainReport> {
    const reply = await this.#run(patience, {
      doing: `activate "${release}" on ${this.#quoted}`,
      command: 'activate',
      words: {
        token: formatToken(token),
        release,
        'at-most-ms': atMostMs,
        lingering,
        ...this.#neighbours,
      },
      deadlineMs: atMostMs + deadlinesMs.change,
    });
    return drainReportFrom(reply);
  }

  async restore(
    release: ReleaseId | 'nothing',
    drainAtMostMs: number,
    token: FencingToken,
    patience: Patience,
  ): Promise<DrainReport> {
    return drainReportFrom(
      await this.#run(patience, {
        doing: `restore "${release}" on ${this.#quoted}`,
        command: 'restore',
        words: { token: formatToken(token), release, 'at-most-ms': drainAtMostMs, ...this.#neighbours },
        deadlineMs: drainAtMostMs + deadlinesMs.change,
      }),
    );
  }

  async drain(atMostMs: number, patience: Patience): Promise<DrainReport> {
    return drainReportFrom(
      await this.#run(patience, {
        doing: `drain ${this.#quoted}`,
        command: 'drain',
        words: { 'at-most-ms': atMostMs },
        deadlineMs: atMostMs + deadlinesMs.look,
      }),
    );
  }

  async stop(token: FencingToken, patience: Patience): Promise<StopReport> {
    const reply = await this.#run(patience, {
      doing: `stop "${this.server.unit}" on ${this.#quoted}`,
      command: 'stop',
      words: { token: formatToken(token) },
      deadlineMs: deadlinesMs.change,
    });
    return { killed: reply.one('killed') === 'yes', ...toldBy(reply) };
  }

  async remove(release: ReleaseId, because: string, token: FencingToken, patience: Patience): Promise<void> {
    await this.#run(patience, {
      doing: `remove "${release}" from ${this.#quoted}`,
      command: 'remove',
      // It is one word of a command line; the last words are kept beside it anyway.
      words: { token: formatToken(token), release, because: because.slice(0, 500) },
      deadlineMs: deadlinesMs.change,
    });
  }

  async markUnfit(
    release: ReleaseId,
    because: string,
    token: FencingToken,
    patience: Patience,
  ): Promise<void> {
    await this.#run(patience, {
      doing: `mark "${release}" unfit on ${this.#quoted}`,
      command: 'mark-unfit',
      words: { token: formatToken(token), release, because: because.slice(0, 500) },
      deadlineMs: deadlinesMs.change,
    });
  }

  async markFit(release: ReleaseId, token: FencingToken, patience: Patience): Promise<void> {
    await this.#run(patience, {
      doing: `mark "${release}" fit on ${this.#quoted}`,
      command: 'mark-fit',
      words: { token: formatToken(token), release },
      deadlineMs: deadlinesMs.change,
    });
  }

  async adopt(token: FencingToken, patience: Patience): Promise<ReleaseId | 'nothing'> {
    const reply = await this.#run(patience, {
      doing: `adopt what runs under "${this.server.unit}" on ${this.#quoted}`,
      command: 'adopt',
      words: { token: formatToken(token), ...this.#neighbours },
      deadlineMs: deadlinesMs.change,
    });
    const release = reply.one('release');
    return release === 'nothing' ? 'nothing' : ReleaseId(release);
  }

  probe(question: HealthQuestion, patience: Patience): Promise<Sample> {
    return this.#use(`probe ${this.#quoted}`, patience, (link) =>
      link.probe(this.server.probe, question, patience.signal),
    );
  }

  async *watch(everyMs: number, patience: Patience): AsyncIterable<WatchedLook> {
    const looks = new Queue<WatchedLook>();
    const stop = new AbortController();
    const watching = this.#run(
      { ...patience, signal: AbortSignal.any([patience.signal, stop.signal]) },
      {
        doing: `watch ${this.#quoted}`,
        command: 'watch',
        words: { 'every-ms': everyMs },
        deadlineMs: undefined,
        onField: (key, value) => {
          if (key === 'look') looks.put(lookFrom(value));
        },
      },
    );
    watching.then(
      () =>
        looks.fail(new Failure('CommandFailed', `Cannot watch ${this.#quoted}: the helper stopped looking`)),
      (error: unknown) => looks.fail(error),
    );
    try {
      for (;;) yield await looks.take();
    } finally {
      stop.abort();
    }
  }

  async lastWords(lines: number, patience: Patience): Promise<readonly string[]> {
    const reply = await this.#run(patience, {
      doing: `read the last words of ${this.#quoted}`,
      command: 'last-words',
      words: { lines },
      deadlineMs: deadlinesMs.look,
    });
    return reply.all('line');
  }

  /** One command of the helper, from the connection to the proof that it did all that was asked. */
  async #run(patience: Patience, step: Step): Promise<HelperReply> {
    const { doing, command, words, deadlineMs, onField } = step;
    const reply = new HelperReply();
    patience.progress(doing);
    const ticking = setInterval(() => patience.progress(doing), 1500);
    try {
      const exit = await this.#use(doing, patience, (link) =>
        link.execute(helperLine(this.server, this.#address.privilege, command, words), {
          signal: patience.signal,
          deadlineMs,
          lasting: deadlineMs === undefined,
          onLine: (line, stdin) => {
            const field = reply.take(line);
            if (field?.key === 'progress') patience.progress(`${doing}: ${field.value}`);
            else if (field) onField?.(field.key, field.value, stdin);
          },
        }),
      );
      reply.prove(`Cannot ${doing}`, exit.stderr, this.#address.privilege);
      return reply;
    } finally {
      clearInterval(ticking);
    }
  }

  /** Puts this server's name on whatever goes wrong with the connection. */
  async #use<Result>(
    doing: string,
    patience: Patience,
    action: (link: SshLink) => Promise<Result>,
  ): Promise<Result> {
    const { host, port } = this.#target;
    const beganAt = Date.now();
    try {
      return await this.#pool.use(this.#target, patience, action);
    } catch (error) {
      if (error instanceof Failure && isAboutConnecting(error)) {
        throw new Failure(error.failure, `Cannot ${doing}: ${error.message}`, { cause: error.cause });
      }
      if (!(error instanceof LinkLost)) throw error;
      const seconds = Math.max(1, Math.round((Date.now() - beganAt) / 1000));
      throw new Failure(
        'ServerUnreachable',
        `Cannot ${doing}: ${host}:${port} was reached, but ${error.message} (after ${seconds} s)`,
        { cause: error, ambiguous: true },
      );
    }
  }

  /** Units of the other environment on this machine, which must not be changed. */
  get #neighbours(): { readonly neighbours?: string } {
    return this.#units.length === 0 ? {} : { neighbours: this.#units.join(',') };
  }

  get #quoted(): string {
    return `"${this.server.name}"`;
  }
}

/** How a filled file travels: before the artifact, and never as a word of a command, which others could read. */
const lineOf = ({ path, content, private: isPrivate }: FilledFile): string =>
  `${isPrivate ? 'private' : 'public'} ${path} ${Buffer.from(content.reveal()).toString('base64')}\n`;

interface Step {
  /** Finishes the sentence "Cannot ...". */
  readonly doing: string;
  readonly command: HelperCommand;
  readonly words: HelperWords;
  readonly deadlineMs: number | undefined;
  readonly onField?: (key: string, value: string, stdin: Writable) => void;
}

/** The helper's own failures are sentences already. */
const isAboutConnecting = ({ failure, message }: Failure): boolean =>
  ['ServerUnreachable', 'HostKeyMismatch', 'ServerLoginRefused', 'ServerBusy'].includes(failure) &&
  !message.startsWith('Cannot ');

const drainReportFrom = (reply: HelperReply): DrainReport => ({
  cut: Number(reply.one('cut')),
  waitedMs: Number(reply.one('waitedMs')),
  killed: reply.one('killed') === 'yes',
  ...toldBy(reply),
});

const toldBy = (reply: HelperReply): Told => {
  const notes = [...new Set(reply.all('note'))];
  return notes.length === 0 ? {} : { notes };
};

function factsFrom(reply: HelperReply): ServerFacts {
  const program = reply.one('runningProgram');
  const coreDumps = reply.one('unit.coreDumps');
  const active = reply.one('activeRelease');
  const previous = reply.one('previousRelease');
  return {
    unit: {
      state: reply.one('unit.state'),
      subState: reply.one('unit.subState'),
      pid: Number(reply.one('unit.pid')),
      startedAtUs: Number(reply.one('unit.startedAtUs')),
      restarts: Number(reply.one('unit.restarts')),
      result: reply.one('unit.result'),
      needsDaemonReload: reply.one('unit.needsDaemonReload') === 'yes',
      ...(coreDumps === '' ? {} : { coreDumps: Number(coreDumps) }),
    },
    ...(program === '' ? {} : { runningProgram: Digest(program) }),
    ...(active === '' ? {} : { activeRelease: ReleaseId(active) }),
    ...(previous === '' ? {} : { previousRelease: ReleaseId(previous) }),
    installedReleases: reply.all('installed').map(ReleaseId),
    unfitReleases: Object.fromEntries(reply.all('unfit').map(unfitFrom)),
    foreign: reply.one('foreign') === 'yes',
    connections: Number(reply.one('connections')),
    freeBytes: Number(reply.one('freeKilobytes')) * 1024,
    ...(reply.one('freeInodes') === '' ? {} : { freeInodes: Number(reply.one('freeInodes')) }),
    token: reply.one('token'),
    ...platformFrom(reply),
  };
}

function examinationFrom(
  reply: HelperReply,
  { beganAtMs, endedAtMs }: { readonly beganAtMs: number; readonly endedAtMs: number },
): ServerExamination {
  const [memory = 0, memoryFree = 0] = numbersIn(reply.one('memory'));
  const [disk = 0, diskFree = 0] = numbersIn(reply.one('disk'));
  const [filesFree, openFiles] = [reply.one('filesFree'), reply.one('openFiles')];
  const { platform = { machine: 'unknown', bits: 64, interpreters: [] } } = platformFrom(reply);
  const given = (key: string, as: string) => (reply.one(key) === '' ? {} : { [as]: reply.one(key) });
  return {
    platform,
    processors: Number(reply.one('processors')),
    memoryBytes: memory * 1024,
    memoryFreeBytes: memoryFree * 1024,
    diskBytes: disk * 1024,
    diskFreeBytes: diskFree * 1024,
    ...(filesFree === '' ? {} : { filesFree: Number(filesFree) }),
    clockAheadMs: aheadOf(Number(reply.one('seconds')) * 1000, beganAtMs, endedAtMs),
    systemd: reply.one('systemd'),
    missingTools: reply.all('missingTool'),
    ...(openFiles === '' ? {} : { openFiles: openFilesIn(openFiles) }),
    port: portIn(reply.one('port')),
    ...(reply.one('rightsKnown') === 'yes' ? { rights: reply.all('right') } : {}),
    isRoot: reply.one('login') === 'root',
    ...given('sshd.allowtcpforwarding', 'tcpForwarding'),
    ...given('sshd.maxstartups', 'maxStartups'),
    ...given('selinux', 'selinux'),
  };
}

/** How far a clock is ahead that told whole seconds at some moment between two of ours; 0 where it may be right. */
function aheadOf(toldMs: number, fromMs: number, toMs: number): number {
  if (toldMs > toMs) return toldMs - toMs;
  return toldMs + 1000 < fromMs ? toldMs + 1000 - fromMs : 0;
}

const numbersIn = (text: string): readonly number[] => text.split(' ').map(Number);

const openFilesIn = (text: string): number => (text === 'infinity' ? Number.MAX_SAFE_INTEGER : Number(text));

const portIn = (text: string): ServerExamination['port'] =>
  text === 'free' || text === 'the unit' || text === 'somebody else' ? text : 'somebody';

function platformFrom(reply: HelperReply): Pick<ServerFacts, 'platform'> {
  const kernel = reply.one('platform.machine');
  if (kernel === '') return {};
  const told = (key: string) => {
    const value = reply.one(`platform.${key}`);
    return value === '' ? {} : { [key]: value };
  };
  return {
    platform: {
      machine: kernel === 'x86_64' ? 'x86-64' : kernel,
      bits: Number(reply.one('platform.bits')) || 64,
      ...told('system'),
      ...told('glibc'),
      ...told('glibcxx'),
      ...told('cxxabi'),
      interpreters: reply.all('platform.interpreter'),
    },
  };
}

/** `release at because` */
function unfitFrom(text: string): readonly [string, Unfit] {
  const [, release = '', at = '', because = ''] = /^(\S*) (\S*) ?(.*)$/s.exec(text) ?? [];
  return [release, { because, at }];
}

/** `state subState pid startedAtUs restarts descriptors descriptorLimit residentKilobytes memoryKilobytes program coreDumps` */
function lookFrom(value: string): WatchedLook {
  const [state = '', subState = '', ...words] = value.split(' ');
  const [program = '-', coreDumps = '-'] = words.slice(7);
  const [pid = 0, startedAtUs = 0, restarts = 0, ...held] = words.slice(0, 7).map(Number);
  const [descriptors = 0, descriptorLimit = 0, residentKilobytes = 0, memoryKilobytes = 0] = held;
  return {
    active: state === 'active',
    pid,
    startedAtUs,
    restarts,
    words: `${state} (${subState})`,
    ...(program === '-' ? {} : { program: Digest(program) }),
    ...(coreDumps === '-' ? {} : { coreDumps: Number(coreDumps) }),
    ...(residentKilobytes > 0
      ? { holds: { descriptors, descriptorLimit, residentKilobytes, memoryKilobytes } }
      : {}),
  };
}

/** Items in the order in which they came, waited for one by one. */
class Queue<Item> {
  readonly #items: Item[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  put(item: Item): void {
    this.#items.push(item);
    this.#wake();
  }

  /** What came before is still handed out first. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  async take(): Promise<Item> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#failure) throw this.#failure.error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
