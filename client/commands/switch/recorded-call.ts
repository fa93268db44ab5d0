import type { RecordedCall } from '../../../drivers/hand-switches.js';
import type { OvhCall } from '../../../ovh/api.js';

/** A call as the record keeps it: what support asks for, and no secret. */
export const describeCall = ({ method, path, sent, status, queryId, error }: OvhCall): RecordedCall => ({
  at: new Date().toISOString(),
  method,
  path,
  ...(sent === undefined ? {} : { sent }),
  ...(status === undefined ? {} : { status }),
  ...(queryId === undefined ? {} : { queryId }),
  ...(error === undefined ? {} : { error: error.message }),
});
