import https from 'node:https';
import type { Agents } from './agents.js';
import { broken, judged, withDeadline, type Answer, type Call } from './call.js';
import type { Time } from './time.js';
import { Exchange, type Response } from './wire.js';

/** Where one call goes. `path` is whole, with base path and query. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/** What carries calls. */
export interface Carrier {
  readonly agents: Agents;
  readonly time: Time;
  readonly transport: Transport | undefined;
}

/** Takes one call to the API and brings its answer, without a network. Rejects where a connection would break. */
export type Transport = (request: Request) => Promise<Response>;

export interface Request extends Outgoing {
  readonly headers: Readonly<Record<string, string | number>>;
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
  { agents, time, transport }: Carrier,
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
  if (transport) {
    const request = { method, url: origin + path, body, headers };
    return withDeadline(call, exchange, time, () => carried(transport, request, call, exchange));
  }
  const agent = method === 'GET' ? agents.reads : agents.writes;
  return withDeadline(
    call,
    exchange,
    time,
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

async function carried(
  transport: Transport,
  request: Request,
  call: Call,
  exchange: Exchange,
): Promise<Answer> {
  try {
    exchange.hear(await transport(request));
  } catch (error) {
    throw broken(call, exchange, error);
  }
  return judged(call, exchange);
}

function contentOf({ body, form }: Call): { readonly body: string; readonly type: string } {
  if (form) return { body: form.toString(), type: 'application/x-www-form-urlencoded' };
  return { body: body ? JSON.stringify(body) : '', type: 'application/json' };
}
