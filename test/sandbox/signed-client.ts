import { request } from 'node:https';

import type { OvhApi } from '../../sandbox/ovh-api/ovh-api.js';
import { signatureOf } from '../../sandbox/ovh-api/signature.js';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
  readonly text: string;
}

/** What a call says instead of what a right one would. */
export interface Twist {
  readonly applicationKey?: string;
  readonly applicationSecret?: string;
  readonly consumerKey?: string;
  /** Seconds added to the timestamp. */
  readonly clockOffS?: number;
  readonly signWithoutPort?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly base?: string;
}

/** A plain client of the emulator that signs as documented and hides nothing. */
export function clientOf(api: OvhApi, now: () => number = Date.now) {
  const call = (method: string, path: string, body?: unknown, twist: Twist = {}): Promise<Answer> => {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const target = `${twist.base ?? '/1.0'}${path}`;
    return exchange(api, method, target, payload, signedHeaders(api, method, target, payload, twist, now()));
  };
  const expectOk = async (method: string, path: string, body?: unknown): Promise<Answer['body']> => {
    const answer = await call(method, path, body);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  };
  return {
    call,
    get: (path: string) => expectOk('GET', path),
    post: (path: string, body?: unknown) => expectOk('POST', path, body),
    put: (path: string, body?: unknown) => expectOk('PUT', path, body),
    delete: (path: string) => expectOk('DELETE', path),
    /** Without any signature. */
    plain: (method: string, target: string, payload = '', headers: Record<string, string> = {}) =>
      exchange(api, method, target, payload, headers),
  };
}

export type Client = ReturnType<typeof clientOf>;

/** Orders a refresh and waits for the end of its task. */
export async function refresh(client: Client, serviceName: string, body?: unknown): Promise<Answer['body']> {
  const { id } = await client.post(`/ipLoadbalancing/${serviceName}/refresh`, body);
  for (;;) {
    const task = await client.get(`/ipLoadbalancing/${serviceName}/task/${id}`);
    if (task.status !== 'todo' && task.status !== 'doing') return task;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function signedHeaders(
  { credentials, port }: OvhApi,
  method: string,
  target: string,
  payload: string,
  twist: Twist,
  nowMs: number,
): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000) + (twist.clockOffS ?? 0));
  const consumerKey = twist.consumerKey ?? credentials.consumerKey;
  return {
    'Content-Type': 'application/json',
    'X-Ovh-Application': twist.applicationKey ?? credentials.applicationKey,
    'X-Ovh-Consumer': consumerKey,
    'X-Ovh-Timestamp': timestamp,
    'X-Ovh-Signature': signatureOf({
      applicationSecret: twist.applicationSecret ?? credentials.applicationSecret,
      consumerKey,
      method,
      url: `https://127.0.0.1${twist.signWithoutPort ? '' : `:${port}`}${target}`,
      body: Buffer.from(payload),
      timestamp,
    }),
    ...twist.headers,
  };
}

function exchange(
  api: OvhApi,
  method: string,
  path: string,
  payload: string,
  headers: Record<string, string>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: api.port,
        ca: api.caPem,
        method,
        path,
        agent: false,
        headers: { ...headers, 'Content-Length': Buffer.byteLength(payload) },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const isJson = answer.headers['content-type']?.includes('json') === true && text !== '';
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text,
            body: isJson ? JSON.parse(text) : null,
          });
        });
      },
    );
    sent.on('error', reject);
    sent.end(payload);
  });
}
