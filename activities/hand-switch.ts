import { Context } from '@temporalio/activity';
import type { HandSwitch } from '../domain/hand-switch.js';
import { workflowIdOf } from '../domain/names.js';
import type { Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';

/**
 * The last switch that a person made without Temporal, as far as this machine has it on record. None once a run of the service
 * has ended since: that one knew what it found, and what it left is told by its own history.
 */
export async function handSwitchSince(
  drivers: Pick<Drivers, 'handSwitch'>,
  service: Service,
  { signal }: Patience,
): Promise<HandSwitch | undefined> {
  const made = await drivers.handSwitch(service);
  if (!made) return undefined;
  const { client } = Context.current();
  const runs = client.workflow.list({
    query: `WorkflowId = "${workflowIdOf(service.id)}" AND ExecutionStatus = "Completed" AND CloseTime >= "${made.beganAt}"`,
    pageSize: 20,
  });
  for await (const run of runs) {
    signal.throwIfAborted();
    const { kind } = (await client.workflow.getHandle(run.workflowId, run.runId).result()) as Ended;
    if (kind !== 'refused') return undefined;
  }
  return made;
}

/** A refusal has moved nothing and settled nothing. */
interface Ended {
  readonly kind: string;
}
