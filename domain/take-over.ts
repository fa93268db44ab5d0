import type { TakenOver } from './deployment.js';
import { asComplaint, type Complaint } from './failures.js';
import { shortId, type ServiceId } from './names.js';

/** Which run a person took over, and what they left undone: nobody knows what became of it until that is settled. */
export const describeTakeOver = (runId: string, { by, reason, undone }: TakenOver): string =>
  [
    `deployment ${shortId(runId)} was taken over by ${by}${reason ? ` (${reason})` : ''}, needs to be settled first`,
    ...undone.map((left) => `  left undone: ${left}`),
  ].join('\n');

/** Why nothing but a repair is let run. `left` is a take-over as it is described. */
export const asUnsettled = (
  action: string,
  service: ServiceId,
  left: string,
  repair = 'verdigris repair',
): Complaint => asComplaint('RepairNeeded', `Cannot ${action} "${service}": ${left}\n  settle it: ${repair}`);
