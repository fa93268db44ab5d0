import type { OvhPackageClient } from 'ovh';
import { through } from './agents.js';
import { broken, judged, withDeadline, type Answer, type Call } from './call.js';
import type { Carrier } from './own-call.js';
import { Exchange, observed } from './wire.js';

/**
 * One signed call through the npm package `ovh`. What it answered is read from the wire: the package takes every status
 * but 200 for an error, and forgets what the API said.
 */
export async function callThroughPackage(
  client: OvhPackageClient,
  { agents, time }: Carrier,
  call: Call,
): Promise<Answer> {
  const exchange = new Exchange();
  const { method, path } = call;
  const agent = method === 'GET' ? agents.reads : agents.writes;
  return withDeadline(call, exchange, time, () => {
    // The package deletes from the object that it is given.
    const params = { ...call.body };
    const sent = observed(exchange, () => through(agent, () => client.requestPromised(method, path, params)));
    return sent.then(
      () => judged(call, exchange),
      (reason: { readonly error?: unknown } | undefined) => {
        if (isStatusOrWords(reason?.error)) return judged(call, exchange);
        throw broken(call, exchange, reason?.error);
      },
    );
  });
}

/** A status, or the package's own words about a body that it could not parse: the wire knows more. */
const isStatusOrWords = (error: unknown): boolean =>
  (typeof error === 'number' && error > 0) || typeof error === 'string';
