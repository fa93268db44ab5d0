import { constants } from 'node:os';
import type { ExecCommand } from './command-line.js';
import { exitCodeNumber, exitStatusNumber } from './exit-verdict.js';
import { timestamp, type Moment } from './moment.js';
import { formatTimeSpan } from './time-span.js';
import type { Unit } from './unit.js';
import { enabledState } from './unit-links.js';
import type { UnitSettings } from './unit-settings.js';
import type { UnitStatus } from './unit-state.js';

/**
 * What `systemctl show` tells of a unit, in systemd's order, which is also the order for those who ask for some of it:
 * `-p SubState -p MainPID` prints `MainPID` first.
 */
export function unitProperties(unit: Unit, unitDirectory: string): ReadonlyMap<string, string> {
  const { loaded, name, status } = unit;
  const source = loaded.kind === 'not-found' ? undefined : loaded.source;
  const settings = loaded.kind === 'loaded' ? loaded.settings : undefined;
  return new Map<string, string>([
    ...serviceProperties(status, settings),
    ['Id', name.full],
    ['Names', name.full],
    ['Description', settings?.description ?? name.full],
    ['LoadState', loaded.kind],
    ['ActiveState', status.activeState],
    ['SubState', status.subState],
    ['FragmentPath', source?.fragment.path ?? ''],
    ['DropInPaths', source?.dropIns.map(({ path }) => path).join(' ') ?? ''],
    ['UnitFileState', enabledState(unitDirectory, name, loaded) ?? ''],
    ['UnitFilePreset', source === undefined ? '' : 'enabled'],
    ...moment('StateChangeTimestamp', status.stateChanged),
    ...moment('InactiveExitTimestamp', status.inactiveExited),
    ...moment('ActiveEnterTimestamp', status.activeEntered),
    ...moment('ActiveExitTimestamp', status.activeExited),
    ...moment('InactiveEnterTimestamp', status.inactiveEntered),
    ['CanStart', yesNo(settings !== undefined)],
    ['CanStop', 'yes'],
    ['CanReload', yesNo((settings?.execReload.length ?? 0) > 0)],
    ['NeedDaemonReload', yesNo(unit.needsReload)],
    ['StartLimitIntervalUSec', formatTimeSpan(settings?.startLimitIntervalMs ?? 10_000)],
    ['StartLimitBurst', String(settings?.startLimitBurst ?? 5)],
    ['InvocationID', status.invocationId],
  ]);
}

const serviceProperties = (
  status: UnitStatus,
  settings: UnitSettings | undefined,
): readonly (readonly [string, string])[] => [
  ['Type', settings?.type ?? 'simple'],
  ['Restart', settings?.restart ?? 'no'],
  ['RestartUSec', formatTimeSpan(settings?.restartMs ?? 100)],
  ['TimeoutStartUSec', formatTimeSpan(settings?.timeoutStartMs ?? 90_000)],
  ['TimeoutStopUSec', formatTimeSpan(settings?.timeoutStopMs ?? 90_000)],
  ['RemainAfterExit', yesNo(settings?.remainAfterExit ?? false)],
  ['MainPID', String(status.mainPid)],
  ['ControlPID', String(status.controlPid)],
  ['Result', status.result],
  ['NRestarts', String(status.restarts)],
  ...moment('ExecMainStartTimestamp', status.execMainStarted),
  ...moment('ExecMainExitTimestamp', status.execMainExited),
  ['ExecMainPID', String(status.execMainPid)],
  ['ExecMainCode', String(exitCodeNumber(status.execMainExit))],
  ['ExecMainStatus', String(exitStatusNumber(status.execMainExit))],
  ...(settings?.execStart ?? []).map((command) => ['ExecStart', commandText(command)] as const),
  [
    'Environment',
    Object.entries(settings?.environment ?? {})
      .map(assignmentText)
      .join(' '),
  ],
  ...(settings?.environmentFiles ?? []).map(
    ({ path, optional }) => ['EnvironmentFiles', `${path} (ignore_errors=${yesNo(optional)})`] as const,
  ),
  ['WorkingDirectory', workingDirectoryText(settings)],
  ['KillMode', settings?.killMode ?? 'control-group'],
  ['KillSignal', signalNumberText(settings)],
  ['SendSIGKILL', yesNo(settings?.sendsSigkill ?? true)],
];

const yesNo = (answer: boolean): string => (answer ? 'yes' : 'no');

const moment = (property: string, at: Moment | undefined): readonly (readonly [string, string])[] => [
  [property, timestamp(at)],
  [`${property}Monotonic`, String(at?.monotonicMicroseconds ?? 0)],
];

const commandText = ({ program, words, mayFail }: ExecCommand): string =>
  `{ path=${program} ; argv[]=${words.join(' ')} ; ignore_errors=${yesNo(mayFail)} ; start_time=[n/a] ; ` +
  'stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }';

const assignmentText = ([name, value]: readonly [string, string]): string =>
  /\s/.test(value) ? `"${name}=${value}"` : `${name}=${value}`;

const workingDirectoryText = (settings: UnitSettings | undefined): string => {
  const directory = settings?.workingDirectory;
  return directory === undefined ? '' : `${directory.optional ? '!' : ''}${directory.path}`;
};

const signalNumberText = (settings: UnitSettings | undefined): string =>
  String(constants.signals[settings?.killSignal ?? 'SIGTERM']);
