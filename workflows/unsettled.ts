import { workflowInfo } from '@temporalio/workflow';
import type { Complaint } from '../domain/failures.js';
import { asUnsettled } from '../domain/take-over.js';
import { look } from './patience.js';
import type { Run } from './run.js';

/** What speaks against any run but a repair: a person took over, and nobody has settled since what they left. */
export async function complaintsUnsettled(
  { service }: Pick<Run, 'service'>,
  action: string,
): Promise<readonly Complaint[]> {
  const left = await look.unsettledTakeOver.executeWithOptions({ summary: 'was an earlier run taken over' }, [
    { workflowId: workflowInfo().workflowId },
  ]);
  return left === '' ? [] : [asUnsettled(action, service.id, left)];
}
