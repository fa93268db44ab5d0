import { ActivityFailure, ApplicationFailure, TimeoutFailure, isCancellation } from '@temporalio/workflow';
import {
  asComplaint,
  isFailureName,
  failures,
  type Complaint,
  type FailureName,
} from '../domain/failures.js';

/** What went wrong, from whatever was thrown in a workflow. */
export function complaintOf(error: unknown): Complaint {
  if (error instanceof ActivityFailure) {
    const { cause } = error;
    if (cause instanceof TimeoutFailure) {
      return asComplaint(
        'Unexpected',
        `Cannot finish "${error.activityType}": ${cause.message} (no worker alive, or one that hangs)`,
      );
    }
    return complaintOf(cause ?? error.message);
  }
  if (error instanceof ApplicationFailure) {
    return asComplaint(isFailureName(error.type) ? error.type : 'Unexpected', error.message);
  }
  if (isCancellation(error)) return asComplaint('Cancelled', 'It was cancelled in Temporal');
  return asComplaint('Unexpected', error instanceof Error ? error.message : String(error));
}

/** Whether trying the same again may help by itself. */
export const isPassing = ({ failure }: Complaint): boolean =>
  failure === 'Unexpected' || failures[failure].transient;

/** The same, where there is time to wait for somebody who mends a machine or an account and tells nobody here. */
export const isMendable = (complaint: Complaint): boolean =>
  isPassing(complaint) || mendedElsewhere.has(complaint.failure);

const mendedElsewhere: ReadonlySet<FailureName | 'Unexpected'> = new Set([
  'SecretRefused',
  'DiskFull',
  'DiskReadOnly',
  'PortTaken',
  'ServerLoginRefused',
  'HelperOutdated',
  'PolicyRefused',
  'CredentialRefused',
]);

/** Whether a person has taken the run over: nothing more may be touched. */
export const isTakenOver = (error: unknown): boolean => complaintOf(error).failure === 'TakenOver';

/** A complaint as an error that a workflow can throw. */
export const asFailure = ({ failure, message }: Complaint): ApplicationFailure =>
  ApplicationFailure.nonRetryable(asComplaint(failure, message).message, failure);
