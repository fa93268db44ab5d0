import { ActivityFailure, ApplicationFailure, TimeoutFailure, isCancellation } from '@temporalio/workflow';
import { isFailureName, failures, type Complaint } from '../domain/failures.js';

/** What went wrong, from whatever was thrown in a workflow. */
export function complaintOf(error: unknown): Complaint {
  if (error instanceof ActivityFailure) {
    const { cause } = error;
    if (cause instanceof TimeoutFailure) {
      return {
        failure: 'Unexpected',
        message: `Cannot finish "${error.activityType}": ${cause.message} (no worker alive, or one that hangs)`,
      };
    }
    return complaintOf(cause ?? error.message);
  }
  if (error instanceof ApplicationFailure) {
    return { failure: isFailureName(error.type) ? error.type : 'Unexpected', message: error.message };
  }
  if (isCancellation(error)) return { failure: 'Cancelled', message: 'It was cancelled in Temporal' };
  return { failure: 'Unexpected', message: error instanceof Error ? error.message : String(error) };
}

/** Whether trying the same again may help by itself. */
export const isPassing = ({ failure }: Complaint): boolean =>
  failure === 'Unexpected' || failures[failure].transient;

/** Whether a person has taken the run over: nothing more may be touched. */
export const isTakenOver = (error: unknown): boolean => complaintOf(error).failure === 'TakenOver';

/** A complaint as an error that a workflow can throw. */
export const asFailure = ({ failure, message }: Complaint): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, failure);
