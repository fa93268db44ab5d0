import pMap from 'p-map';
import type { LoadBalancerObservation, Observation, ServerObservation } from '../domain/observation.js';
import { differences, oursOf, type Plan } from '../domain/plan.js';
import { serversOf, type Server, type Service } from '../domain/service.js';
import { Failure } from '../domain/failures.js';
import { otherColor, type Color } from '../domain/color.js';
import { allTo, describeSplit, sameSplit } from '../domain/split.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';
import { identitiesOf, identityQuestion } from './identity.js';
import { patiently, pause } from './patience.js';

/** Servers looked at side by side. */
const atOnce = 20;

export const createObservationActivities = (drivers: Drivers) => ({
  /** Looks at the load balancer and at every server. Reads only. A server that cannot be reached is part of the answer. */
  async observe(input: { readonly service: Service }): Promise<Observation> {
    return patiently(async (patience) => {
      const [loadBalancer, servers] = await Promise.all([
        observeLoadBalancer(drivers, input.service, patience),
        pMap(serversOf(input.service), (server) => look(drivers, input.service, server, patience), {
          concurrency: atOnce,
        }),
      ]);
      return { loadBalancer, servers };
    });
  },

  /**
   * Looks again just before a change: traffic must still go where the plan found it (or put it, with `live`), and the load
   * balancer's objects must be as planned. Reads only.
   * @returns digest by name of every object, ours or not: from it a change can tell later whose a stored edit is.
   */
  async confirm(input: Confirmation): Promise<Readonly<Record<string, string>>> {
    return patiently((patience) => confirm(drivers, input, patience));
  },

  /** Looks again and again, and ends by failing as soon as it is no longer as planned. Lasts until it is cancelled. */
  async watchLoadBalancer(input: Confirmation & { readonly everyMs: number }): Promise<never> {
    return patiently(async (patience) => {
      for (;;) {
        await pause(input.everyMs);
        await confirm(drivers, input, patience).catch((error: unknown) => {
          if (!isUnreachable(error)) throw error;
          patience.progress(`cannot look: ${(error as Failure).message}`);
        });
      }
    });
  },

  /** Fails with `EnvironmentHasTraffic` unless the environment gets none. Asked before each undo that changes a server. */
  async confirmIdle(input: { readonly service: Service; readonly color: Color }): Promise<void> {
    return patiently(async (patience) => {
      const { traffic, staged } = await observeLoadBalancer(drivers, input.service, patience);
      const idle = traffic.kind === 'split' && traffic.split[input.color] === 0;
      if (!idle) {
        const found =
          traffic.kind === 'split'
            ? `sends ${describeSplit(traffic.split)}`
            : `is unclear (${traffic.detail})`;
        throw hasTraffic(input.color, `the load balancer ${found}`);
      }
      // With unpublished edits the API tells what is stored, not what runs: the world has to be asked.
      if (staged.length > 0 && (await answersTheWorld(drivers, input.service, input.color, patience))) {
        throw hasTraffic(input.color, `it answers at ${input.service.publicAddress.url}`);
      }
    });
  },
});

export interface Confirmation {
  readonly service: Service;
  readonly plan: Pick<Plan, 'objects'>;
  /** Where all traffic has to be. */
  readonly live: Color;
}

async function confirm(
  drivers: Drivers,
  { service, plan, live }: Confirmation,
  patience: Patience,
): Promise<LoadBalancerObservation['objects']> {
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
  const changed = differences(plan.objects, oursOf({ loadBalancer, servers: [] }));
  if (changed.length > 0) {
    throw new Failure(
      'LoadBalancerChanged',
      `Cannot go on with "${service.id}": the load balancer was edited since the plan was made (${changed.join('; ')})\n  look at it and deploy again: verdigris plan`,
    );
  }
  return loadBalancer.objects;
}

const hasTraffic = (color: Color, found: string): Failure =>
  new Failure(
    'EnvironmentHasTraffic',
    `Cannot touch ${color}: ${found}, needs no traffic for ${color}\n  move the traffic away and go on: verdigris retry; or leave the rest to you: verdigris take-over`,
  );

/** Enough new connections to meet every instance of a load balancer that still sends some there. */
const questions = 10;

/** Whether visitors are answered by servers of this environment, where that can be told. */
async function answersTheWorld(
  drivers: Drivers,
  service: Service,
  color: Color,
  patience: Patience,
): Promise<boolean> {
  const { url } = service.publicAddress;
  const question = identityQuestion(service);
  const [own, others] = await Promise.all(
    [color, otherColor(color)].map((each) => identitiesOf(drivers, service, each, patience)),
  );
  for (let asked = 0; asked < questions; asked++) {
    const sample = await drivers.prober.ask(url, question, patience);
    const name = sample.kind === 'answered' ? sample.identity : undefined;
    if (name !== undefined && own?.includes(name) && !others?.includes(name)) return true;
  }
  return false;
}

const isUnreachable = (error: unknown): boolean =>
  error instanceof Failure &&
  (error.failure === 'LoadBalancerUnreachable' || error.failure === 'ServerUnreachable');

const observeLoadBalancer = async (
  drivers: Drivers,
  service: Service,
  patience: Patience,
): Promise<LoadBalancerObservation> => (await drivers.loadBalancer(service)).observe(patience);

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
      facts: await drivers.server(service, name).observe(patience),
    };
  } catch (error) {
    if (error instanceof Failure) return { kind: 'unreachable', server: name, color, message: error.message };
    throw error;
  }
}
