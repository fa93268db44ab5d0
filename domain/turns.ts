import type { ServiceId } from './names.js';
import { loadBalancersOf, type LoadBalancerSettings, type Service } from './service.js';

/**
 * Services that share a load balancer change it one after the other: whoever publishes would publish what another one has
 * only stored so far. Each load balancer has a queue, a workflow that is open while somebody publishes or waits.
 */
export interface Turns {
  readonly holder?: Turn;
  /** In the order in which they get it. */
  readonly waiting: readonly TurnRequest[];
}

export interface TurnRequest {
  /** Of this request, unique among all runs. */
  readonly id: string;
  readonly service: ServiceId;
  /** The run that asks. When it is closed, its turn is over. */
  readonly workflowId: string;
  readonly runId: string;
  /** A way back goes first. */
  readonly purpose: 'forward' | 'rollback';
}

export interface Turn extends TurnRequest {
  /** Epoch milliseconds. */
  readonly since: number;
}

/** What the queue tells a run that has asked. */
export interface TurnNotice {
  /** Of the request. */
  readonly id: string;
  /** Who publishes; missing when it is this run's turn. */
  readonly behind?: Pick<Turn, 'service' | 'since'>;
}

export interface QueueInput {
  readonly loadBalancer: string;
  /** What an earlier run of the queue hands on. */
  readonly turns?: Turns;
  /** After so many turns a run hands on to a new one: histories have a limit. */
  readonly turnsPerRun?: number;
}

/** What activities and workflows call the queue and its messages. */
export const queue = {
  workflowType: 'loadBalancerQueue',
  workflowId: (loadBalancer: string): string => `verdigris/load-balancer/${loadBalancer}`,
  /** Signals to the queue, with a `TurnRequest` and with the id of one. */
  ask: 'ask',
  giveBack: 'give-back',
  /** The signal from the queue, with a `TurnNotice`. */
  notice: 'turn',
  /** Tells the `Turns`. */
  turns: 'turns',
} as const;

export const nobody: Turns = { waiting: [] };

/** Somebody asks, once more perhaps. What the same run has asked for before is over: its word of that was lost. */
export function asked(turns: Turns, request: TurnRequest): Turns {
  if (isKnown(turns, request.id)) return turns;
  const { holder, waiting } = without(turns, ({ runId }) => runId === request.runId);
  const goesBefore = (other: TurnRequest) => request.purpose === 'rollback' && other.purpose === 'forward';
  const before = waiting.filter((other) => !goesBefore(other));
  const after = waiting.filter(goesBefore);
  return { ...(holder ? { holder } : {}), waiting: [...before, request, ...after] };
}

/** A turn is over, or nobody waits for it any more. */
export const givenBack = (turns: Turns, requestId: string): Turns =>
  without(turns, ({ id }) => id === requestId);

/** The first in the queue gets its turn, unless somebody has it. */
export function passedOn(turns: Turns, nowMs: number): Turns {
  const [next, ...waiting] = turns.waiting;
  if (turns.holder || !next) return turns;
  return { holder: { ...next, since: nowMs }, waiting };
}

/** Whether what was sent is a request at all. */
export const isTurnRequest = (request: unknown): request is TurnRequest => {
  if (typeof request !== 'object' || request === null) return false;
  const { id, service, workflowId, runId } = request as Record<string, unknown>;
  return [id, service, workflowId, runId].every((member) => typeof member === 'string' && member !== '');
};

/** As Markdown, for the Temporal UI's page of the queue. */
export const describeTurns = (loadBalancer: string, { holder, waiting }: Turns): string =>
  [
    `## ${loadBalancer}`,
    holder
      ? `${holder.service} publishes since ${new Date(holder.since).toISOString()}${holder.purpose === 'rollback' ? ', on its way back' : ''}`
      : 'Nobody publishes',
    ...waiting.map(
      ({ service, purpose }, index) =>
        `${index + 1}. ${service} waits${purpose === 'rollback' ? ', on its way back' : ''}`,
    ),
  ].join('\n\n');

const isKnown = ({ holder, waiting }: Turns, requestId: string): boolean =>
  holder?.id === requestId || waiting.some(({ id }) => id === requestId);

function without({ holder, waiting }: Turns, isOver: (request: TurnRequest) => boolean): Turns {
  return {
    ...(holder && !isOver(holder) ? { holder } : {}),
    waiting: waiting.filter((request) => !isOver(request)),
  };
}

/** The load balancers whose turns a change of this service takes, in the order in which every service takes them. */
export const turnsOf = (service: Service): readonly string[] =>
  [...new Set(loadBalancersOf(service).map(idOf))].toSorted();

function idOf(settings: LoadBalancerSettings): string {
  switch (settings.driver) {
    case 'ovh-iplb':
      return settings.serviceName;
    case 'ovh-public-cloud':
      return settings.id;
    case 'in-memory':
      return `${settings.driver}-${settings.world}`;
    default:
      return settings satisfies never;
  }
}
