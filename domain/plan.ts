import { credentialKindOf, credentialLacks } from './credential-lacks.js';
import { colors, otherColor, type Color } from './color.js';
import { complaintsAboutBinaries, describeBinaries, warningsAboutBinaries } from './compatibility.js';
import type { ArtifactFacts, DeploymentRequest, Release } from './deployment.js';
import { asComplaint, type Complaint } from './failures.js';
import { describeLeftBehind, mayBeLeftBehind, type LeftBehind } from './fleet.js';
import { describeHandSwitch, explains } from './hand-switch.js';
import { hashOf } from './hash.js';
import { complaintsAboutMachines, describeMachines, warningsAboutMachines } from './machines.js';
import { ReleaseId, type Digest, type ServerName } from './names.js';
import {
  factsOf,
  leftOutOf,
  liveColor,
  type LoadBalancerObservation,
  type Observation,
  type ServerObservation,
} from './observation.js';
import { neighboursOf, rootByKey, type Server, type Service } from './service.js';
import { describeSettings } from './settings.js';
import { neededFor, shortage } from './space.js';
import { allTo, describeSplit, wholly, type Split } from './split.js';
import { describeMarks, unfitMarksOf } from './unfit.js';

/** What a deployment will do. The hash covers everything in it that the deployment does not change before the switch. */
export interface Plan {
  readonly hash: Digest;
  readonly release: Release;
  readonly live: Color | 'nothing';
  readonly idle: Color;
  readonly servers: readonly PlannedServer[];
  /** What is filled in and set on every server, in words: names of secrets, never secrets. */
  readonly settings: readonly string[];
  readonly steps: readonly Split[];
  /** The load balancer's objects that this service depends on, by name, as they were when it was planned. */
  readonly objects: Readonly<Record<string, string>>;
  /** What runs live: server to the SHA-256 of its program. */
  readonly liveRuns: Readonly<Record<string, string>>;
  /** Servers that the load balancer was told to leave out when it was planned, of both environments. */
  readonly leftOut: readonly ServerName[];
  /** Idle servers that could not be reached when it was planned, or have no room: it goes on without them. Among `servers` are only the latter. */
  readonly leftBehind: readonly LeftBehind[];
  /** The program and the libraries that it brings along, one line each. */
  readonly program?: readonly string[];
  /** OVHcloud's view of the machines, one line each. No part of the hash: it changes by itself. */
  readonly machines?: readonly string[];
  /** What people should know before they approve. */
  readonly warnings: readonly string[];
}

export interface PlannedServer {
  readonly server: ServerName;
  /** The release that is put back when this deployment is undone. */
  readonly restores: ReleaseId | 'nothing';
  /** Settings that are not the same on every server of the plan. */
  readonly settings: readonly string[];
}

export type Planning =
  | { readonly kind: 'planned'; readonly plan: Plan }
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] };

/** Releases differ when the program or its settings do: both are named. */
export const releaseIdOf = (artifact: Digest, settings: Digest): ReleaseId =>
  ReleaseId(`${artifact.slice(0, 12)}-${settings.slice(0, 8)}`);

/**
 * What can be said before the artifact is fetched: whether the service is in a state that a deployment
 * may start from. All complaints at once.
 */
export function complaintsAbout(service: Service, observation: Observation): readonly Complaint[] {
  const { loadBalancer } = observation;
  const complaints: Complaint[] = [];
  const add = (failure: Complaint['failure'], message: string) =>
    complaints.push(asComplaint(failure, message));

  if (loadBalancer.traffic.kind !== 'split') {
    add(
      'StateUnclear',
      `Cannot deploy "${service.id}": ${loadBalancer.traffic.detail}\n  settle it: verdigris repair`,
    );
  } else if (idleOf(observation) === undefined) {
    add(
      'StateUnclear',
      `Cannot deploy "${service.id}": traffic is divided (${describeSplit(loadBalancer.traffic.split)}), needs one live environment\n  settle it: verdigris repair`,
    );
  }
  if (loadBalancer.staged.length > 0) {
    add(
      'StagedEditsFound',
      `Cannot deploy "${service.id}": the load balancer holds edits that are not published (${loadBalancer.staged.join('; ')}), and a switch would publish them\n  apply or take them back in the control panel, or settle them: verdigris repair`,
    );
  }
  if (observation.visitorsMet !== undefined) {
    add(
      'EnvironmentHasTraffic',
      `Cannot deploy "${service.id}": ${observation.visitorsMet}, and the load balancer says that it gets no traffic, needs none there\n  a part of the load balancer runs an older configuration: publish it once more in the control panel, then deploy again`,
    );
  }
  if (loadBalancer.lacking && loadBalancer.lacking.length > 0) {
    add(
      'CredentialRefused',
      credentialLacks(`deploy "${service.id}"`, credentialKindOf(service.loadBalancer), loadBalancer.lacking),
    );
  }
  complaints.push(...complaintsAboutReadiness(service, observation));
  complaints.push(...complaintsAboutMachines(service, observation.machines ?? []));
  for (const { message } of tooManyUnreachable(service, observation)) add('ServerUnreachable', message);
  for (const server of service.environments[idleOf(observation) ?? 'green']) {
    complaints.push(...complaintsAboutIdle(server, observation));
  }
  complaints.push(...complaintsAboutNeighbours(service, observation));
  return complaints;
}

/** What the configuration asks of the load balancer, and what an interrupted deployment would have left there. */
function complaintsAboutReadiness({ id }: Service, { loadBalancer }: Observation): readonly Complaint[] {
  const {
    unready = [],
    unprobed = [],
    unequal = [],
    unsettled = [],
    backups = [],
    testersReach,
  } = loadBalancer;
  const missing = unready.map((what): Complaint =>
    asComplaint(
      'StateUnclear',
      `Cannot deploy "${id}": ${what}\n  what is missing can be created: verdigris ovh provision --plan; what is there and otherwise is changed by nobody but you: in the control panel`,
    ),
  );
  const left = [
    ...(backups.length === 0
      ? []
      : [`${backups.join(', ')} would get all traffic when the live environment is down`]),
    ...(testersReach ? [`testers still reach ${testersReach}`] : []),
  ];
  return [
    ...missing,
    ...unprobed.map((what): Complaint =>
      asComplaint('StateUnclear', `Cannot deploy "${id}": ${what}\n  point it there: verdigris repair`),
    ),
    ...unequal
      .filter(({ breaks }) => breaks)
      .map(({ words }): Complaint =>
        asComplaint(
          'EnvironmentsUnequal',
          `Cannot deploy "${id}": ${words}, needs the same: what one environment understands the other may not\n  make them alike, apply it, and look again: verdigris check`,
        ),
      ),
    ...unsettled.map((what): Complaint =>
      asComplaint(
        'StateUnclear',
        `Cannot deploy "${id}": ${what}, needs it to run what it tells\n  publish it once more: verdigris repair`,
      ),
    ),
    ...left.map((what): Complaint =>
      asComplaint(
        'StateUnclear',
        `Cannot deploy "${id}": ${what}, needs an idle environment without traffic\n  settle it: verdigris repair`,
      ),
    ),
  ];
}

/** Splits that the load balancer cannot carry. */
export function complaintsAboutSteps(
  { id }: Pick<Service, 'id'>,
  steps: readonly Split[],
  { division }: Pick<LoadBalancerObservation, 'division'>,
): readonly Complaint[] {
  if (!division) return [];
  return steps.flatMap((step): readonly Complaint[] => {
    if (wholly(step) !== undefined) return [];
    const because =
      division.kind === 'impossible'
        ? division.because
        : colors
            .filter((color) => step[color] < division.smallest[color])
            .map(
              (color) =>
                `the smallest share of ${color} is ${+division.smallest[color].toFixed(2)} % ${division.shares}`,
            )
            .join('; ');
    if (because === '') return [];
    return [
      asComplaint(
        'RequestInvalid',
        `Cannot deploy "${id}" by ${describeSplit(step)}: ${because}, needs steps that the load balancer can carry
  what it can do: verdigris check; what a division needs can be created: verdigris ovh provision --plan`,
      ),
    ];
  });
}

/** A daemon-reload for an idle unit would put edits of a live unit's files on the same machine into effect. */
function complaintsAboutNeighbours(service: Service, observation: Observation): readonly Complaint[] {
  const idle = idleOf(observation);
  if (idle === undefined) return [];
  const { servers } = observation;
  return service.environments[otherColor(idle)]
    .filter((live) => neighboursOf(service, live).length > 0)
    .filter(({ name }) =>
      servers.some(
        (seen) => seen.server === name && seen.kind === 'reached' && seen.facts.unit.needsDaemonReload,
      ),
    )
    .map(({ name, unit }) =>
      asComplaint(
        'UnitRefused',
        `Cannot deploy "${service.id}": the files of ${unit} on "${name}", which is live, were edited since systemd has read them, and a daemon-reload for its neighbour would put them into effect\n  look at them: systemctl cat ${unit}; then: systemctl daemon-reload`,
      ),
    );
}

type Unreachable = Extract<ServerObservation, { kind: 'unreachable' }>;

const unreachableOf = (color: Color, { servers }: Observation): readonly Unreachable[] =>
  servers.filter((seen): seen is Unreachable => seen.kind === 'unreachable' && seen.color === color);

/**
 * The unreachable servers of each environment that has more of them than may be left behind. The way back is held to the same
 * measure as the new environment: with too many of its servers out of sight, nobody knows whether it works.
 */
function tooManyUnreachable(service: Service, observation: Observation): readonly Unreachable[] {
  const isSettled = idleOf(observation) !== undefined;
  return colors.flatMap((color) => {
    const unreachable = unreachableOf(color, observation);
    const borne = isSettled ? mayBeLeftBehind(service.fleet, service.environments[color].length) : 0;
    if (unreachable.length <= borne) return [];
    const cure = isSettled ? `\n  mend that, or let so many be left behind: fleet.mayFail` : '';
    return unreachable.map((seen) => ({ ...seen, message: `${seen.message}${cure}` }));
  });
}

function complaintsAboutIdle(server: Server, observation: Observation): readonly Complaint[] {
  const facts = factsOf(observation, server.name);
  const complaints: Complaint[] = [];
  if (idleOf(observation) === undefined || !facts) return complaints;
  if (facts.foreign) {
    complaints.push(
      asComplaint(
        'ForeignRelease',
        `Cannot deploy to "${server.name}": ${server.unit} runs a release that Verdigris did not install\n  take it over, with its files kept: verdigris adopt`,
      ),
    );
  }
  return complaints;
}

const leftBehindOf = (
  servers: readonly { readonly server: ServerName; readonly message: string }[],
): readonly LeftBehind[] => servers.map(({ server, message }) => ({ server, because: message }));

/** Told before anything is changed; an installation looks again. */
function complaintsAboutSpace(
  { install }: Service,
  { name, directory }: Server,
  { id }: Release,
  artifact: ArtifactFacts,
  observation: Observation,
): readonly Complaint[] {
  const facts = factsOf(observation, name);
  if (!facts || facts.installedReleases.includes(id)) return [];
  const missing = shortage(
    { bytes: facts.freeBytes, inodes: facts.freeInodes },
    neededFor(artifact, install.keepFreeBytes),
  );
  return missing === undefined
    ? []
    : [
        asComplaint(
          'DiskFull',
          `Cannot deploy to "${name}": below ${directory} ${missing}\n  see what fills it: du -xh ${directory} | sort -h | tail; or keep less free: install.keepFree`,
        ),
      ];
}

/** What was taken back because it was ill is not tried again by mistake. */
function complaintsAboutUnfit(
  { service, artifact, again }: DeploymentRequest,
  observation: Observation,
): readonly Complaint[] {
  const marks = unfitMarksOf(artifact.sha256, observation);
  if (marks.length === 0 || again !== undefined) return [];
  const message = `Cannot deploy "${service.id}": artifact ${artifact.sha256.slice(0, 12)} ${describeMarks(marks)}\n  deploy one that is mended, or say why this one once more: verdigris deploy --again "why"`;
  return [asComplaint('ReleaseUnfit', message)];
}

/** Nothing but its record tells of it: no run has compared, watched or promoted what is live now. */
function warningsAboutHandSwitch({ handSwitch, loadBalancer }: Observation): readonly string[] {
  if (!handSwitch || !explains(handSwitch, liveColor(loadBalancer))) return [];
  return [`The last switch was made by hand, without Temporal: ${describeHandSwitch(handSwitch)}`];
}

function warningsAboutUnfit(
  { artifact, again, requestedBy }: DeploymentRequest,
  observation: Observation,
): readonly string[] {
  const marks = unfitMarksOf(artifact.sha256, observation);
  return marks.length === 0 || again === undefined
    ? []
    : [`This artifact ${describeMarks(marks)}`, `It is deployed again by ${requestedBy}: ${again}`];
}

/**
 * The environment that gets no new traffic. When nothing is live yet (a first deployment: neither
 * environment runs anything), the one that the load balancer does not point at.
 */
export function idleOf({ loadBalancer: { traffic } }: Observation): Color | undefined {
  if (traffic.kind !== 'split') return undefined;
  if (traffic.split.blue === 100) return otherColor('blue');
  if (traffic.split.green === 100) return otherColor('green');
  return undefined;
}

/** Computes the plan. Pure: the same request and observation give the same plan with the same hash. */
export function computePlan(
  request: DeploymentRequest,
  facts: ArtifactFacts,
  observation: Observation,
): Planning {
  const { service, artifact, version } = request;
  const idle = idleOf(observation);
  const { binaries } = facts;
  const steps = idle ? [allTo(idle)] : [];
  const complaints = [
    ...complaintsAbout(service, observation),
    ...complaintsAboutSteps(service, steps, observation.loadBalancer),
    ...complaintsAboutUnfit(request, observation),
    ...(binaries && idle ? complaintsAboutBinaries(binaries, service.environments[idle], observation) : []),
  ];
  if (complaints.length > 0 || idle === undefined) return { kind: 'refused', complaints };

  const release: Release = {
    id: releaseIdOf(artifact.sha256, facts.settings),
    artifact,
    executable: facts.executable,
    settings: facts.settings,
    ...(version === undefined ? {} : { version }),
  };
  const unreachable = leftBehindOf(unreachableOf(idle, observation));
  const full = service.environments[idle].flatMap((server) =>
    complaintsAboutSpace(service, server, release, facts, observation).map((complaint) => ({
      server: server.name,
      ...complaint,
    })),
  );
  const leftBehind = [...unreachable, ...leftBehindOf(full)];
  if (
    full.length > 0 &&
    leftBehind.length > mayBeLeftBehind(service.fleet, service.environments[idle].length)
  )
    return { kind: 'refused', complaints: full.map(({ failure, message }) => ({ failure, message })) };
  const liveRuns = runsOf(service, otherColor(idle), observation);
  const live = serves(service, otherColor(idle), observation) ? otherColor(idle) : 'nothing';
  const content = {
    release,
    live,
    idle,
    ...plannedServers(
      service,
      service.environments[idle].filter(({ name }) => !unreachable.some(({ server }) => server === name)),
      observation,
    ),
    steps,
    objects: oursOf(observation),
    liveRuns,
    leftOut: colors.flatMap((color) => leftOutOf(observation.loadBalancer, color)),
    ...(binaries ? { program: describeBinaries(binaries) } : {}),
  } satisfies Omit<Plan, 'hash' | 'warnings' | 'leftBehind' | 'machines'>;
  return {
    kind: 'planned',
    plan: {
      ...content,
      leftBehind,
      ...(observation.machines ? { machines: describeMachines(observation.machines) } : {}),
      warnings: [
        ...warningsAboutHandSwitch(observation),
        ...warningsAboutUnfit(request, observation),
        ...warningsOf(service, content, observation),
        ...leftBehind.map((left) => `Left behind: ${describeLeftBehind(left)}`),
        ...(binaries ? warningsAboutBinaries(binaries, service.environments[idle], observation) : []),
        ...warningsAboutMachines(service, observation.machines ?? []),
      ],
      hash: hashOf({ ...content, service }),
    },
  };
}

/** The load balancer's objects that matter to this service, by name. */
export const oursOf = ({ loadBalancer }: Observation): Readonly<Record<string, string>> =>
  Object.fromEntries(loadBalancer.ours.map((name) => [name, loadBalancer.objects[name] ?? 'absent']));

/** What differs between two sets of named digests, in words. */
export function differences(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): readonly string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  return names.flatMap((name) => {
    if (before[name] === now[name]) return [];
    if (before[name] === undefined) return [`${name} was added`];
    return now[name] === undefined ? [`${name} was removed`] : [`${name} was changed`];
  });
}

function plannedServers(
  service: Service,
  servers: readonly Server[],
  observation: Observation,
): Pick<Plan, 'servers' | 'settings'> {
  const described = servers.map((server) => ({
    server,
    settings: describeSettings(service, server),
  }));
  const [first] = described;
  const alike = (first?.settings ?? []).filter((line) =>
    described.every(({ settings }) => settings.includes(line)),
  );
  return {
    settings: alike,
    servers: described.map(({ server, settings }) => ({
      server: server.name,
      restores: restoredOn(server, observation),
      settings: settings.filter((line) => !alike.includes(line)),
    })),
  };
}

function restoredOn(server: Server, observation: Observation): ReleaseId | 'nothing' {
  const facts = factsOf(observation, server.name);
  const active = facts?.activeRelease;
  return active !== undefined && facts?.unfitReleases[active] === undefined ? active : 'nothing';
}

/** SHA-256 of what runs on each server of an environment. */
function runsOf(service: Service, color: Color, observation: Observation): Readonly<Record<string, string>> {
  return Object.fromEntries(
    service.environments[color].flatMap(({ name }) => {
      const program = factsOf(observation, name)?.runningProgram;
      return program ? [[name, program]] : [];
    }),
  );
}

/** Whether anything runs in an environment, also where its program cannot be read: a process of the unit, or up to the load balancer. */
function serves(service: Service, color: Color, observation: Observation): boolean {
  return service.environments[color].some(({ name }) => {
    const facts = factsOf(observation, name);
    const backend = observation.loadBalancer.backends.find(({ server }) => server === name);
    return facts?.runningProgram !== undefined || (facts?.unit.pid ?? 0) > 0 || backend?.state === 'up';
  });
}

function warningsOf(
  service: Service,
  { live, idle, servers }: Pick<Plan, 'live' | 'idle' | 'servers'>,
  observation: Observation,
): readonly string[] {
  const warnings: string[] = [];
  if (live === 'nothing') {
    warnings.push(
      'This is the first deployment: there is nothing to go back to; on failure the load balancer is as it was',
    );
  }
  if (
    live !== 'nothing' &&
    service.environments[live].some(({ name }) => factsOf(observation, name)?.foreign)
  ) {
    warnings.push(
      `${live} runs a release that Verdigris did not install: it is the way back, by load balancer alone, and is never touched`,
    );
  }
  for (const { name } of live === 'nothing' ? [] : service.environments[live]) {
    const state = factsOf(observation, name)?.unit.state ?? 'unreachable';
    const isOut = leftOutOf(observation.loadBalancer, otherColor(idle)).includes(name);
    if (state !== 'active' || isOut)
      warnings.push(
        `${name} ${isOut ? 'is left out by the load balancer' : `does not run (${state})`}: the way back to ${live} carries less`,
      );
  }
  if (servers.some(({ restores }) => restores === 'nothing')) {
    warnings.push(
      'The idle environment has no earlier release: it is stopped when this deployment is undone',
    );
  }
  warnings.push(...warningsAboutRouting(service, observation));
  warnings.push(...warningsAboutBake(service, observation));
  warnings.push(...warningsAboutCredential(service, observation));
  const root = rootByKey(service);
  if (root !== undefined) warnings.push(root);
  return warnings;
}

/** After two bad looks a server is out, and some seconds later the API tells: what is promoted before was not seen by it. */
function warningsAboutBake(
  { bake }: Service,
  { loadBalancer: { probeEveryMs } }: Observation,
): readonly string[] {
  const neededMs = 2 * (probeEveryMs ?? 0) + 10_000;
  if (probeEveryMs === undefined || bake.durationMs >= neededMs) return [];
  return [
    `The bake lasts ${bake.durationMs / 1_000} s, and the load balancer may take ${neededMs / 1_000} s to find a server ill: it looks every ${probeEveryMs / 1_000} s, twice. Make it longer: bake.duration`,
  ];
}

/** Without a credential nothing is switched, and nothing is taken back. */
function warningsAboutCredential(
  { approve, bake }: Service,
  { loadBalancer: { credentialEnds } }: Observation,
): readonly string[] {
  if (!credentialEnds || credentialEnds.inMs > approve.timeoutMs + bake.durationMs) return [];
  const at = new Date(credentialEnds.atMs).toISOString();
  return [
    `The consumer key of the load balancer ends at ${at}, which may be before this deployment has ended: then nothing can be switched or taken back. Make another: verdigris ovh login --replace`,
  ];
}

/** What a switch leaves as it is, and what of the load balancer cannot be used. */
function warningsAboutRouting(
  { loadBalancer: settings }: Service,
  { loadBalancer: { diversions = [], unequal = [], division } }: Observation,
): readonly string[] {
  const isMixed = 'mixed' in settings && settings.mixed !== undefined;
  return [
    ...diversions.map((diversion) => `Not moved by a switch: ${diversion}`),
    ...unequal.filter(({ breaks }) => !breaks).map(({ words }) => `Blue and green are not alike: ${words}`),
    ...(isMixed && division?.kind === 'impossible'
      ? [`Traffic cannot be divided between blue and green: ${division.because}`]
      : []),
  ];
}
