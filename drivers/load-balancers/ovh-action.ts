import { setMaxListeners } from 'node:events';
import { OvhError } from '../../ovh/error.js';
import type { Patience } from '../patience.js';
import { ovhFailure } from './ovh-failure.js';
import { tellingProgress } from './progress.js';

/** One action of a driver on the OVHcloud API: it tells how far it is, and an error of the API in words. `action` completes "Cannot ...". */
export async function acting<Result>(
  action: string,
  patience: Patience,
  work: (say: (what: string) => void) => Promise<Result>,
): Promise<Result> {
  patience.signal.throwIfAborted();
  // Many calls at once listen to it, and each stops when it ends.
  setMaxListeners(0, patience.signal);
  try {
    return await tellingProgress(patience, action, work);
  } catch (error) {
    throw error instanceof OvhError ? ovhFailure(error, action) : error;
  }
}
