import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Init } from './init.js';
import { recentLines } from './journalctl.js';
import { loadUnit } from './loaded-unit.js';
import { timestamp } from './moment.js';
import { processName } from './session.js';
import type { Terminal } from './terminal.js';
import { formatTimeSpan } from './time-span.js';
import type { Unit } from './unit.js';
import { disable, enable, enabledState } from './unit-links.js';
import { unitProperties } from './unit-properties.js';
import { signalNamed } from './unit-settings.js';
import type { JobResult } from './unit-state.js';

/** Does what `systemctl` of systemd 252 does, in its words. @returns the exit status. */
export async function systemctl(init: Init, words: readonly string[], terminal: Terminal): Promise<number> {
  const parsed = parse(words);
  if (parsed.kind === 'refused') {
    terminal.err(`systemctl: ${parsed.because}\n`);
    return 1;
  }
  const [verb = 'list-units', ...names] = parsed.positionals;
  const run = verbs[verb];
  if (parsed.options.version === true) {
    terminal.out('systemd 252 (stand-in of the Verdigris sandbox)\n');
    return 0;
  }
  if (run === undefined) {
    terminal.err(`Unknown command verb ${verb}.\n`);
    return 1;
  }
  if (namesNeeded.has(verb) && names.length === 0) {
    terminal.err('Too few arguments.\n');
    return 1;
  }
  return run({ init, names, options: parsed.options, terminal, verb });
}

const optionTypes = {
  property: { type: 'string', short: 'p', multiple: true },
  signal: { type: 'string', short: 's' },
  'kill-whom': { type: 'string' },
  'kill-who': { type: 'string' },
  lines: { type: 'string', short: 'n' },
  output: { type: 'string', short: 'o' },
  type: { type: 'string', short: 't', multiple: true },
  state: { type: 'string', multiple: true },
  'job-mode': { type: 'string' },
  value: { type: 'boolean' },
  all: { type: 'boolean', short: 'a' },
  full: { type: 'boolean', short: 'l' },
  quiet: { type: 'boolean', short: 'q' },
  now: { type: 'boolean' },
  force: { type: 'boolean', short: 'f' },
  plain: { type: 'boolean' },
  system: { type: 'boolean' },
  wait: { type: 'boolean' },
  version: { type: 'boolean' },
  'no-pager': { type: 'boolean' },
  'no-block': { type: 'boolean' },
  'no-legend': { type: 'boolean' },
  'no-warn': { type: 'boolean' },
  'no-reload': { type: 'boolean' },
  'no-ask-password': { type: 'boolean' },
} as const;

const parseOptions = (words: readonly string[]) =>
  parseArgs({ args: [...words], options: optionTypes, allowPositionals: true });

type Options = ReturnType<typeof parseOptions>['values'];

type Parsed =
  | { readonly kind: 'parsed'; readonly options: Options; readonly positionals: readonly string[] }
  | { readonly kind: 'refused'; readonly because: string };

function parse(words: readonly string[]): Parsed {
  try {
    const { values, positionals } = parseOptions(words);
    return { kind: 'parsed', options: values, positionals };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const option = /'(-[^' ]*)/.exec(error.message)?.[1] ?? '';
    return { kind: 'refused', because: `unrecognized option '${option}'` };
  }
}

interface Call {
  readonly init: Init;
  readonly verb: string;
  readonly names: readonly string[];
  readonly options: Options;
  readonly terminal: Terminal;
}

type Verb = (call: Call) => number | Promise<number>;

const verbs: Readonly<Record<string, Verb>> = {
  start: (call) => jobs(call, (unit) => unit.start()),
  stop: (call) => jobs(call, (unit) => unit.stop()),
  restart: (call) => jobs(call, (unit) => unit.restart()),
  'try-restart': (call) => jobs(call, (unit) => (isActive(unit) ? unit.restart() : Promise.resolve('done'))),
  condrestart: (call) => jobs(call, (unit) => (isActive(unit) ? unit.restart() : Promise.resolve('done'))),
  reload: (call) => jobs(call, (unit) => unit.reloadProgram()),
  'reload-or-restart': (call) =>
    jobs(call, (unit) => (isActive(unit) && canReload(unit) ? unit.reloadProgram() : unit.restart())),
  'is-active': isActiveVerb,
  'is-failed': isFailedVerb,
  'is-enabled': isEnabledVerb,
  'is-system-running': ({ terminal }) => {
    terminal.out('running\n');
    return 0;
  },
  enable: enableVerb,
  disable: disableVerb,
  show,
  status,
  cat,
  'daemon-reload': ({ init }) => {
    init.reload();
    return 0;
  },
  'reset-failed': resetFailed,
  'list-units': listUnits,
  kill,
};

const namesNeeded = new Set(
  'start stop restart try-restart condrestart reload reload-or-restart is-active is-failed is-enabled enable disable cat kill'.split(
    ' ',
  ),
);

const isActive = (unit: Unit): boolean => ['active', 'reloading'].includes(unit.status.activeState);

const canReload = ({ loaded }: Unit): boolean =>
  loaded.kind === 'loaded' && loaded.settings.execReload.length > 0;

/** Runs one job per name at the same time, waits for all, and reports in the order of the names. */
async function jobs(call: Call, job: (unit: Unit) => Promise<JobResult>): Promise<number> {
  const units = call.names.map((name) => call.init.unit(name));
  const refusals = units.map((unit) => refusal(call.verb, unit));
  for (const because of refusals) if (because !== undefined) call.terminal.err(because.text);
  const refused = refusals.find((because) => because !== undefined);

  const admitted = units.filter((_, index) => refusals[index] === undefined);
  for (const unit of admitted) warnOfChanges(unit, call.terminal);
  const results = admitted.map(async (unit) => ({ unit, result: await job(unit) }));
  if (call.options['no-block'] === true) return refused?.status ?? 0;

  const failures = (await Promise.all(results)).filter(({ result }) => result !== 'done');
  for (const { unit, result } of failures) call.terminal.err(jobFailure(unit, result));
  return refused?.status ?? (failures.length > 0 ? 1 : 0);
}

function refusal(verb: string, unit: Unit): { readonly text: string; readonly status: number } | undefined {
  const { full } = unit.name;
  const { loaded } = unit;
  if (verb === 'stop' && loaded.kind !== 'not-found') return undefined;
  if (verb === 'reload' && !isActive(unit)) {
    return { text: `Job for ${full} failed.\n${full} is not active, cannot reload.\n`, status: 1 };
  }
  const failed = `Failed to ${verb} ${full}: `;
  switch (loaded.kind) {
    case 'loaded':
      return undefined;
    case 'not-found':
      return isActive(unit)
        ? undefined
        : { text: `${failed}Unit ${full} not ${verb === 'stop' ? 'loaded' : 'found'}.\n`, status: 5 };
    case 'masked':
      return { text: `${failed}Unit ${full} is masked.\n`, status: 1 };
    case 'bad-setting':
      return {
        text:
          `${failed}Unit ${full} has a bad unit file setting.\n` +
          `See system logs and 'systemctl status ${full}' for details.\n`,
        status: 1,
      };
    default:
      return loaded satisfies never;
  }
}

function warnOfChanges(unit: Unit, terminal: Terminal): void {
  if (!unit.needsReload) return;
  terminal.err(
    `Warning: The unit file, source configuration file or drop-ins of ${unit.name.full} changed on disk. ` +
      "Run 'systemctl daemon-reload' to reload units.\n",
  );
}

function jobFailure({ name: { full }, status: { result } }: Unit, job: JobResult): string {
  if (job === 'canceled') return `Job for ${full} canceled.\n`;
  const because = {
    success: undefined,
    'exit-code': 'the control process exited with error code',
    signal: 'a fatal signal was delivered to the control process',
    timeout: 'a timeout was exceeded',
    resources: 'of unavailable resources or another system error',
    'start-limit-hit': 'start of the service was attempted too often',
  }[result];
  const advice = `See "systemctl status ${full}" and "journalctl -xeu ${full}" for details.\n`;
  const wayOut =
    result === 'start-limit-hit'
      ? `To force a start use "systemctl reset-failed ${full}"\nfollowed by "systemctl start ${full}" again.\n`
      : '';
  return `Job for ${full} failed${because === undefined ? '' : ` because ${because}`}.\n${advice}${wayOut}`;
}

function isActiveVerb({ init, names, options, terminal }: Call): number {
  const states = names.map((name) => init.unit(name).status.activeState);
  if (options.quiet !== true) terminal.out(states.map((state) => `${state}\n`).join(''));
  return states.some((state) => state === 'active' || state === 'reloading') ? 0 : 3;
}

function isFailedVerb({ init, names, options, terminal }: Call): number {
  const states = names.map((name) => init.unit(name).status.activeState);
  if (options.quiet !== true) terminal.out(states.map((state) => `${state}\n`).join(''));
  return states.includes('failed') ? 0 : 1;
}

function isEnabledVerb({ init, names, options, terminal }: Call): number {
  const states = names.map((name) => {
    const unit = init.unit(name);
    const state = enabledState(init.unitDirectory, unit.name, unit.loaded);
    if (state === undefined) {
      terminal.err(`Failed to get unit file state for ${unit.name.full}: No such file or directory\n`);
    } else if (options.quiet !== true) terminal.out(`${state}\n`);
    return state;
  });
  return states.some((state) => state === 'enabled' || state === 'static') ? 0 : 1;
}

async function enableVerb(call: Call): Promise<number> {
  const { init, names, options, terminal } = call;
  const units = names.map((name) => init.unit(name));
  const missing = units.find(({ loaded }) => loaded.kind === 'not-found');
  if (missing !== undefined) {
    terminal.err(`Failed to enable unit: Unit file ${missing.name.full} does not exist.\n`);
    return 1;
  }
  // A real one reads the files itself, so that what was edited counts, and makes systemd read them too.
  if (options['no-reload'] !== true) init.reload();
  for (const unit of units) {
    const said = enable(init.unitDirectory, unit.name, loadUnit(init.unitDirectory, unit.name));
    if (options.quiet !== true) terminal.err(said.map((line) => `${line}\n`).join(''));
  }
  return options.now === true ? jobs({ ...call, verb: 'start' }, (unit) => unit.start()) : 0;
}

async function disableVerb(call: Call): Promise<number> {
  const { init, names, options, terminal } = call;
  for (const name of names) {
    const said = disable(init.unitDirectory, init.unit(name).name);
    if (options.quiet !== true) terminal.err(said.map((line) => `${line}\n`).join(''));
  }
  if (options['no-reload'] !== true) init.reload();
  return options.now === true ? jobs({ ...call, verb: 'stop' }, (unit) => unit.stop()) : 0;
}

function show({ init, names, options, terminal }: Call): number {
  const wanted = options.property?.flatMap((list) => list.split(','));
  const shown = (properties: ReadonlyMap<string, string>) =>
    [...properties]
      .filter(([property]) => wanted?.includes(property) ?? true)
      .map(([property, value]) => (options.value === true ? `${value}\n` : `${property}=${value}\n`))
      .join('');

  const blocks =
    names.length === 0
      ? [shown(managerProperties)]
      : names.map((name) => shown(unitProperties(init.unit(name), init.unitDirectory)));
  terminal.out(blocks.join('\n'));
  return 0;
}

const managerProperties: ReadonlyMap<string, string> = new Map([
  ['Version', '252'],
  ['SystemState', 'running'],
  ['DefaultTimeoutStopUSec', '1min 30s'],
]);

function status({ init, names, options, terminal }: Call): number {
  const units = names.map((name) => init.unit(name));
  const statuses = units.map((unit) => {
    if (unit.loaded.kind === 'not-found' && !isActive(unit)) {
      terminal.err(`Unit ${unit.name.full} could not be found.\n`);
      return 4;
    }
    warnOfChanges(unit, terminal);
    terminal.out(statusText(unit, init, Number(options.lines ?? 10)));
    return isActive(unit) ? 0 : 3;
  });
  return statuses.find((code) => code !== 0) ?? 0;
}

function statusText(unit: Unit, init: Init, lines: number): string {
  const { loaded, status: state, name } = unit;
  const settings = loaded.kind === 'loaded' ? loaded.settings : undefined;
  const description = settings?.description ?? name.full;
  const source = loaded.kind === 'not-found' ? undefined : loaded.source;
  const enabled = enabledState(init.unitDirectory, name, loaded);
  const since = isActive(unit) ? state.activeEntered : state.stateChanged;
  const detail = state.activeState === 'failed' ? ` (Result: ${state.result})` : ` (${state.subState})`;
  const head = [
    `${isActive(unit) ? '●' : state.activeState === 'failed' ? '×' : '○'} ${name.full}${description === name.full ? '' : ` - ${description}`}`,
    `     Loaded: ${loaded.kind}${source === undefined ? '' : ` (${source.fragment.path}; ${enabled}; preset: enabled)`}`,
    ...(source?.dropIns ?? []).map(
      ({ path }, index) => `${index === 0 ? '    Drop-In: ' : '             '}${path}`,
    ),
    `     Active: ${state.activeState}${detail}${since === undefined ? '' : ` since ${timestamp(since)}; ${ago(since.realtimeMicroseconds)} ago`}`,
    ...(state.mainPid > 0 ? [`   Main PID: ${state.mainPid} (${processName(state.mainPid)})`] : []),
  ];
  const words = recentLines(init.journal, name, lines);
  return [...head, '', ...words].map((line) => `${line}\n`).join('');
}

const ago = (microseconds: number): string =>
  formatTimeSpan(Math.max(0, Math.floor((Date.now() - microseconds / 1000) / 1000) * 1000));

function cat({ init, names, terminal }: Call): number {
  let code = 0;
  const blocks = names.flatMap((name) => {
    const unit = init.unit(name);
    if (unit.loaded.kind === 'not-found') {
      terminal.err(`No files found for ${unit.name.full}.\n`);
      code = 1;
      return [];
    }
    const { fragment, dropIns } = unit.loaded.source;
    return [fragment, ...dropIns].map(({ path }) => `# ${path}\n${readFileSync(path, 'utf8')}`);
  });
  terminal.out(blocks.join('\n'));
  return code;
}

function resetFailed({ init, names, terminal }: Call): number {
  const units = names.length === 0 ? init.units() : names.map((name) => init.unit(name));
  const unknown = units.find(({ loaded }) => loaded.kind === 'not-found');
  if (unknown !== undefined) {
    const { full } = unknown.name;
    terminal.err(`Failed to reset failed state of unit ${full}: Unit ${full} not loaded.\n`);
    return 1;
  }
  for (const unit of units) unit.resetFailed();
  return 0;
}

function listUnits({ init, names, options, terminal }: Call): number {
  const patterns = names.map((name) => globPattern(name));
  const rows = init
    .units()
    .filter(({ name }) => patterns.length === 0 || patterns.some((pattern) => pattern.test(name.full)))
    .filter(({ status: { activeState } }) => options.all === true || activeState !== 'inactive')
    .filter(({ status: { activeState, subState } }) => {
      const states = options.state?.flatMap((list) => list.split(','));
      return states === undefined || states.includes(activeState) || states.includes(subState);
    })
    .map(({ name, loaded, status: { activeState, subState } }) => {
      const description = loaded.kind === 'loaded' ? loaded.settings.description : name.full;
      return `${name.full} ${loaded.kind} ${activeState} ${subState} ${description}\n`;
    });
  const isPlain = options['no-legend'] === true;
  if (!isPlain) terminal.out('UNIT LOAD ACTIVE SUB DESCRIPTION\n');
  terminal.out(rows.join(''));
  if (!isPlain) terminal.out(`\n${rows.length} loaded units listed.\n`);
  return 0;
}

const globPattern = (glob: string): RegExp =>
  new RegExp(
    `^${glob
      .replaceAll(/[.+^${}()|\\]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}(\\.service)?$`,
  );

function kill({ init, names, options, terminal }: Call): number {
  const signal = signalNamed(options.signal ?? 'SIGTERM');
  if (signal === undefined) {
    terminal.err(`Failed to parse signal string ${options.signal}.\n`);
    return 1;
  }
  const whom = options['kill-whom'] ?? options['kill-who'] ?? 'all';
  for (const name of names) {
    const unit = init.unit(name);
    if (unit.loaded.kind === 'not-found') {
      terminal.err(`Failed to kill unit ${unit.name.full}: Unit ${unit.name.full} not loaded.\n`);
      return 1;
    }
    if (whom === 'main' && unit.status.mainPid === 0) {
      terminal.err(`Failed to kill unit ${unit.name.full}: No main process to kill\n`);
      return 1;
    }
    unit.signal(signal, whom === 'main' ? 'main' : 'all');
  }
  return 0;
}
