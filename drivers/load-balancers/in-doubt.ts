import { Failure } from '../../domain/failures.js';

/** An error behind a change that was made: whatever it says of itself, that change may have taken effect. */
export const inDoubt = (error: unknown): unknown =>
  error instanceof Failure && !error.ambiguous
    ? new Failure(error.failure, error.message, { cause: error, ambiguous: true })
    : error;
