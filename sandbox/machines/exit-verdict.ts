import { constants } from 'node:os';
import type { Exit } from './session.js';
import type { RestartPolicy, UnitSettings } from './unit-settings.js';

/** Why a unit is where it is, in systemd's words (`Result=`). */
export type UnitResult = 'success' | 'exit-code' | 'signal' | 'timeout' | 'start-limit-hit' | 'resources';

/** A service may be ended by these without having failed. */
const politeSignals: readonly string[] = ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGPIPE'];

export function resultOf(exit: Exit, { successExitStatus }: UnitSettings): UnitResult {
  if (exit.kind === 'exited') {
    return exit.status === 0 || successExitStatus.has(exit.status) ? 'success' : 'exit-code';
  }
  return politeSignals.includes(exit.signal) || successExitStatus.has(exit.signal) ? 'success' : 'signal';
}

/** Whether a unit that ended by itself with this result is started again. */
export function isRestarted(policy: RestartPolicy, result: UnitResult): boolean {
  switch (policy) {
    case 'no':
    case 'on-watchdog':
      return false;
    case 'always':
      return true;
    case 'on-success':
      return result === 'success';
    case 'on-failure':
      return result !== 'success';
    case 'on-abnormal':
      return result === 'signal' || result === 'timeout';
    case 'on-abort':
      return result === 'signal';
    default:
      return policy satisfies never;
  }
}

/** `code=exited, status=1/FAILURE`, as systemd writes it in the journal. */
export const exitText = (exit: Exit): string =>
  exit.kind === 'exited'
    ? `code=exited, status=${exit.status}/${statusNames[exit.status] ?? 'n/a'}`
    : `code=killed, status=${constants.signals[exit.signal]}/${exit.signal.slice('SIG'.length)}`;

/** `ExecMainCode=`, as `waitid` numbers them. */
export const exitCodeNumber = (exit: Exit | undefined): number =>
  exit === undefined ? 0 : { exited: 1, killed: 2 }[exit.kind];

export const exitStatusNumber = (exit: Exit | undefined): number => {
  if (exit === undefined) return 0;
  return exit.kind === 'exited' ? exit.status : constants.signals[exit.signal];
};

/** What a program that could not even be executed is said to have exited with. */
export const executionFailure = { changeDirectory: 200, execute: 203 } as const;

const statusNames: Readonly<Record<number, string>> = {
  0: 'SUCCESS',
  1: 'FAILURE',
  2: 'INVALIDARGUMENT',
  3: 'NOTIMPLEMENTED',
  4: 'NOPERMISSION',
  5: 'NOTINSTALLED',
  6: 'NOTCONFIGURED',
  7: 'NOTRUNNING',
  [executionFailure.changeDirectory]: 'CHDIR',
  [executionFailure.execute]: 'EXEC',
};
