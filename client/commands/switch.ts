import { existsSync } from 'node:fs';
import { Argument, type Command } from 'commander';
import { pino } from 'pino';
import { colors, otherColor, type Color } from '../../domain/color.js';
import { leftOutOf, liveColor, type LoadBalancerObservation } from '../../domain/observation.js';
import { loadBalancersOf, type Service } from '../../domain/service.js';
import { describeSplit } from '../../domain/split.js';
import { HandSwitches, readRecord, type RecordedCall } from '../../drivers/hand-switches.js';
import { createAgents } from '../../worker/agents.js';
import { readWorkerConfiguration } from '../../worker/configuration.js';
import { WorkerDrivers } from '../../worker/drivers.js';
import { createSecrets } from '../../worker/secrets.js';
import type { Call } from '../command-table.js';
import { readService } from '../configuration/configuration.js';
import { confirm, createOutput, type Output } from '../output.js';
import { Refusal } from '../refusal.js';
import { commandWith, whereabouts, type ServiceOptions } from '../session.js';
import { byOption, jsonOption, reasonOption, teach, whoAsks, withService } from './options.js';
import { carryOut, type Order } from './switch/carrying-out.js';
import { describeCall } from './switch/recorded-call.js';
import { seeThatTemporalIsDown } from './switch/temporal-check.js';
import { complaintsAboutView, look, viewReport, type View } from './switch/view.js';

export interface SwitchOptions extends ServiceOptions {
  readonly withoutTemporal?: boolean;
  readonly workerConfig: string;
  readonly record?: string;
  readonly force?: boolean;
  readonly yes?: boolean;
  readonly by?: string;
  readonly reason?: string;
}

export function define(command: Command): void {
  command
    .description('Sends all traffic to one environment by hand, for the night when Temporal is down.')
    .addArgument(new Argument('<environment>', 'who gets all traffic').choices(colors))
    .option('--without-temporal', 'needed: nobody watches this switch, and nothing takes it back by itself')
    .option(
      '--worker-config <file>',
      "a worker's worker.yaml: the service's secrets as that worker has them",
      'worker.yaml',
    )
    .option('--record <file>', 'where it is written down (default: below XDG_STATE_HOME, ~/.local/state)')
    .option('--force', "go on against what speaks against it; somebody else's stored edits go out with it")
    .option('-y, --yes', 'do not ask; needed where there is no terminal')
    .addOption(byOption())
    .addOption(reasonOption())
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris switch blue --without-temporal --worker-config /etc/verdigris/worker.yaml',
    'It looks at the load balancer, asks both environments whether they are able, shows what it would do, and asks. Then one change is published, read back, and proved at the public address. No server is changed. A record stays on this machine; the same command again finishes what was cut off. Exit codes: 0 moved and proved, 2 nothing was changed, 20 a person has to look, 130 stopped before anything was published.',
  );
}

/** One hand switch at work. */
export interface HandSession {
  readonly service: Service;
  readonly drivers: WorkerDrivers;
  readonly output: Output;
  readonly command: (words: string) => string;
  /** Of the OVHcloud API, as they were made. */
  readonly calls: readonly RecordedCall[];
}

export async function run(options: SwitchOptions, { words }: Call): Promise<number> {
  const to = words[0] as Color;
  const service = readService(options.config, options.destination);
  const command = commandWith(whereabouts(options));
  if (options.withoutTemporal !== true) throw whichCommand(service, to, command);
  const output = createOutput(options.json === true);
  await seeThatTemporalIsDown(options, service, { output, command });
  const calls: RecordedCall[] = [];
  const drivers = driversFrom(options.workerConfig, service, to, (call) => calls.push(describeCall(call)));
  try {
    return await switchBy({ service, drivers, output, command, calls }, to, options);
  } finally {
    drivers.close();
  }
}

async function switchBy(session: HandSession, to: Color, options: SwitchOptions): Promise<number> {
  const { service, output } = session;
  const beganAt = new Date().toISOString();
  const records = new HandSwitches();
  const file = options.record ?? records.fileFor(service.id, beganAt);
  const last =
    (options.record && (await readOwnRecord(options.record, service))) ?? (await records.last(service.id));
  const view = await look(session, to, last || undefined);
  output.say(viewReport(session, view));
  const complaints = complaintsAboutView(session, to, view);
  if (complaints.length > 0) {
    if (options.force !== true) throw new Refusal(complaints.join('\n'));
    output.notice(['Going on all the same (--force):', ...complaints].join('\n'));
  }
  output.say(['', ...intention(session, to, view, file)]);
  if (!(await isMeant(session, to, options))) {
    output.say('Nothing was changed.');
    return 0;
  }
  return carryOut(session, orderOf(session, to, view, options, { file, beganAt }));
}

function orderOf(
  { service }: HandSession,
  to: Color,
  { observation, unfinished, names }: View,
  { force = false, by, reason }: SwitchOptions,
  { file, beganAt }: { readonly file: string; readonly beganAt: string },
): Order {
  const isOurs = observation.staged.length > 0 && unfinished !== undefined;
  return {
    file,
    names,
    leaveOut: leftOutOf(observation, to),
    begun: {
      service: service.id,
      by: whoAsks(by),
      ...(reason === undefined ? {} : { reason }),
      from: liveColor(observation) ?? foundInstead(observation),
      to,
      beganAt,
      state: 'begun',
      force,
      targets: observation.targets,
      staged: observation.staged,
      // What a switch that was cut off has stored is told from other edits by what was there before it.
      objects: isOurs && !force ? unfinished.objects : observation.objects,
      calls: [],
    },
  };
}

function howPublished({ regions, loadBalancer }: Service): string {
  if (regions) return `on each of ${regions.length} load balancers, one after the other`;
  return loadBalancer.driver === 'ovh-public-cloud' ? 'listener by listener' : 'with one published change';
}

const foundInstead = ({ traffic }: LoadBalancerObservation): string =>
  traffic.kind === 'split' ? describeSplit(traffic.split) : traffic.kind;

const intention = (
  { service, command }: HandSession,
  to: Color,
  { observation }: View,
  file: string,
): readonly string[] => [
  liveColor(observation) === to && observation.staged.length === 0
    ? `All traffic goes to ${to} already; that would be seen again, and proved at ${service.publicAddress.url}.`
    : `Would send all new traffic to ${to} ${howPublished(service)}, read it back, and prove it at ${service.publicAddress.url}.`,
  `  Connections that are open stay where they are. No server is changed.`,
  `  back again:  ${command(`switch ${otherColor(to)} --without-temporal`)}`,
  `  record:      ${file}`,
];

async function isMeant(
  { service, output, command }: HandSession,
  to: Color,
  { yes, force }: SwitchOptions,
): Promise<boolean> {
  if (yes === true) return true;
  if (output.interactive) return confirm('Do it?');
  throw new Refusal(
    `Cannot switch "${service.id}": nobody can be asked here, needs --yes\n  ${command(`switch ${to} --without-temporal --yes${force ? ' --force' : ''}`)}`,
  );
}

const whichCommand = (service: Service, to: Color, command: HandSession['command']): Refusal =>
  new Refusal(
    [
      `Cannot switch "${service.id}" like this: with Temporal every move of the traffic is a run that is watched and can be taken back, needs the command that is meant`,
      `  go back, in every situation: ${command('rollback')}`,
      `  a new release: ${command('deploy')}`,
      `  a state that no deployment may start from: ${command(`repair --live ${to}`)}`,
      `  Temporal is down: ${command(`switch ${to} --without-temporal`)}`,
    ].join('\n'),
  );

/** A file that is named may hold what was cut off, or nothing; anything else is not ours to write over. */
async function readOwnRecord(file: string, service: Service) {
  if (!existsSync(file)) return undefined;
  const record = await readRecord(file);
  if (record?.service === service.id) return record;
  throw new Refusal(
    `Cannot write to "${file}": it is there and is no record of "${service.id}", needs another place\n  name it: --record FILE`,
  );
}

function driversFrom(
  path: string,
  service: Service,
  to: Color,
  onCall: ConstructorParameters<typeof WorkerDrivers>[4],
): WorkerDrivers {
  if (!existsSync(path)) throw noWorkerFile(path, service, to);
  const configuration = readWorkerConfiguration(path);
  return new WorkerDrivers(
    configuration,
    createSecrets(configuration.secrets, path),
    createAgents(configuration.agents, path),
    pino({ level: 'silent' }),
    onCall,
  );
}

function noWorkerFile(path: string, service: Service, to: Color): Refusal {
  const keys = new Set(
    loadBalancersOf(service).flatMap((settings) => ('api' in settings ? namesOf(settings.api) : [])),
  );
  return new Refusal(
    [
      `Cannot switch "${service.id}" from here: there is no "${path}", needs the file that a worker of this service has, beside its secrets`,
      ...(keys.size > 0 ? [`  it says what these resolve to: ${[...keys].join(', ')}`] : []),
      `  and the keys of the servers, which are asked before anything moves (without them: --force)`,
      `  name it: verdigris switch ${to} --without-temporal --worker-config FILE; or do it where a worker runs`,
    ].join('\n'),
  );
}

const namesOf = (api: object): readonly string[] =>
  Object.values(api).flatMap((value: unknown) =>
    typeof value === 'object' && value !== null && 'secret' in value
      ? [`secret:${String(value.secret)}`]
      : [],
  );
