import type { UnitResult } from './exit-verdict.js';
import type { Moment } from './moment.js';
import type { Exit } from './session.js';

export type SubState =
  | 'dead'
  | 'start-pre'
  | 'start'
  | 'start-post'
  | 'running'
  | 'exited'
  | 'reload'
  | 'stop'
  | 'stop-sigterm'
  | 'stop-sigkill'
  | 'stop-post'
  | 'auto-restart'
  | 'failed';

export type ActiveState = 'inactive' | 'activating' | 'active' | 'reloading' | 'deactivating' | 'failed';

export const activeStates: Readonly<Record<SubState, ActiveState>> = {
  dead: 'inactive',
  'start-pre': 'activating',
  start: 'activating',
  'start-post': 'activating',
  running: 'active',
  exited: 'active',
  reload: 'reloading',
  stop: 'deactivating',
  'stop-sigterm': 'deactivating',
  'stop-sigkill': 'deactivating',
  'stop-post': 'deactivating',
  'auto-restart': 'activating',
  failed: 'failed',
};

/** How a start, stop or reload that somebody asked for ended. */
export type JobResult = 'done' | 'failed' | 'canceled';

/** What is to be known of a unit at one moment. */
export interface UnitStatus extends MainProcess, StateTimes {
  readonly activeState: ActiveState;
  readonly subState: SubState;
  readonly result: UnitResult;
  readonly restarts: number;
  readonly invocationId: string;
  /** Of the main process, while it lives. */
  readonly mainPid: number;
  readonly controlPid: number;
}

/** The last main process, also when it is gone. */
export interface MainProcess {
  readonly execMainPid: number;
  readonly execMainStarted: Moment | undefined;
  readonly execMainExited: Moment | undefined;
  readonly execMainExit: Exit | undefined;
}

export const noMainProcess: MainProcess = {
  execMainPid: 0,
  execMainStarted: undefined,
  execMainExited: undefined,
  execMainExit: undefined,
};

/** When the unit last came into its state, and in and out of those that people ask about. */
export interface StateTimes {
  readonly stateChanged: Moment | undefined;
  readonly activeEntered: Moment | undefined;
  readonly activeExited: Moment | undefined;
  readonly inactiveEntered: Moment | undefined;
  readonly inactiveExited: Moment | undefined;
}

export const neverYet: StateTimes = {
  stateChanged: undefined,
  activeEntered: undefined,
  activeExited: undefined,
  inactiveEntered: undefined,
  inactiveExited: undefined,
};

export const isUp = (subState: SubState): boolean => ['active', 'reloading'].includes(activeStates[subState]);

const isDown = (subState: SubState): boolean => ['inactive', 'failed'].includes(activeStates[subState]);

/** The times after a change of state that happened `at`. */
export const timesAfter = (times: StateTimes, before: SubState, after: SubState, at: Moment): StateTimes => ({
  stateChanged: at,
  activeEntered: isUp(after) && !isUp(before) ? at : times.activeEntered,
  activeExited: isUp(before) && !isUp(after) ? at : times.activeExited,
  inactiveEntered: isDown(after) && !isDown(before) ? at : times.inactiveEntered,
  inactiveExited: isDown(before) && !isDown(after) ? at : times.inactiveExited,
});
