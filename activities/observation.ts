import pMap from 'p-map';
import type { ExaminedServer } from '../domain/examination.js';
import {
  liveColor,
  type LoadBalancerObservation,
  type Observation,
  type ServerFacts,
  type ServerObservation,
} from '../domain/observation.js';
import { differences, oursOf, type Plan } from '../domain/plan.js';
import { publicAddressesOf, serversOf, type Server, type Service } from '../domain/service.js';
import { Failure, inOneLine } from '../domain/failures.js';
import { hashOf } from '../domain/hash.js';
import type { Digest, ServerName } from '../domain/names.js';
import { mayBeLeftBehind } from '../domain/fleet.js';
import { otherColor, type Color } from '../domain/color.js';
import { allTo, describeSplit, sameSplit } from '../domain/split.js';
import { turnsOf } from '../domain/turns.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';
import { handSwitchSince } from './hand-switch.js';
import { observeMachines } from './machines.js';
import { identitiesOf, identityQuestion } from './identity.js';
import { patiently, pause } from './patience.js';
import { queueState } from './turns.js';

/** Servers looked at side by side. */
const atOnce = 20;

export const createObservationActivities = (drivers: Drivers) => ({
  /** Looks at the load balancer, at every server, and at the machines as their provider sees them. Reads only. A server that cannot be reached is part of the answer. */
  async observe(input: {
    readonly service: Service;
    /** And at the public address: a part of the load balancer may run something else than it says. */
    readonly asVisitor?: true;
  }): Promise<Observation> {
    return patiently(async (patience) => {
      const [loadBalancer, servers, machines, handSwitch] = await Promise.all([
        observeLoadBalancer(drivers, input.service, patience),
        pMap(serversOf(input.service), (server) => look(drivers, input.service, server, patience), {
          concurrency: atOnce,
        }),
        observeMachines(drivers, input.service, patience),
        handSwitchSince(drivers, input.service, patience),
      ]);
      const live = input.asVisitor && liveColor(loadBalancer);
      const visitorsMet = live && (await answerOf(drivers, input.service, otherColor(live), patience));
      return {
        loadBalancer,
        servers,
        ...(visitorsMet ? { visitorsMet } : {}),
        ...(machines.length > 0 ? { machines } : {}),
        ...(handSwitch ? { handSwitch } : {}),
      };
    });
  },

  /** Examines every server. Reads only. One that cannot be reached is part of the answer. */
  async examineServers(input: { readonly service: Service }): Promise<readonly ExaminedServer[]> {
    return patiently((patience) =>
      pMap(serversOf(input.service), (server) => examine(drivers, input.service, server, patience), {
        concurrency: atOnce,
      }),
    );
  },

  /**
   * Looks again just before a change: traffic must still go where the plan found it (or put it, with `live`), and the load
   * balancer's objects must be as planned. Reads only.
   * @returns digest by name of every object, ours or not: from it a change can tell later whose a stored edit is.
   */
  async confirm(input: Confirmation): Promise<Readonly<Record<string, string>>> {
    return patiently((patience) => confirm(drivers, input, patience));
  },

  /** The same in short, for looks that are many: only tells whether the objects are as planned. */
  async confirmInShort(input: ShortConfirmation): Promise<boolean> {
    const { service, live, objects } = input;
    return patiently(async (patience) => {
      const loadBalancer = await observeTraffic(drivers, service, live, patience);
      return hashOf(oursOf({ loadBalancer, servers: [] })) === objects;
    });
  },

  /** Looks again and again, and ends by failing as soon as it is no longer as planned. Lasts until it is cancelled. */
  async watchLoadBalancer(input: Confirmation & { readonly everyMs: number }): Promise<never> {
    return patiently(async (patience) => {
      for (;;) {
        await pause(input.everyMs);
        await confirm(drivers, input, patience).catch((error: unknown) => {
          if (!(error instanceof Failure) || isDrift(error)) throw error;
          patience.progress(`cannot look: ${inOneLine(error.message)}`);
        });
      }
    });
  },

  /** Fails with `EnvironmentHasTraffic` unless the environment gets none. Asked before each undo that changes a server. */
  async confirmIdle(input: {
    readonly service: Service;
    readonly color: Color;
    /** They are about to be sent away from it. */
    readonly despiteTesters?: true;
  }): Promise<void> {
    const { service, color, despiteTesters } = input;
    return patiently((patience) => confirmIdle(drivers, service, color, patience, despiteTesters));
  },
});

export interface ShortConfirmation extends Pick<Confirmation, 'service' | 'live'> {
  /** Digest of the objects of the plan. */
  readonly objects: Digest;
}

export interface Confirmation {
  readonly service: Service;
  readonly plan: Pick<Plan, 'objects'> & Partial<Pick<Plan, 'liveRuns'>>;
  /** Where all traffic has to be. */
  readonly live: Color;
  /**
   * Every object of the load balancer when nothing was stored. Given before a change, which would publish what somebody has stored
   * since: then it fails with `StagedEditsFound`.
   */
  readonly before?: LoadBalancerObservation['objects'];
}

async function confirm(
  drivers: Drivers,
  { service, plan, live, before }: Confirmation,
  patience: Patience,
): Promise<LoadBalancerObservation['objects']> {
  const loadBalancer = await observeTraffic(drivers, service, live, patience);
  const changed = differences(plan.objects, oursOf({ loadBalancer, servers: [] }));
  if (changed.length > 0) {
    throw new Failure(
      'LoadBalancerChanged',
      `Cannot go on with "${service.id}": the load balancer was edited since the plan was made (${changed.join('; ')})\n  look at it and deploy again: verdigris plan`,
    );
  }
  if (plan.liveRuns) await confirmRuns(drivers, service, live, plan.liveRuns, patience);
  if (before) requireNothingStored(service, loadBalancer, before);
  return loadBalancer.objects;
}

/** What the load balancer is like, as long as all traffic goes to `live`. */
async function observeTraffic(
  drivers: Drivers,
  service: Service,
  live: Color,
  patience: Patience,
): Promise<LoadBalancerObservation> {
  const loadBalancer = await observeLoadBalancer(drivers, service, patience);
  const { traffic } = loadBalancer;
  if (traffic.kind !== 'split' || !sameSplit(traffic.split, allTo(live))) {
    const found =
      traffic.kind === 'split'
        ? `sends ${describeSplit(traffic.split)}`
        : `is not as a deployment leaves it (${traffic.detail})`;
    throw new Failure(
      'TrafficMoved',
      `Cannot go on with "${service.id}": the load balancer ${found}, needs all to ${live}; somebody moved the traffic\n  nothing was touched since; move it back and go on: verdigris retry; go back: verdigris rollback`,
    );
  }
  return loadBalancer;
}

/** An edit that was made and unmade may still be pending: it changes nothing. */
function requireNothingStored(
  { id }: Service,
  { staged, objects }: LoadBalancerObservation,
  before: LoadBalancerObservation['objects'],
): void {
  const changed = staged.length === 0 ? [] : differences(before, objects);
  if (changed.length === 0) return;
  throw new Failure(
    'StagedEditsFound',
    `Cannot go on with "${id}": edits of somebody else are stored and not published (${staged.join('; ')}: ${changed.join('; ')}), and a switch would publish them
  nothing was moved; apply them or take them back in the control panel, and go on: verdigris retry; go back: verdigris rollback`,
  );
}

/** What runs live must be what ran when the plan was made. A program that has ended is no other program. */
async function confirmRuns(
  drivers: Drivers,
  service: Service,
  live: Color,
  planned: Plan['liveRuns'],
  patience: Patience,
): Promise<void> {
  const servers = await pMap(
    service.environments[live],
    (server) => look(drivers, service, server, patience),
    {
      concurrency: atOnce,
    },
  );
  const unreachable = servers.filter((seen) => seen.kind === 'unreachable');
  if (unreachable.length > mayBeLeftBehind(service.fleet, servers.length)) {
    throw new Failure('ServerUnreachable', unreachable.map(({ message }) => message).join('\n'));
  }
  const others = servers.flatMap((seen) => {
    if (seen.kind === 'unreachable') return [];
    const program = seen.facts.runningProgram;
    return program === undefined || program === planned[seen.server] ? [] : [seen.server];
  });
  if (others.length === 0) return;
  throw new Failure(
    'PlanDrifted',
    `Cannot go on with "${service.id}": ${others.join(', ')} runs another program than when the plan was made\n  look at it and deploy again: verdigris plan`,
  );
}

/** Throws Failure `EnvironmentHasTraffic` unless new traffic goes elsewhere. */
export async function confirmIdle(
  drivers: Drivers,
  service: Service,
  color: Color,
  patience: Patience,
  despiteTesters = false,
): Promise<void> {
  const {
    traffic,
    staged,
    backups = [],
    testersReach,
  } = await observeLoadBalancer(drivers, service, patience);
  const idle = traffic.kind === 'split' && traffic.split[color] === 0;
  if (!idle) {
    const found =
      traffic.kind === 'split' ? `sends ${describeSplit(traffic.split)}` : `is unclear (${traffic.detail})`;
    throw hasTraffic(color, `the load balancer ${found}`);
  }
  const standing = backups.filter((name) => service.environments[color].some((own) => own.name === name));
  if (standing.length > 0) {
    const others = otherColor(color);
    throw hasTraffic(color, `${standing.join(', ')} would get all traffic when ${others} is down`);
  }
  if (testersReach === color && !despiteTesters) throw hasTraffic(color, 'testers reach it');
  // With unpublished edits the API tells what is stored, not what runs: the world has to be asked.
  const answer = staged.length > 0 && (await answerOf(drivers, service, color, patience));
  if (answer) throw hasTraffic(color, answer);
}

/** Throws Failure `EnvironmentHasTraffic` unless the load balancer leaves this server out, and nothing is about to change that. */
export async function confirmLeftOut(
  drivers: Drivers,
  service: Service,
  server: ServerName,
  patience: Patience,
): Promise<void> {
  const { backends, staged } = await observeLoadBalancer(drivers, service, patience);
  const state = backends.find((backend) => backend.server === server)?.state ?? 'absent';
  if (state === 'inactive' && staged.length === 0) return;
  throw new Failure(
    'EnvironmentHasTraffic',
    `Cannot touch "${server}": it is live, and in the load balancer it is ${state}${staged.length > 0 ? ' with edits that are not published' : ''}, needs to be left out there`,
  );
}

const hasTraffic = (color: Color, found: string): Failure =>
  new Failure(
    'EnvironmentHasTraffic',
    `Cannot touch ${color}: ${found}, needs no traffic for ${color}\n  move the traffic away and go on: verdigris retry; or leave the rest to you: verdigris take-over`,
  );

/** Enough new connections to meet every instance of a load balancer that still sends some there. */
const questions = 10;

/** What a visitor meets of an environment that gets no traffic, in words, where answers can be told apart. */
async function answerOf(
  drivers: Drivers,
  service: Service,
  color: Color,
  patience: Patience,
): Promise<string | undefined> {
  const own = await identitiesOf(drivers, service, color, patience);
  if (own.length === 0) return undefined;
  const others = await identitiesOf(drivers, service, otherColor(color), patience);
  const question = identityQuestion(service);
  const addresses = publicAddressesOf(service);
  for (let asked = 0; asked < questions * addresses.length; asked++) {
    const { url, identify } = addresses[asked % addresses.length] ?? service.publicAddress;
    const identity = { path: identify.path, identityHeader: identify.header };
    const sample = await drivers.prober.ask(url, { ...question, ...identity }, patience);
    const { identity: name, instance } = sample.kind === 'answered' ? sample : {};
    if (name === undefined || !own.includes(name) || others.includes(name)) continue;
    return `${color} answers at ${url} ("${name}"${instance === undefined ? '' : ` through instance ${instance}`})`;
  }
  return undefined;
}

/** Anything else only keeps us from looking: a credential that expired says nothing of where the traffic goes. */
const isDrift = ({ failure }: Failure): boolean =>
  failure === 'TrafficMoved' || failure === 'LoadBalancerChanged' || failure === 'PlanDrifted';

/** Longer than anybody's turn lasts who only has to publish what is stored. */
const settlesWithinMs = 60_000;

/**
 * Looks at the load balancer. Edits that are stored and not published are looked at again once nobody who shares the load
 * balancer is about to publish them: then they are somebody's who does not queue.
 */
async function observeLoadBalancer(
  drivers: Drivers,
  service: Service,
  patience: Patience,
): Promise<LoadBalancerObservation> {
  const driver = await drivers.loadBalancer(service);
  const deadlineAtMs = Date.now() + settlesWithinMs;
  for (let quiet: string | undefined; ;) {
    const seen = await driver.observe(patience);
    if (seen.staged.length === 0 || Date.now() > deadlineAtMs) return seen;
    const states = await Promise.all(turnsOf(service).map(queueState));
    if (states.some(({ kind }) => kind === 'ours' || kind === 'unknown')) return seen;
    const now = states.map((state) => (state.kind === 'quiet' ? state.mark : undefined));
    const mark = now.includes(undefined) ? undefined : now.join(' ');
    if (mark !== undefined && mark === quiet) return seen;
    quiet = mark;
    patience.progress('another service is about to publish what is stored on the load balancer');
    if (mark === undefined) await pause(500);
  }
}

async function examine(
  drivers: Drivers,
  service: Service,
  { name: server, color }: Server,
  patience: Patience,
): Promise<ExaminedServer> {
  try {
    const facts = await drivers.server(service, server).examine(patience);
    return { kind: 'examined', server, color, facts };
  } catch (error) {
    if (error instanceof Failure) return { kind: 'not examined', server, color, message: error.message };
    throw error;
  }
}

async function look(
  drivers: Drivers,
  service: Service,
  server: Server,
  patience: Patience,
): Promise<ServerObservation> {
  const { name, color } = server;
  try {
    return {
      kind: 'reached',
      server: name,
      color,
      facts: await observeTwice(drivers, service, name, patience),
    };
  } catch (error) {
    if (error instanceof Failure) return { kind: 'unreachable', server: name, color, message: error.message };
    throw error;
  }
}

/** A link that breaks on the way says nothing of the next one, and nothing happens by looking twice. */
async function observeTwice(
  drivers: Drivers,
  service: Service,
  server: ServerName,
  patience: Patience,
): Promise<ServerFacts> {
  const driver = drivers.server(service, server);
  try {
    return await driver.observe(patience);
  } catch (error) {
    const broke = error instanceof Failure && error.failure === 'ServerUnreachable' && error.ambiguous;
    if (!broke) throw error;
    return driver.observe(patience);
  }
}
