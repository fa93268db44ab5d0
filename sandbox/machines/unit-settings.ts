import { constants } from 'node:os';
import { parseCommands, splitWords, type ExecCommand } from './command-line.js';
import { isKnownDirective } from './directives.js';
import { parseTimeSpan } from './time-span.js';
import type { Assignment, UnitLine } from './unit-file.js';
import { resolveSpecifiers, type UnitName } from './unit-name.js';

/** What of a unit's files the stand-in for systemd acts on, all assignments applied in order. */
export interface UnitSettings {
  readonly description: string;
  /**
   * `notify` is run as `exec`: readiness datagrams need a kind of socket that Node does not have, so the unit counts
   * as started once its program was executed.
   */
  readonly type: 'simple' | 'exec' | 'notify' | 'oneshot';
  readonly remainAfterExit: boolean;
  readonly execStartPre: readonly ExecCommand[];
  readonly execStart: readonly ExecCommand[];
  readonly execStartPost: readonly ExecCommand[];
  readonly execReload: readonly ExecCommand[];
  readonly execStop: readonly ExecCommand[];
  readonly execStopPost: readonly ExecCommand[];
  readonly workingDirectory: OptionalPath | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly environmentFiles: readonly OptionalPath[];
  readonly restart: RestartPolicy;
  readonly restartMs: number;
  readonly startLimitBurst: number;
  readonly startLimitIntervalMs: number;
  readonly timeoutStartMs: number;
  readonly timeoutStopMs: number;
  readonly killMode: 'control-group' | 'mixed' | 'process' | 'none';
  readonly killSignal: NodeJS.Signals;
  readonly sendsSigkill: boolean;
  /** Exit statuses (numbers) and signals (names) that are no failure, besides systemd's own. */
  readonly successExitStatus: ReadonlySet<number | string>;
  readonly identifier: string | undefined;
  readonly wantedBy: readonly string[];
  readonly aliases: readonly string[];
}

/** A path that may start with `-`: then it may be missing. */
export interface OptionalPath {
  readonly path: string;
  readonly optional: boolean;
}

const restartPolicies = [
  'no',
  'on-success',
  'on-failure',
  'on-abnormal',
  'on-watchdog',
  'on-abort',
  'always',
] as const;
export type RestartPolicy = (typeof restartPolicies)[number];

export interface ReadSettings {
  readonly settings: UnitSettings;
  readonly complaints: readonly string[];
  /** Why the unit cannot be started, if it cannot. */
  readonly refusals: readonly string[];
}

/** Applies the lines of all files in order: the last scalar wins, lists grow, an empty assignment empties. */
export function readSettings(lines: Iterable<UnitLine>, name: UnitName): ReadSettings {
  const draft: Draft = { ...defaults(name) };
  const complaints: string[] = [];
  let isSpoilt = false;

  for (const line of lines) {
    const finding = line.kind === 'malformed' ? line : applied(line, draft, name);
    if (finding === undefined) continue;
    complaints.push(finding.complaint);
    isSpoilt ||= finding.fatal === true;
  }

  const refusals = isSpoilt
    ? ['Unit configuration has fatal error, unit will not be started.']
    : [...contradictions(draft)];
  return { settings: draft, complaints, refusals: refusals.slice(0, 1) };
}

function applied({ section, key, value, at }: Assignment, draft: Draft, name: UnitName): Finding | undefined {
  const apply = readers[`${section}.${key}`];
  const finding = apply?.(draft, value, name);
  if (finding !== undefined) return { ...finding, complaint: `${at}: ${finding.complaint}` };
  return apply === undefined && !isAccepted(section, key)
    ? { complaint: `${at}: Unknown key '${key}' in section [${section}], ignoring.` }
    : undefined;
}

interface Finding {
  readonly complaint: string;
  readonly fatal?: boolean;
}

type Draft = { -readonly [Setting in keyof UnitSettings]: UnitSettings[Setting] };
type Reader = (draft: Draft, value: string, name: UnitName) => Finding | undefined;

const defaults = (name: UnitName): UnitSettings => ({
  description: name.full,
  type: 'simple',
  remainAfterExit: false,
  execStartPre: [],
  execStart: [],
  execStartPost: [],
  execReload: [],
  execStop: [],
  execStopPost: [],
  workingDirectory: undefined,
  environment: {},
  environmentFiles: [],
  restart: 'no',
  restartMs: 100,
  startLimitBurst: 5,
  startLimitIntervalMs: 10_000,
  timeoutStartMs: 90_000,
  timeoutStopMs: 90_000,
  killMode: 'control-group',
  killSignal: 'SIGTERM',
  sendsSigkill: true,
  successExitStatus: new Set(),
  identifier: undefined,
  wantedBy: [],
  aliases: [],
});

const isAccepted = (section: string, key: string): boolean =>
  isKnownDirective(section, key) || key.startsWith('X-') || section.startsWith('X-');

function* contradictions({ type, execStart, remainAfterExit }: Draft): Generator<string> {
  if (execStart.length === 0 && !remainAfterExit) {
    yield 'Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.';
  }
  if (execStart.length > 1 && type !== 'oneshot') {
    yield 'Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services. Refusing.';
  }
}

const oneOf =
  <Setting extends keyof UnitSettings>(
    setting: Setting,
    choices: readonly UnitSettings[Setting][],
    what: string,
  ): Reader =>
  (draft, value) => {
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) return { complaint: `Failed to parse ${what}, ignoring: ${value}` };
    draft[setting] = choice;
    return undefined;
  };

/** Types of a real systemd that the stand-in cannot play are refused rather than played wrongly. */
const type: Reader = (draft, value, name) => {
  if (value === 'forking' || value === 'dbus') {
    return { complaint: `Type=${value} is not supported by the sandbox's stand-in for systemd`, fatal: true };
  }
  return oneOf('type', ['simple', 'exec', 'notify', 'oneshot'], 'service type')(
    draft,
    { idle: 'simple', 'notify-reload': 'notify' }[value] ?? value,
    name,
  );
};

const span =
  (...settings: ('restartMs' | 'startLimitIntervalMs' | 'timeoutStartMs' | 'timeoutStopMs')[]): Reader =>
  (draft, value) => {
    const milliseconds = parseTimeSpan(value);
    if (milliseconds === undefined) return { complaint: `Failed to parse time value, ignoring: ${value}` };
    for (const setting of settings) draft[setting] = timeout(setting, milliseconds);
    return undefined;
  };

/** For systemd, a timeout of 0 is none at all. */
const timeout = (setting: string, milliseconds: number): number =>
  milliseconds === 0 && setting.startsWith('timeout') ? Infinity : milliseconds;

const yesOrNo =
  (setting: 'remainAfterExit' | 'sendsSigkill'): Reader =>
  (draft, value) => {
    const meaning = {
      yes: true,
      true: true,
      on: true,
      '1': true,
      no: false,
      false: false,
      off: false,
      '0': false,
    }[value.toLowerCase()];
    if (meaning === undefined) return { complaint: `Failed to parse boolean value, ignoring: ${value}` };
    draft[setting] = meaning;
    return undefined;
  };

const commands =
  (
    setting: 'execStartPre' | 'execStart' | 'execStartPost' | 'execReload' | 'execStop' | 'execStopPost',
  ): Reader =>
  (draft, value, name) => {
    if (value === '') {
      draft[setting] = [];
      return undefined;
    }
    const parsed = parseCommands(value, name);
    if (parsed.kind === 'malformed') return parsed;
    draft[setting] = [...draft[setting], ...parsed.commands];
    return undefined;
  };

const names =
  (setting: 'wantedBy' | 'aliases'): Reader =>
  (draft, value) => {
    draft[setting] = value === '' ? [] : [...draft[setting], ...value.split(/\s+/)];
    return undefined;
  };

const text =
  (setting: 'description' | 'identifier'): Reader =>
  (draft, value, name) => {
    draft[setting] = value === '' ? defaults(name).description : resolveSpecifiers(value, name);
    return undefined;
  };

const environment: Reader = (draft, value, name) => {
  if (value === '') {
    draft.environment = {};
    return undefined;
  }
  const words = splitWords(value);
  if (words === undefined) return { complaint: `Invalid syntax, ignoring: ${value}` };

  const malformed = words.find((word) => !isVariableAssignment(word));
  const added = words.filter(isVariableAssignment).map((word) => splitAt(resolveSpecifiers(word, name), '='));
  draft.environment = { ...draft.environment, ...Object.fromEntries(added) };
  return malformed === undefined
    ? undefined
    : { complaint: `Invalid environment assignment, ignoring: ${malformed}` };
};

const isVariableAssignment = (word: string): boolean => /^[A-Za-z_]\w*=/.test(word);

const splitAt = (word: string, mark: string): readonly [string, string] => [
  word.slice(0, word.indexOf(mark)),
  word.slice(word.indexOf(mark) + 1),
];

const optionalPath = (value: string, name: UnitName): OptionalPath => {
  const optional = value.startsWith('-');
  return { path: resolveSpecifiers(optional ? value.slice(1) : value, name), optional };
};

const environmentFile: Reader = (draft, value, name) => {
  const file = optionalPath(value, name);
  if (value !== '' && !file.path.startsWith('/')) {
    return { complaint: `EnvironmentFile= path is not absolute, ignoring: ${file.path}` };
  }
  draft.environmentFiles = value === '' ? [] : [...draft.environmentFiles, file];
  return undefined;
};

const workingDirectory: Reader = (draft, value, name) => {
  const directory = optionalPath(value, name);
  if (value === '') draft.workingDirectory = undefined;
  else if (directory.path === '~') draft.workingDirectory = { ...directory, path: '/' };
  else if (directory.path.startsWith('/')) draft.workingDirectory = directory;
  else {
    const complaint = `WorkingDirectory= path is not absolute${directory.optional ? ', ignoring' : ''}: ${directory.path}`;
    return { complaint, fatal: !directory.optional };
  }
  return undefined;
};

const killMode: Reader = (draft, value, name) => {
  if (value !== '')
    return oneOf('killMode', ['control-group', 'mixed', 'process', 'none'], 'kill mode specification')(
      draft,
      value,
      name,
    );
  draft.killMode = defaults(name).killMode;
  return undefined;
};

const killSignal: Reader = (draft, value) => {
  const signal = signalNamed(value);
  if (signal === undefined) return { complaint: `Failed to parse signal name, ignoring: ${value}` };
  draft.killSignal = signal;
  return undefined;
};

const startLimitBurst: Reader = (draft, value) => {
  if (!/^\d+$/.test(value)) return { complaint: `Failed to parse unsigned value, ignoring: ${value}` };
  draft.startLimitBurst = Number(value);
  return undefined;
};

const successExitStatus: Reader = (draft, value) => {
  if (value === '') {
    draft.successExitStatus = new Set();
    return undefined;
  }
  const words = value.split(/\s+/);
  const statuses = words.map(exitStatusNamed);
  draft.successExitStatus = new Set([
    ...draft.successExitStatus,
    ...statuses.filter((status) => status !== undefined),
  ]);
  const unknown = words[statuses.indexOf(undefined)];
  return unknown === undefined ? undefined : { complaint: `Failed to parse value, ignoring: ${unknown}` };
};

/** A signal by name (with or without `SIG`) or number. */
export function signalNamed(text: string): NodeJS.Signals | undefined {
  const entries = Object.entries(constants.signals) as [NodeJS.Signals, number][];
  return entries.find(
    ([name, number]) => name === text || name === `SIG${text}` || String(number) === text,
  )?.[0];
}

/** The exit statuses of `sysexits.h`, which unit files may name. */
const exitStatuses =
  'USAGE DATAERR NOINPUT NOUSER NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL PROTOCOL NOPERM CONFIG'.split(
    ' ',
  );

function exitStatusNamed(text: string): number | string | undefined {
  if (/^\d+$/.test(text)) return Number(text) <= 255 ? Number(text) : undefined;
  const index = exitStatuses.indexOf(text);
  return index < 0 ? signalNamed(text) : 64 + index;
}

const readers: Readonly<Record<string, Reader>> = {
  'Unit.Description': text('description'),
  'Unit.StartLimitBurst': startLimitBurst,
  'Unit.StartLimitIntervalSec': span('startLimitIntervalMs'),
  'Unit.StartLimitInterval': span('startLimitIntervalMs'),
  'Service.StartLimitBurst': startLimitBurst,
  'Service.StartLimitInterval': span('startLimitIntervalMs'),
  'Service.Type': type,
  'Service.RemainAfterExit': yesOrNo('remainAfterExit'),
  'Service.ExecStartPre': commands('execStartPre'),
  'Service.ExecStart': commands('execStart'),
  'Service.ExecStartPost': commands('execStartPost'),
  'Service.ExecReload': commands('execReload'),
  'Service.ExecStop': commands('execStop'),
  'Service.ExecStopPost': commands('execStopPost'),
  'Service.WorkingDirectory': workingDirectory,
  'Service.Environment': environment,
  'Service.EnvironmentFile': environmentFile,
  'Service.Restart': oneOf('restart', restartPolicies, 'service restart specifier'),
  'Service.RestartSec': span('restartMs'),
  'Service.TimeoutStartSec': span('timeoutStartMs'),
  'Service.TimeoutStopSec': span('timeoutStopMs'),
  'Service.TimeoutSec': span('timeoutStartMs', 'timeoutStopMs'),
  'Service.KillMode': killMode,
  'Service.KillSignal': killSignal,
  'Service.SendSIGKILL': yesOrNo('sendsSigkill'),
  'Service.SuccessExitStatus': successExitStatus,
  'Service.SyslogIdentifier': text('identifier'),
  'Install.WantedBy': names('wantedBy'),
  'Install.Alias': names('aliases'),
};
