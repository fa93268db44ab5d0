import https from 'node:https';
import type { Agents } from './agents.js';
import { broken, judged, withDeadline, type Answer, type Call } from './call.js';
import { Exchange } from './wire.js';

/** Where one call goes. `path` is whole, with base path and query. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/** The bytes that are about to be sent; what a signature is over. */
export interface Outgoing {
  readonly method: string;
  /** Absolute, with the query exactly as it is sent. */
  readonly url: string;
  readonly body: string;
}

/** What one caller is recognised by, in the headers of a call. */
export type Authorization = (outgoing: Outgoing) => Readonly<Record<string, string>>;

export const nobody: Authorization = () => ({});

/**
 * One call for what the npm package `ovh` cannot do: sign paths with `/auth`, reach `/v2`, write null, carry a bearer
 * token, send a form.
 */
export async function callDirectly(
  { host, port, path }: Destination,
  agents: Agents,
  call: Call,
  authorization: Authorization = nobody,
): Promise<Answer> {
  const exchange = new Exchange();
  const { method } = call;
  const { body, type } = contentOf(call);
  const origin = port === 443 ? `https://${host}` : `https://${host}:${port}`;
  const headers = {
    Accept: 'application/json',
    ...(body === '' ? {} : { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }),
    ...authorization({ method, url: origin + path, body }),
  };
  const agent = method === 'GET' ? agents.reads : agents.writes;
  return withDeadline(
    call,
    exchange,
    () =>
      new Promise<Answer>((resolve, reject) => {
        const request = https.request({ host, port, path, method, headers, agent });
        exchange.request = request;
        request.on('error', (error) => reject(broken(call, exchange, error)));
        request.on('response', (response) => {
          exchange.receive(response);
          response.once('end', () => {
            try {
              resolve(judged(call, exchange));
            } catch (error) {
              reject(error as Error);
            }
          });
        });
        request.end(body);
      }),
  );
}

function contentOf({ body, form }: Call): { readonly body: string; readonly type: string } {
  if (form) return { body: form.toString(), type: 'application/x-www-form-urlencoded' };
  return { body: body ? JSON.stringify(body) : '', type: 'application/json' };
}
