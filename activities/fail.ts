import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { Failure, failures } from '../domain/failures.js';

export type Activity = (...input: never[]) => Promise<unknown>;

/**
 * Makes what activities throw into what Temporal understands: the failure's name as its type, and "is it tried again?"
 * answered by the table of failures alone.
 */
export function failingByName<T extends Record<string, Activity>>(activities: T): T {
  const wrapped = Object.entries(activities).map(([name, activity]) => [
    name,
    async (...input: never[]) => {
      try {
        return await activity(...input);
      } catch (error) {
        throw toTemporal(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

function toTemporal(error: unknown): unknown {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (error instanceof Failure) {
    return ApplicationFailure.create({
      type: error.failure,
      message: error.message,
      nonRetryable: !failures[error.failure].transient,
      ...(error.cause instanceof Error ? { cause: error.cause } : {}),
    });
  }
  return error;
}
