import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import type { Service } from '../../domain/service.js';
import { workflowIdOf } from '../../domain/names.js';
import { turnsOf, queue, type QueueInput, type TurnRequest } from '../../domain/turns.js';
import type { World } from './world.js';

/** What makes worlds believe that their load balancers are one and the same. */
export const sharedLoadBalancer = (): Pick<Service, 'loadBalancer'> => ({
  loadBalancer: { driver: 'in-memory', world: `shared-${randomUUID().slice(0, 8)}` },
});

type Place = Pick<World, 'client' | 'service' | 'taskQueue'>;

export const loadBalancerOf = ({ service }: Pick<Place, 'service'>): string => turnsOf(service)[0] ?? 'none';

/** Of the load balancer of a world: its run that is open, or the last one. */
export const queueOf = (world: Place): WorkflowHandle =>
  world.client.workflow.getHandle(queue.workflowId(loadBalancerOf(world)));

/** Takes the turn in the name of a service's run that is open, and keeps it until it is given back. */
export async function holdTurn(
  { client, service, taskQueue }: Place,
  input: Partial<QueueInput> = {},
): Promise<{ readonly id: string; giveBack(): Promise<void> }> {
  const { runId, workflowId } = await client.workflow.getHandle(workflowIdOf(service.id)).describe();
  const id = `${runId}/test`;
  const request: TurnRequest = { id, service: service.id, workflowId, runId, purpose: 'forward' };
  const handle = await client.workflow.signalWithStart(queue.workflowType, {
    workflowId: queue.workflowId(loadBalancerOf({ service })),
    taskQueue,
    args: [{ loadBalancer: loadBalancerOf({ service }), ...input }],
    signal: queue.ask,
    signalArgs: [request],
  });
  return { id, giveBack: () => client.workflow.getHandle(handle.workflowId).signal(queue.giveBack, id) };
}

export const untilItWaitsForItsTurn = (world: World) =>
  world.until(({ awaits }) => awaits?.startsWith('its turn') ?? false);
