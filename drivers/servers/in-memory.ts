import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Readable } from 'node:stream';
import { Parser } from 'tar';
import type { FencingToken } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { formatToken } from '../../domain/fencing.js';
import { hashOf } from '../../domain/hash.js';
import type { HealthQuestion, Sample, WatchedLook } from '../../domain/health.js';
import { Digest, ReleaseId, type ServerName } from '../../domain/names.js';
import type { ServerExamination } from '../../domain/examination.js';
import type { PlatformFacts, ServerFacts, UnitFacts } from '../../domain/observation.js';
import type { Server } from '../../domain/service.js';
import { shortage } from '../../domain/space.js';
import type { Unfit } from '../../domain/unfit.js';
import type { Told } from '../../domain/told.js';
import type { Patience } from '../patience.js';
import type {
  DrainOrder,
  DrainReport,
  FilledFile,
  Installation,
  ServerDriver,
  StopReport,
} from './driver.js';
import { answerAt, lifeAt, type Behaviour, type ImaginedProgram, type Life } from './imagined-program.js';
import { pause } from './pause.js';

export type ServerMethod = Exclude<keyof ServerDriver, 'server'>;

/** One call that reached a server, in the order of arrival. */
export interface ServerCall {
  readonly server: ServerName;
  readonly method: ServerMethod;
  readonly token?: string;
  readonly release?: ReleaseId | 'nothing';
}

/** All servers of a world without machines. Nothing in it runs by itself: time passes where it is looked at. */
/** What every program in memory holds, all the time. */
const holds = {
  descriptors: 12,
  descriptorLimit: 1024,
  residentKilobytes: 4096,
  memoryKilobytes: 1_048_576,
} as const;

export class InMemoryServers {
  /** Every call to every server. */
  readonly calls: ServerCall[] = [];
  readonly #servers = new Map<ServerName, InMemoryServer>();
  readonly #programs = new Map<string, ImaginedProgram>();

  /** The server's state and switches, for tests; made on first use. */
  server(name: ServerName): InMemoryServer {
    const known = this.#servers.get(name) ?? new InMemoryServer(name, this);
    this.#servers.set(name, known);
    return known;
  }

  driver(server: Server): ServerDriver {
    return new InMemoryServerDriver(server, this.server(server.name));
  }

  /**
   * Says what the program of an artifact is and does. Without it, the executable's digest is read
   * from the artifact's bytes and the program answers well.
   */
  program(
    artifact: Digest,
    program: { readonly executable: Digest; readonly behaviour?: Behaviour; readonly identity?: string },
  ): void {
    this.#programs.set(artifact, { behaviour: { kind: 'answers' }, ...program });
  }

  programOf(artifact: Digest): ImaginedProgram | undefined {
    return this.#programs.get(artifact);
  }
}

const stopped: Life = {
  state: 'inactive',
  subState: 'dead',
  result: 'success',
  restarts: 0,
  startedAfterMs: 0,
};
const killed: Life = { ...stopped, state: 'failed', subState: 'failed', result: 'signal' };

/** What a server lets through. `frozen` accepts and never answers, until the caller gives up. */
export type Link = 'up' | 'refused' | 'frozen';

interface InstalledRelease {
  readonly program: ImaginedProgram;
  readonly files: readonly FilledFile[];
  /** What was active before it, once it has been active. */
  previous: ReleaseId | undefined;
}

interface Process {
  readonly program: ImaginedProgram;
  readonly startedAtMs: number;
  readonly pid: number;
}

interface PlannedFailure {
  readonly method: ServerMethod;
  readonly failure: Error;
  readonly effect: 'none' | 'done';
}

/** Where nothing was said of a machine's platform. */
const usualLoaders = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1'];

/** The state of one server, with the switches that tests turn. */
export class InMemoryServer {
  readonly name: ServerName;
  readonly world: InMemoryServers;
  link: Link = 'up';
  freeBytes = 10 * 1024 ** 3;
  /** What programs find here to run on; a machine that does not tell has none. */
  platform: PlatformFacts | undefined;
  freeInodes: number | undefined;
  /** Directories that outlive releases. */
  readonly shared = new Set<string>();
  /** Its program does not end when it is told to: systemd has to kill it. */
  ignoresStop = false;
  /** Core dumps of its processes since the program was started. */
  coreDumps = 0;
  /** What it tells beside each installation. */
  notes: readonly string[] = [];
  needsDaemonReload = false;
  /** What a doctor finds here otherwise than on a healthy machine. */
  ailments: Partial<ServerExamination> = {};
  /** Every effect in its order: `installed ID`, `stopped`, `activated ID`, `started`, `removed ID: why`, `adopted ID`. */
  readonly journal: string[] = [];
  readonly unfit = new Map<ReleaseId, Unfit>();
  readonly #installed = new Map<ReleaseId, InstalledRelease>();
  readonly #failures: PlannedFailure[] = [];
  readonly #delaysMs = new Map<ServerMethod, number>();
  readonly #connectionChanges = new Set<() => void>();
  #active: ReleaseId | undefined;
  #foreign: ImaginedProgram | undefined;
  #process: Process | undefined;
  /** Why nothing runs, when something did. */
  #end: Life = stopped;
  #starts = 0;
  #connections = 0;
  #token = '';
  readonly #words: string[] = [];

  constructor(name: ServerName, world: InMemoryServers) {
    this.name = name;
    this.world = world;
  }

  /** Lingering connections on the program's port. */
  get connections(): number {
    return this.#connections;
  }

  set connections(count: number) {
    this.#connections = count;
    for (const changed of this.#connectionChanges) changed();
  }

  /** The next call of `method` fails: before it does anything (`none`), or after everything was done (`done`). */
  failNext(method: ServerMethod, failure: Error, effect: PlannedFailure['effect'] = 'none'): void {
    this.#failures.push({ method, failure, effect });
  }

  /** Every call of `method` takes this much longer. */
  delay(method: ServerMethod, ms: number): void {
    this.#delaysMs.set(method, ms);
  }

  /** Puts a program there that Verdigris did not install, running. */
  runForeign(program: ImaginedProgram): void {
    this.#foreign = program;
    this.#start(program);
  }

  /** Puts an installed release there as an earlier deployment would have, running. */
  serveRelease(release: ReleaseId, program: ImaginedProgram): void {
    this.#installed.set(release, { program, files: [], previous: this.#active });
    this.#active = release;
    this.#start(program);
  }

  /** A file of the active release, as it was filled in. */
  file(path: string): FilledFile | undefined {
    return this.#activeRelease()?.files.find((file) => file.path === path);
  }

  /** Kills the program as the kernel would; nothing starts it again. */
  crash(): void {
    this.#process = undefined;
    this.#end = killed;
    this.#words.push('Main process exited, code=killed, status=9/KILL');
  }

  /** The machine goes down and comes up: what is active is started again. */
  reboot(): void {
    this.connections = 0;
    const program = this.#foreign ?? this.#activeRelease()?.program;
    this.#process = undefined;
    if (program) this.#start(program);
  }

  /** What a request to the program gets right now; `silent` where nothing listens. Takes no time. */
  answer(): Sample {
    const life = this.#life();
    if (!this.#process || life.state !== 'active') return { kind: 'silent', because: 'connection refused' };
    const { program } = this.#process;
    const { status, tookMs } = answerAt(program.behaviour, this.#ageMs() - life.startedAfterMs);
    const identity = program.identity ?? this.#active;
    return { kind: 'answered', status, tookMs, ...(identity === undefined ? {} : { identity }) };
  }

  facts(): ServerFacts {
    const running = this.#life().state === 'active' ? this.#process?.program.executable : undefined;
    const previous = this.#activeRelease()?.previous;
    return {
      unit: this.#unitFacts(),
      ...(running === undefined ? {} : { runningProgram: running }),
      ...(this.#active === undefined ? {} : { activeRelease: this.#active }),
      ...(previous !== undefined && this.#installed.has(previous) ? { previousRelease: previous } : {}),
      installedReleases: [...this.#installed.keys()],
      unfitReleases: Object.fromEntries(this.unfit),
      foreign: this.#foreign !== undefined,
      connections: this.#connections,
      freeBytes: this.freeBytes,
      ...(this.freeInodes === undefined ? {} : { freeInodes: this.freeInodes }),
      token: this.#token,
      ...(this.platform === undefined ? {} : { platform: this.platform }),
    };
  }

  examination(): ServerExamination {
    return {
      platform: this.platform ?? { machine: 'x86-64', bits: 64, interpreters: [] },
      processors: 2,
      memoryBytes: 4e9,
      memoryFreeBytes: 3e9,
      diskBytes: 40e9,
      diskFreeBytes: this.freeBytes,
      filesFree: 1_000_000,
      clockAheadMs: 0,
      systemd: '252',
      missingTools: [],
      openFiles: 1024,
      port: this.#life().state === 'active' ? 'the unit' : 'free',
      rights: [],
      isRoot: false,
      ...this.ailments,
    };
  }

  look(): WatchedLook {
    const { state, subState, pid, startedAtUs, restarts, coreDumps = 0 } = this.#unitFacts();
    const look = { active: state === 'active', pid, startedAtUs, restarts, words: `${state} (${subState})` };
    const { runningProgram: program } = this.facts();
    return {
      ...look,
      ...(program === undefined ? {} : { program }),
      coreDumps,
      ...(look.active ? { holds } : {}),
    };
  }

  lastWords(lines: number): readonly string[] {
    return this.#words.slice(-lines);
  }

  /** What every call goes through before it does anything. */
  async receive(call: Omit<ServerCall, 'server'>, patience: Patience): Promise<void> {
    this.world.calls.push({ server: this.name, ...call });
    patience.signal.throwIfAborted();
    const delayMs = this.#delaysMs.get(call.method) ?? 0;
    if (delayMs > 0) await pause(delayMs, patience.signal);
    if (this.link === 'frozen') await never(patience.signal);
    if (this.link === 'refused') {
      throw new Failure('ServerUnreachable', `Cannot reach "${this.name}": it refuses connections`);
    }
    this.#failIfPlanned(call.method, 'none');
  }

  /** What every call goes through when it has done everything. */
  reply(method: ServerMethod): void {
    this.#failIfPlanned(method, 'done');
  }

  /** Refuses an executor that was overtaken, and remembers the newest. */
  fence(token: FencingToken, action: string): void {
    const text = formatToken(token);
    if (text < this.#token) {
      throw new Failure(
        'ExecutorFenced',
        `Cannot ${action} on "${this.name}": a newer executor (${this.#token}) was here, and this one is ${text}`,
      );
    }
    this.#token = text;
  }

  refuseForeign(action: string): void {
    if (!this.#foreign) return;
    throw new Failure(
      'ForeignRelease',
      `Cannot ${action} on "${this.name}": its unit runs a release that Verdigris did not install\n  take it over, with its files kept: verdigris adopt`,
    );
  }

  async install(
    { release, artifact, needs, files, shared, open, executable, loader, keep }: Installation,
    token: FencingToken,
  ): Promise<void> {
    for (const path of shared) this.shared.add(path);
    if (this.#installed.has(release)) return;
    const missing = shortage({ bytes: this.freeBytes, inodes: this.freeInodes }, needs);
    if (missing !== undefined) {
      throw new Failure('DiskFull', `Cannot install "${release}" on "${this.name}": ${missing}`);
    }
    const found = await readArtifact(open(), executable);
    if (found.digest !== artifact) {
      throw new Failure(
        'DigestMismatch',
        `Cannot install "${release}" on "${this.name}": what arrived is ${found.digest}, needs ${artifact}`,
      );
    }
    if (loader !== undefined && !(this.platform?.interpreters ?? usualLoaders).includes(loader)) {
      throw new Failure(
        'ProgramIncompatible',
        `Cannot install "${release}" on "${this.name}": ${executable} needs the loader ${loader}, which is not here`,
      );
    }
    this.fence(token, `install "${release}"`);
    if (this.#installed.has(release)) return;
    const program = this.world.programOf(artifact) ?? {
      executable: found.executable ?? hashOf([artifact, executable]),
      behaviour: { kind: 'answers' },
    };
    this.#installed.set(release, { program, files, previous: undefined });
    this.journal.push(`installed ${release}`);
    this.#removeBeyond(keep, release);
  }

  activate(release: ReleaseId): void {
    const installed = this.#installed.get(release);
    if (!installed) {
      throw new Failure(
        'CommandFailed',
        `Cannot activate "${release}" on "${this.name}": it is not installed`,
      );
    }
    if (this.#active === release && this.look().active) return;
    this.stop();
    if (this.#active !== release) {
      installed.previous = this.#active;
      this.#active = release;
      this.journal.push(`activated ${release}`);
    }
    this.#start(installed.program);
    if (this.look().active) return;
    throw new Failure(
      'StartFailed',
      `Cannot start "${release}" on "${this.name}": the program ended at once (${this.look().words})\n${this.lastWords(20).join('\n')}`,
    );
  }

  restore(release: ReleaseId | 'nothing'): void {
    if (release !== 'nothing') {
      // Going back must not make what is gone back from the way back of what is gone back to.
      const before = this.#installed.get(release)?.previous;
      this.activate(release);
      this.#installed.get(release)!.previous = before;
      return;
    }
    this.stop();
    if (this.#active === undefined) return;
    this.#active = undefined;
    this.journal.push('activated nothing');
  }

  /** Whether `restore` would have nothing to do. */
  isAsAsked(release: ReleaseId | 'nothing'): boolean {
    return release === 'nothing'
      ? this.#active === undefined && (this.#process === undefined || this.#foreign !== undefined)
      : this.#active === release && this.look().active;
  }

  /** Whether stopping what runs now takes a SIGKILL. */
  get willBeKilled(): boolean {
    return this.ignoresStop && this.#process !== undefined;
  }

  stop(): void {
    if (!this.#process) return;
    this.#process = undefined;
    this.#end = stopped;
    this.connections = 0;
    this.journal.push('stopped');
  }

  remove(release: ReleaseId, because: string): void {
    if (!this.#installed.has(release)) return;
    if (this.#active === release) {
      throw new Failure(
        'CommandFailed',
        `Cannot remove "${release}" from "${this.name}": it is the active release`,
      );
    }
    this.#installed.delete(release);
    this.journal.push(`removed ${release}: ${because}`);
  }

  markUnfit(release: ReleaseId, because: string): void {
    if (this.unfit.get(release)?.because === because) return;
    this.unfit.set(release, { because, at: new Date().toISOString() });
    this.journal.push(`marked ${release} unfit: ${because}`);
  }

  markFit(release: ReleaseId): void {
    if (this.unfit.delete(release)) this.journal.push(`marked ${release} fit`);
  }

  adopt(): ReleaseId | 'nothing' {
    if (!this.#foreign) return this.#active ?? 'nothing';
    const { executable } = this.#foreign;
    const release = ReleaseId(`${executable.slice(0, 12)}-${hashOf({ unitOf: this.name }).slice(0, 8)}`);
    this.#installed.set(release, { program: this.#foreign, files: [], previous: undefined });
    this.#active = release;
    this.#foreign = undefined;
    this.journal.push(`adopted ${release}`);
    return release;
  }

  /** Waits until no connection lingers, at most `atMostMs`. */
  async drain(atMostMs: number, { signal, progress }: Patience): Promise<DrainReport> {
    const beganAtMs = performance.now();
    const waitedMs = () => Math.round(performance.now() - beganAtMs);
    while (this.#connections > 0 && waitedMs() < atMostMs) {
      progress(`${this.#connections} connections linger on ${this.name}`);
      if (this.#connections > 0) await this.#connectionChange(Math.min(atMostMs - waitedMs(), 1000), signal);
    }
    return { cut: this.#connections, waitedMs: waitedMs(), killed: false };
  }

  async #connectionChange(atMostMs: number, signal: AbortSignal): Promise<void> {
    const changed = new AbortController();
    const wake = () => changed.abort(changed);
    this.#connectionChanges.add(wake);
    try {
      await pause(atMostMs, AbortSignal.any([signal, changed.signal]));
    } catch (error) {
      if (error !== changed) throw error;
    } finally {
      this.#connectionChanges.delete(wake);
    }
  }

  #failIfPlanned(method: ServerMethod, effect: PlannedFailure['effect']): void {
    const index = this.#failures.findIndex(
      (planned) => planned.method === method && planned.effect === effect,
    );
    if (index < 0) return;
    const [planned] = this.#failures.splice(index, 1);
    throw planned!.failure;
  }

  #activeRelease(): InstalledRelease | undefined {
    return this.#active === undefined ? undefined : this.#installed.get(this.#active);
  }

  #removeBeyond(keep: number, newest: ReleaseId): void {
    const kept = new Set([newest, this.#active, this.#activeRelease()?.previous]);
    const old = [...this.#installed.keys()].filter((release) => !kept.has(release));
    for (const release of old.slice(0, Math.max(0, old.length - keep))) {
      this.#installed.delete(release);
      this.journal.push(`removed ${release}: ${keep} are kept`);
    }
  }

  #start(program: ImaginedProgram): void {
    this.#starts += 1;
    this.#process = { program, startedAtMs: performance.now(), pid: 1000 * this.#starts };
    this.journal.push('started');
    if (program.behaviour.kind === 'crashes at start') this.#words.push('cannot start: told to crash');
  }

  #ageMs(): number {
    return this.#process ? performance.now() - this.#process.startedAtMs : 0;
  }

  #life(): Life {
    if (this.#process) return lifeAt(this.#process.program.behaviour, this.#ageMs());
    return this.#end;
  }

  #unitFacts(): UnitFacts {
    const { state, subState, result, restarts, startedAfterMs } = this.#life();
    const exists = this.#active !== undefined || this.#foreign !== undefined;
    return {
      state: exists ? state : 'not-found',
      subState,
      pid: this.#process && state === 'active' ? this.#process.pid + restarts : 0,
      startedAtUs: this.#process ? Math.round((this.#process.startedAtMs + startedAfterMs) * 1000) : 0,
      restarts,
      result,
      needsDaemonReload: this.needsDaemonReload,
      coreDumps: this.coreDumps,
    };
  }
}

/** The promises of `ServerDriver`, kept by a server in memory. */
class InMemoryServerDriver implements ServerDriver {
  readonly server: Server;
  readonly #there: InMemoryServer;

  constructor(server: Server, there: InMemoryServer) {
    this.server = server;
    this.#there = there;
  }

  observe(patience: Patience): Promise<ServerFacts> {
    return this.#call({ method: 'observe' }, patience, () => this.#there.facts());
  }

  examine(patience: Patience): Promise<ServerExamination> {
    return this.#call({ method: 'examine' }, patience, () => this.#there.examination());
  }

  install(installation: Installation, token: FencingToken, patience: Patience): Promise<Told> {
    const { release } = installation;
    return this.#change({ method: 'install', release }, token, patience, async () => {
      await this.#there.install(installation, token);
      return { notes: this.#there.notes };
    });
  }

  activate(
    release: ReleaseId,
    { atMostMs, lingering }: DrainOrder,
    token: FencingToken,
    patience: Patience,
  ): Promise<DrainReport> {
    const there = this.#there;
    return this.#change({ method: 'activate', release }, token, patience, async () => {
      there.refuseForeign(`activate "${release}"`);
      if (there.isAsAsked(release)) return { cut: 0, waitedMs: 0, killed: false };
      const report = await there.drain(atMostMs, patience);
      if (report.cut > 0 && lingering === 'refuse') {
        throw new Failure(
          'ConnectionsLinger',
          `Cannot activate "${release}" on "${there.name}": ${report.cut} connections linger after ${atMostMs} ms, needs none`,
        );
      }
      there.fence(token, `activate "${release}"`);
      const killed = there.willBeKilled;
      there.activate(release);
      return { ...report, killed };
    });
  }

  restore(
    release: ReleaseId | 'nothing',
    drainAtMostMs: number,
    token: FencingToken,
    patience: Patience,
  ): Promise<DrainReport> {
    const there = this.#there;
    return this.#change({ method: 'restore', release }, token, patience, async () => {
      if (there.isAsAsked(release)) return { cut: 0, waitedMs: 0, killed: false };
      there.refuseForeign(`restore "${release}"`);
      const report = await there.drain(drainAtMostMs, patience);
      there.fence(token, `restore "${release}"`);
      const killed = there.willBeKilled;
      there.restore(release);
      return { ...report, killed };
    });
  }

  drain(atMostMs: number, patience: Patience): Promise<DrainReport> {
    return this.#call({ method: 'drain' }, patience, () => this.#there.drain(atMostMs, patience));
  }

  stop(token: FencingToken, patience: Patience): Promise<StopReport> {
    return this.#change({ method: 'stop' }, token, patience, () => {
      this.#there.refuseForeign('stop the program');
      const killed = this.#there.willBeKilled;
      this.#there.stop();
      return { killed };
    });
  }

  remove(release: ReleaseId, because: string, token: FencingToken, patience: Patience): Promise<void> {
    return this.#change({ method: 'remove', release }, token, patience, () =>
      this.#there.remove(release, because),
    );
  }

  markUnfit(release: ReleaseId, because: string, token: FencingToken, patience: Patience): Promise<void> {
    return this.#change({ method: 'markUnfit', release }, token, patience, () =>
      this.#there.markUnfit(release, because),
    );
  }

  markFit(release: ReleaseId, token: FencingToken, patience: Patience): Promise<void> {
    return this.#change({ method: 'markFit', release }, token, patience, () => this.#there.markFit(release));
  }

  adopt(token: FencingToken, patience: Patience): Promise<ReleaseId | 'nothing'> {
    return this.#change({ method: 'adopt' }, token, patience, () => this.#there.adopt());
  }

  probe(question: HealthQuestion, patience: Patience): Promise<Sample> {
    return this.#call({ method: 'probe' }, patience, async () => {
      const answer = this.#there.answer();
      if (answer.kind === 'silent') return answer;
      await pause(Math.min(answer.tookMs, question.timeoutMs), patience.signal);
      if (answer.tookMs >= question.timeoutMs) {
        return { kind: 'silent', because: `no answer within ${question.timeoutMs} ms` };
      }
      const { identity, ...plain } = answer;
      return question.identityHeader === undefined || identity === undefined ? plain : { ...plain, identity };
    });
  }

  async *watch(everyMs: number, patience: Patience): AsyncIterable<WatchedLook> {
    await this.#there.receive({ method: 'watch' }, patience);
    for (;;) {
      if (this.#there.link !== 'up') {
        throw new Failure('ServerUnreachable', `Cannot watch "${this.server.name}": the connection was lost`);
      }
      yield this.#there.look();
      await pause(everyMs, patience.signal);
    }
  }

  lastWords(lines: number, patience: Patience): Promise<readonly string[]> {
    return this.#call({ method: 'lastWords' }, patience, () => this.#there.lastWords(lines));
  }

  #change<Result>(
    call: Omit<ServerCall, 'server' | 'token'>,
    token: FencingToken,
    patience: Patience,
    act: () => Result | Promise<Result>,
  ): Promise<Result> {
    return this.#call({ ...call, token: formatToken(token) }, patience, () => {
      this.#there.fence(token, call.method);
      return act();
    });
  }

  async #call<Result>(
    call: Omit<ServerCall, 'server'>,
    patience: Patience,
    act: () => Result | Promise<Result>,
  ): Promise<Result> {
    await this.#there.receive(call, patience);
    const result = await act();
    this.#there.reply(call.method);
    return result;
  }
}

/** Hashes an artifact as it arrives, and its executable on the way when it is an archive that has it. */
async function readArtifact(
  bytes: Readable,
  executable: string,
): Promise<{ readonly digest: Digest; readonly executable?: Digest }> {
  const whole = createHash('sha256');
  let program: Digest | undefined;
  const parser = new Parser({
    onReadEntry: (entry) => {
      if (entry.path.replace(/^\.\//, '') !== executable) {
        entry.resume();
        return;
      }
      const hash = createHash('sha256');
      entry.on('data', (chunk: Buffer) => hash.update(chunk));
      entry.on('end', () => (program = Digest(hash.digest('hex'))));
    },
  });
  const parsed = new Promise<void>((resolve) => {
    parser.on('end', resolve);
    // What is not an archive has no executable to find; its digest is judged all the same.
    parser.on('error', () => resolve());
  });
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    whole.update(chunk);
    parser.write(chunk);
  }
  parser.end();
  await parsed;
  const digest = Digest(whole.digest('hex'));
  return program === undefined ? { digest } : { digest, executable: program };
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
