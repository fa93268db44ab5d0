import type { Line } from './access.js';
import type { Call } from './call.js';
import { targetAt } from './endpoint.js';
import { OvhError } from './error.js';
import { callDirectly } from './own-call.js';

/** The API's clock, in whole seconds since 1970. Anybody may ask. */
export async function serverTime(line: Line, signal: AbortSignal | undefined): Promise<number> {
  const { endpoint, deadlineMs, told } = line;
  const call: Call = { method: 'GET', path: '/auth/time', deadlineMs, signal };
  const destination = { ...endpoint, path: targetAt(endpoint, call.path) };
  const { status, queryId, body } = await told(call, () => callDirectly(destination, line, call));
  if (typeof body === 'number' && Number.isInteger(body) && body > 0) return body;
  const message = `answered ${JSON.stringify(body)} where a time is needed`;
  throw new OvhError({ trouble: 'garbled', method: 'GET', path: call.path, message, status, queryId });
}
