import type {
  BackendObservation,
  Observation,
  PlatformFacts,
  ServerObservation,
} from '../domain/observation.js';
import type { Complaint } from '../domain/failures.js';
import { describeHandSwitch } from '../domain/hand-switch.js';
import type { Plan } from '../domain/plan.js';
import { describeMachine } from '../domain/machines.js';
import { serversOf, type Service } from '../domain/service.js';
import { describeSplit } from '../domain/split.js';
import { columns, count, describeRelease, indented, percentOf } from './words.js';
import { describeDuration } from '../configuration/quantities.js';

/** What was seen of a service, and what a deployment would do. Pure. */

export const observationReport = (service: Service, observation: Observation): readonly string[] => [
  `${service.id}: ${trafficLine(observation)}`,
  ...columns([
    ...observation.loadBalancer.targets.map((target) => ['load balancer', target] as const),
    ...observation.loadBalancer.staged.map((edit) => ['not published', edit] as const),
    ...divisionRow(observation),
    ...wayBackRow(observation),
    ...(observation.handSwitch ? [['by hand', describeHandSwitch(observation.handSwitch)] as const] : []),
  ]),
  ...columns(
    observation.servers.map((seen) => [
      seen.server,
      `${seen.color.padEnd(5)}  ${serverLine(seen)}; ${backendLine(seen, observation.loadBalancer.backends)}`,
    ]),
  ),
  ...machineRows(observation),
];

/** What OVHcloud tells of the machines, where the configuration names them. */
const machineRows = ({ machines = [] }: Observation): readonly string[] =>
  machines.length === 0
    ? []
    : [
        '  As OVHcloud sees them',
        ...indented(columns(machines.map((seen) => [seen.server, describeMachine(seen)]))),
      ];

function trafficLine({ loadBalancer: { traffic } }: Observation): string {
  return traffic.kind === 'split' ? describeSplit(traffic.split) : traffic.detail;
}

/** How finely traffic can be divided, where it can. */
function divisionRow({ loadBalancer: { division } }: Observation): readonly (readonly [string, string])[] {
  if (division?.kind !== 'possible') return [];
  const { shares, smallest } = division;
  const percent = (share: number): string => `${+share.toFixed(2)} %`;
  const least = `blue ${percent(smallest.blue)}, green ${percent(smallest.green)}`;
  return [['divided', `by weights, shares are ${shares}; the smallest: ${least}`]];
}

function wayBackRow({
  loadBalancer: { recentSwitchesMs },
}: Observation): readonly (readonly [string, string])[] {
  if (recentSwitchesMs.length === 0) return [];
  const fastest = describeDuration(Math.min(...recentSwitchesMs));
  const slowest = describeDuration(Math.max(...recentSwitchesMs));
  const range = fastest === slowest ? fastest : `${fastest} to ${slowest}`;
  return [['a switch took', `${range} lately; the way back takes as long`]];
}

function serverLine(seen: ServerObservation): string {
  if (seen.kind === 'unreachable') return `unreachable: ${seen.message}`;
  const { unit, activeRelease, foreign, connections, platform } = seen.facts;
  const release = activeRelease ?? (foreign ? 'a release that Verdigris did not install' : 'no release');
  return `${unit.state}${unit.restarts > 0 ? ` (${count(unit.restarts, 'restart')})` : ''}, ${release}, ${count(connections, 'connection')}${platform ? `; ${platformWords(platform)}` : ''}`;
}

const platformWords = ({ system, machine, glibc }: PlatformFacts): string =>
  [system?.replace(/ \([^)]*\)$/, ''), machine, glibc === undefined ? undefined : `glibc ${glibc}`]
    .filter(Boolean)
    .join(', ');

function backendLine({ server }: ServerObservation, backends: readonly BackendObservation[]): string {
  const backend = backends.find((candidate) => candidate.server === server);
  return `load balancer: ${backend?.state ?? 'absent'}`;
}

export const complaintLines = (complaints: readonly Complaint[]): readonly string[] =>
  complaints.map(({ message }) => message);

export const readyLine = (service: Service): string =>
  `Ready: a deployment of ${service.id} may start (${count(serversOf(service).length, 'server')} looked at).`;

/** What a deployment asked for now would do. */
export const planReport = (service: Service, plan: Plan): readonly string[] => [
  `Plan for ${service.id}: ${describeRelease(plan.release)} on ${plan.idle}; ${plan.live === 'nothing' ? 'nothing is live yet' : `${plan.live} stays live until the switch`}`,
  ...columns([
    ['plan', plan.hash.slice(0, 12)],
    ['release', plan.release.id],
    ...(plan.program ?? []).map((line, index) => [index === 0 ? 'program' : '', line] as const),
    ...plan.servers
      .filter(({ server }) => !plan.leftBehind.some((left) => left.server === server))
      .map(
        ({ server, restores }) =>
          [
            server,
            restores === 'nothing'
              ? 'installed and started; stopped if undone'
              : `installed and started; ${restores} again if undone`,
          ] as const,
      ),
    ...(plan.settings.length === 0 ? [] : [['settings', plan.settings.join('\n')] as const]),
    ...plan.servers
      .filter(({ settings }) => settings.length > 0)
      .map(({ server, settings }) => [`on ${server}`, settings.join('\n')] as const),
    ...plan.steps.map((step, index) => [`switch ${index + 1}`, describeSplit(step)] as const),
    ['approval', approvalLine(service)],
    [
      'bake',
      `${describeDuration(service.bake.durationMs)}, at most ${percentOf(service.bake.maxErrorRate)} of requests may fail`,
    ],
    [
      'then',
      `the old environment ${service.retire.old === 'stop' ? 'drains and stops' : 'keeps running as the way back'}`,
    ],
  ]),
  ...(plan.warnings.length > 0 ? ['  To know', ...indented(plan.warnings, 4)] : []),
];

/** What is known of an artifact that fits. */
export const artifactReport = ({ release, program = [], warnings }: Plan): readonly string[] => [
  `${describeRelease(release)} fits the idle servers`,
  ...indented(program, 2),
  ...(warnings.length > 0 ? ['  To know', ...indented(warnings, 4)] : []),
];

const approvalLine = ({ approve }: Service): string =>
  `waited for ${describeDuration(approve.timeoutMs)}, then ${approve.onTimeout === 'reject' ? 'it is rejected' : 'it keeps waiting'}`;
