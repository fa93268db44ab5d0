import { randomUUID } from 'node:crypto';
import type { ExecCommand } from './command-line.js';
import { pause, within } from './deadline.js';
import { exitText, isRestarted, resultOf, type UnitResult } from './exit-verdict.js';
import type { Journal } from './journal.js';
import { loadUnit, needsReload, type LoadedUnit } from './loaded-unit.js';
import { now } from './moment.js';
import { programEnvironment } from './program-environment.js';
import { processName, type Exit, type Session } from './session.js';
import { StartLimit } from './start-limit.js';
import type { UnitName } from './unit-name.js';
import { execute, reasonOf, type Executed } from './unit-program.js';
import type { UnitSettings } from './unit-settings.js';
import {
  activeStates,
  isUp,
  neverYet,
  noMainProcess,
  timesAfter,
  type JobResult,
  type MainProcess,
  type SubState,
  type UnitStatus,
} from './unit-state.js';

/** How long lines that a program wrote just before its end may take to arrive after it. */
const lastLinesMs = 1_000;

type ExecPhase = 'start-pre' | 'start' | 'start-post' | 'reload' | 'stop' | 'stop-post';

/**
 * One unit: its files as they were last read, and the state machine that systemd runs for a service.
 * It stays in memory for ever: where a real systemd forgets a stopped unit that nothing refers to and so reads it anew,
 * this one insists on `daemon-reload`.
 */
export class Unit {
  readonly name: UnitName;

  readonly #unitDirectory: string;
  readonly #journal: Journal;
  readonly #startLimit = new StartLimit();
  /** Everyone who may still have processes: the main one, those of `ExecStop=` and the like, those left behind. */
  readonly #sessions = new Set<Session>();

  #loaded: LoadedUnit;
  #subState: SubState = 'dead';
  #result: UnitResult = 'success';
  #restarts = 0;
  #invocationId = '';
  #environment: Readonly<Record<string, string>> = {};

  #main: Session | undefined;
  /** Settles when the end of the main process has been taken note of. */
  #mainNoted: Promise<void> = Promise.resolve();
  #control: Session | undefined;
  #execMain: MainProcess = noMainProcess;
  #times = neverYet;

  #lastSettings: UnitSettings | undefined;
  #activation: Promise<JobResult> | undefined;
  #deactivation: Promise<void> | undefined;
  #cancelRestart: (() => void) | undefined;
  /** Somebody wants it stopped: it is not started again by itself. */
  #stopAsked = false;
  #poweredOff = false;

  constructor(name: UnitName, unitDirectory: string, journal: Journal) {
    this.name = name;
    this.#unitDirectory = unitDirectory;
    this.#journal = journal;
    this.#loaded = this.#load();
  }

  /** What is in memory. A unit that was not found is looked for again each time. */
  get loaded(): LoadedUnit {
    if (this.#loaded.kind === 'not-found') this.#loaded = this.#load();
    return this.#loaded;
  }

  get needsReload(): boolean {
    return needsReload(this.#unitDirectory, this.name, this.#loaded);
  }

  /** Reads the files again; what runs goes on as it was started. */
  reload(): void {
    this.#loaded = this.#load();
  }

  get status(): UnitStatus {
    return {
      activeState: activeStates[this.#subState],
      subState: this.#subState,
      result: this.#result,
      restarts: this.#restarts,
      invocationId: this.#invocationId,
      mainPid: this.#main?.pid ?? 0,
      controlPid: this.#control?.pid ?? 0,
      ...this.#execMain,
      ...this.#times,
    };
  }

  /** Starts it and waits for as long as its type demands. Does nothing when it is active; joins a start under way. */
  async start(): Promise<JobResult> {
    await this.#deactivation;
    if (this.#isActive()) return 'done';
    if (this.#activation !== undefined) return this.#activation;

    this.#restarts = 0;
    return this.#activate(() => this.#tryToActivate());
  }

  /** Stops it and waits until it is. Does nothing when nothing runs. */
  async stop(): Promise<JobResult> {
    this.#stopAsked = true;
    if (this.#subState === 'auto-restart') {
      this.#cancelRestart?.();
      await this.#activation;
      this.#enter('dead');
      this.#tell(`Stopped ${this.#title()}.`);
      return 'done';
    }
    if (this.#activation !== undefined) {
      if (this.#control !== undefined) void this.#terminate(this.#control);
      await this.#activation;
    }
    if (this.#isActive()) {
      this.#tell(`Stopping ${this.#title()}...`);
      void this.#deactivate();
    }
    if (this.#deactivation !== undefined) {
      await this.#deactivation;
      this.#tell(`Stopped ${this.#title()}.`);
    }
    return 'done';
  }

  async restart(): Promise<JobResult> {
    await this.stop();
    return this.start();
  }

  /** Runs `ExecReload=`. Needs an active unit. */
  async reloadProgram(): Promise<JobResult> {
    this.#enter('reload');
    const result = await this.#runAll(this.#settings().execReload, 'reload');
    if (this.#subState === 'reload') this.#enter('running');
    if (result === 'success') this.#tell(`Reloaded ${this.#title()}.`);
    return result === 'success' ? 'done' : 'failed';
  }

  /** Sends a signal without asking the unit to stop: `Restart=` applies to what comes of it. */
  signal(signal: NodeJS.Signals, whom: 'all' | 'main'): void {
    if (whom === 'main') this.#main?.signalLeader(signal);
    else for (const session of this.#sessions) session.signalEveryone(signal);
  }

  /** Forgets failure, restarts counted and starts counted. */
  resetFailed(): void {
    this.#startLimit.forget();
    this.#restarts = 0;
    this.#result = 'success';
    if (this.#subState === 'failed') this.#enter('dead');
  }

  /** Everything of it is killed at once, as when the power goes; it can be started again afterwards. */
  async powerOff(): Promise<void> {
    this.#stopAsked = true;
    this.#poweredOff = true;
    this.#cancelRestart?.();
    for (;;) {
      await Promise.all([...this.#sessions].map((session) => session.end()));
      const pending: Promise<unknown> | undefined = this.#activation ?? this.#deactivation;
      if (pending === undefined) break;
      await within(pending, lastLinesMs);
    }
    this.#sessions.clear();
    this.resetFailed();
    this.#subState = 'dead';
    this.#poweredOff = false;
  }

  // Starting

  #activate(attempt: () => Promise<JobResult>): Promise<JobResult> {
    this.#stopAsked = false;
    const activation = attempt().finally(() => {
      if (this.#activation === activation) this.#activation = undefined;
    });
    this.#activation = activation;
    return activation;
  }

  async #tryToActivate(): Promise<JobResult> {
    const settings = this.#settings();
    if (!this.#startLimit.admits(settings.startLimitBurst, settings.startLimitIntervalMs))
      return this.#refuseStart();

    this.#result = 'success';
    this.#invocationId = randomUUID().replaceAll('-', '');
    this.#execMain = noMainProcess;
    const takesTime = settings.type !== 'simple' || settings.execStartPre.length > 0;
    if (takesTime) this.#tell(`Starting ${this.#title()}...`);

    try {
      this.#environment = programEnvironment(settings, { INVOCATION_ID: this.#invocationId });
    } catch (error) {
      this.#tell(`${this.name.full}: Failed to load environment files: ${reasonOf(error)}`, 'warning');
      this.#tell(`${this.name.full}: Failed to run 'start' task: ${reasonOf(error)}`, 'warning');
      return this.#failToStart('resources');
    }

    const prepared = await this.#runAll(settings.execStartPre, 'start-pre');
    if (this.#stopAsked) return this.#giveUpStart();
    if (prepared !== 'success') return this.#failToStart(prepared);

    return settings.type === 'oneshot' ? this.#runOnce(settings) : this.#startMain(settings);
  }

  async #startMain(settings: UnitSettings): Promise<JobResult> {
    const [command] = settings.execStart;
    this.#enter('start');
    const executed = command !== undefined && (await this.#executeMain(command));
    if (this.#stopAsked) return this.#giveUpStart();
    if (!executed && settings.type !== 'simple') return this.#failToStart('exit-code');

    const followUp = await this.#runAll(settings.execStartPost, 'start-post');
    if (this.#stopAsked) return this.#giveUpStart();
    if (followUp !== 'success') {
      this.#worsen(followUp);
      await this.#deactivate();
      this.#tell(`Failed to start ${this.#title()}.`, 'error');
      return 'failed';
    }

    this.#enter('running');
    this.#tell(`Started ${this.#title()}.`);
    if (this.#main === undefined) void this.#deactivate();
    return 'done';
  }

  /** `Type=oneshot`: started when every command has ended. */
  async #runOnce(settings: UnitSettings): Promise<JobResult> {
    const result = await this.#runAll(settings.execStart, 'start');
    if (this.#stopAsked) return this.#giveUpStart();
    if (result !== 'success') return this.#failToStart(result);

    if (settings.remainAfterExit) this.#enter('exited');
    else await this.#deactivate();
    this.#tell(`Finished ${this.#title()}.`);
    return 'done';
  }

  #refuseStart(): JobResult {
    this.#tell(`${this.name.full}: Start request repeated too quickly.`, 'warning');
    this.#worsen('start-limit-hit');
    this.#tell(`${this.name.full}: Failed with result '${this.#result}'.`, 'warning');
    this.#enter('failed');
    this.#tell(`Failed to start ${this.#title()}.`, 'error');
    return 'failed';
  }

  async #failToStart(result: UnitResult): Promise<JobResult> {
    this.#worsen(result);
    await this.#deactivate();
    this.#tell(`Failed to start ${this.#title()}.`, 'error');
    return 'failed';
  }

  async #giveUpStart(): Promise<JobResult> {
    await this.#deactivate();
    return 'canceled';
  }

  /** @returns whether the program could be executed; if not, that is noted as the main process's end. */
  async #executeMain(command: ExecCommand): Promise<boolean> {
    const started = now();
    const outcome = await this.#execute(command);
    if (outcome.kind === 'not executed') {
      this.#execMain = { ...noMainProcess, execMainStarted: started };
      this.#noteMainExit({ kind: 'exited', status: outcome.status }, command);
      return false;
    }
    const { session } = outcome;
    this.#main = session;
    this.#execMain = { ...noMainProcess, execMainPid: session.pid, execMainStarted: started };
    this.#mainNoted = this.#attend(session, command);
    return true;
  }

  async #attend(session: Session, command: ExecCommand): Promise<void> {
    const exit = await session.exited;
    await within(session.closed, lastLinesMs);
    this.#main = undefined;
    this.#noteMainExit(exit, command);
    if (this.#isActive()) void this.#deactivate();
  }

  #noteMainExit(exit: Exit, command: ExecCommand): void {
    this.#execMain = { ...this.#execMain, execMainExited: now(), execMainExit: exit };
    const result = command.mayFail ? 'success' : resultOf(exit, this.#settings());
    if (result !== 'success')
      this.#tell(`${this.name.full}: Main process exited, ${exitText(exit)}`, 'notice');
    this.#worsen(result);
  }

  // Stopping

  #deactivate(): Promise<void> {
    this.#deactivation ??= this.#windDown().finally(() => {
      this.#deactivation = undefined;
    });
    return this.#deactivation;
  }

  async #windDown(): Promise<void> {
    const { execStop, execStopPost } = this.#settings();
    const hasStarted = this.#isActive();
    if (this.#main !== undefined && hasStarted) await this.#runAll(execStop, 'stop');

    const remaining = [...this.#sessions];
    if (remaining.length > 0) this.#enter('stop-sigterm');
    for (const session of remaining) await this.#terminate(session);

    await this.#runAll(execStopPost, 'stop-post');
    this.#settle(hasStarted);
  }

  async #terminate(session: Session): Promise<void> {
    const { killMode, killSignal, timeoutStopMs, sendsSigkill } = this.#settings();
    if (killMode === 'none') return;

    const reachesAll = killMode === 'control-group';
    for (const signal of [killSignal, 'SIGCONT'] as const) {
      if (reachesAll) session.signalEveryone(signal);
      else session.signalLeader(signal);
    }

    const isMain = session === this.#main;
    const leaderGone = isMain ? this.#mainNoted : session.exited;
    const gone = reachesAll
      ? leaderGone.then(() => session.emptied(timeoutStopMs))
      : leaderGone.then(() => true);
    if ((await within(gone, timeoutStopMs)) !== true) {
      this.#worsen('timeout');
      if (!sendsSigkill) {
        this.#tell(`${this.name.full}: State 'stop-sigterm' timed out. Skipping SIGKILL.`, 'warning');
        return;
      }
      this.#tell(`${this.name.full}: State 'stop-sigterm' timed out. Killing.`, 'warning');
      this.#enter('stop-sigkill');
      for (const pid of session.livingMembers()) {
        this.#tell(
          `${this.name.full}: Killing process ${pid} (${processName(pid)}) with signal SIGKILL.`,
          'notice',
        );
      }
      await session.end();
      await leaderGone;
    } else if (killMode === 'mixed') await session.end();

    if (killMode !== 'process' || session.livingMembers().length === 0) this.#sessions.delete(session);
  }

  #settle(hasStarted: boolean): void {
    const isDown = this.#result === 'success';
    if (!isDown) this.#tell(`${this.name.full}: Failed with result '${this.#result}'.`, 'warning');
    else if (hasStarted) this.#tell(`${this.name.full}: Deactivated successfully.`);
    this.#enter(isDown ? 'dead' : 'failed');

    const { restart, restartMs } = this.#settings();
    if (!this.#stopAsked && isRestarted(restart, this.#result)) this.#scheduleRestart(restartMs);
  }

  #scheduleRestart(afterMs: number): void {
    this.#enter('auto-restart');
    const cancellation = new AbortController();
    this.#cancelRestart = () => cancellation.abort();
    void this.#activate(async () => {
      await pause(afterMs, cancellation.signal);
      this.#cancelRestart = undefined;
      if (cancellation.signal.aborted) return 'canceled';
      this.#restarts += 1;
      this.#tell(`${this.name.full}: Scheduled restart job, restart counter is at ${this.#restarts}.`);
      this.#tell(`Stopped ${this.#title()}.`);
      return this.#tryToActivate();
    });
  }

  // Running programs

  /** Runs commands one after the other until one fails. */
  async #runAll(commands: readonly ExecCommand[], phase: ExecPhase): Promise<UnitResult> {
    for (const command of commands) {
      if (this.#poweredOff || (this.#stopAsked && phase.startsWith('start'))) return 'signal';
      this.#enter(phase);
      const result = await this.#runControl(command, phase);
      if (result !== 'success') return result;
    }
    return 'success';
  }

  async #runControl(command: ExecCommand, phase: ExecPhase): Promise<UnitResult> {
    const outcome = await this.#execute(command);
    if (outcome.kind === 'not executed') {
      this.#tellControlExit({ kind: 'exited', status: outcome.status });
      return command.mayFail ? 'success' : 'exit-code';
    }

    const { session } = outcome;
    const { timeoutStartMs, timeoutStopMs } = this.#settings();
    this.#control = session;
    const exit = await within(session.exited, phase.startsWith('stop') ? timeoutStopMs : timeoutStartMs);
    if (exit === undefined) {
      this.#tell(`${this.name.full}: ${phase} operation timed out. Terminating.`, 'warning');
      await session.end();
    }
    await within(session.closed, lastLinesMs);
    this.#control = undefined;
    if (session.livingMembers().length === 0) this.#sessions.delete(session);

    const result = exit === undefined ? 'timeout' : resultOf(exit, this.#settings());
    if (result === 'success' || command.mayFail) return 'success';
    if (exit !== undefined) this.#tellControlExit(exit);
    return result;
  }

  #tellControlExit(exit: Exit): void {
    this.#tell(`${this.name.full}: Control process exited, ${exitText(exit)}`, 'notice');
  }

  async #execute(command: ExecCommand): Promise<Executed> {
    const mainPid = this.#main === undefined ? {} : { MAINPID: String(this.#main.pid) };
    const executed = await execute(command, this.#settings(), this.#unitDirectory, {
      ...this.#environment,
      ...mainPid,
    });
    if (executed.kind === 'executed') {
      this.#sessions.add(executed.session);
      this.#keepWords(executed.session, command);
    } else {
      const { step, because } = executed;
      this.#tell(
        `${this.name.full}: Failed at step ${step} spawning ${command.program}: ${because}`,
        'error',
      );
    }
    return executed;
  }

  #keepWords({ pid, stdout, stderr }: Session, { program }: ExecCommand): void {
    const entry = {
      unit: this.name.full,
      invocationId: this.#invocationId,
      from: 'unit',
      identifier: this.#settings().identifier ?? program.slice(program.lastIndexOf('/') + 1),
      pid,
      priority: 6,
    } as const;
    for (const stream of [stdout, stderr]) this.#journal.follow(stream, (message) => ({ ...entry, message }));
  }

  // State

  #enter(subState: SubState): void {
    this.#times = timesAfter(this.#times, this.#subState, subState, now());
    this.#subState = subState;
  }

  #isActive(): boolean {
    return isUp(this.#subState);
  }

  /** The first thing that went wrong is what is reported. */
  #worsen(result: UnitResult): void {
    if (this.#result === 'success') this.#result = result;
  }

  #load(): LoadedUnit {
    const loaded = loadUnit(this.#unitDirectory, this.name);
    if (loaded.kind === 'loaded' || loaded.kind === 'bad-setting') {
      for (const complaint of loaded.complaints) this.#tell(complaint, 'warning');
    }
    return loaded;
  }

  /** Of a unit whose files are gone or spoilt since it was started: what it was started with. */
  #settings(): UnitSettings {
    if (this.#loaded.kind === 'loaded') this.#lastSettings = this.#loaded.settings;
    if (this.#lastSettings === undefined) {
      throw new Error(`Cannot run "${this.name.full}": its files say nothing usable`);
    }
    return this.#lastSettings;
  }

  #title(): string {
    const { description } = this.#settings();
    return description === this.name.full ? description : `${this.name.full} - ${description}`;
  }

  #tell(message: string, urgency: 'error' | 'warning' | 'notice' | 'info' = 'info'): void {
    this.#journal.append({
      unit: this.name.full,
      invocationId: this.#invocationId,
      from: 'systemd',
      identifier: 'systemd',
      pid: 1,
      priority: { error: 3, warning: 4, notice: 5, info: 6 }[urgency],
      message,
    });
  }
}
