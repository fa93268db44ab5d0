import https from 'node:https';
import type { Agents } from './agents.js';
import { broken, judged, withDeadline, type Answer, type Call } from './call.js';
import type { OvhEndpoint } from './endpoint.js';
import { signatureOf } from './signature.js';
import { Exchange } from './wire.js';

export interface Signer {
  readonly applicationKey: string;
  readonly applicationSecret: string;
  readonly consumerKey: string;
  /** Seconds, by the server's clock. */
  readonly timestamp: number;
}

/** One call for what the npm package `ovh` cannot do: sign paths with `/auth`, write null. Unsigned without a `signer`. */
export async function callDirectly(
  endpoint: OvhEndpoint,
  agents: Agents,
  call: Call,
  signer?: Signer,
): Promise<Answer> {
  const exchange = new Exchange();
  const { host, port, basePath } = endpoint;
  const { method } = call;
  const path = basePath + call.path;
  const body = call.body ? JSON.stringify(call.body) : '';
  const origin = port === 443 ? `https://${host}` : `https://${host}:${port}`;
  const headers = {
    Accept: 'application/json',
    ...(body === '' ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
    ...(signer ? signed(method, origin + path, body, signer) : {}),
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

const signed = (method: string, url: string, body: string, signer: Signer): Record<string, string> => ({
  'X-Ovh-Application': signer.applicationKey,
  'X-Ovh-Consumer': signer.consumerKey,
  'X-Ovh-Timestamp': String(signer.timestamp),
  'X-Ovh-Signature': signatureOf({ method, url, body, timestamp: signer.timestamp }, signer),
});
