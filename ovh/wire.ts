import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { ClientRequest, IncomingMessage } from 'node:http';

/** An answer that came at once. Names of headers are in small letters. */
export interface Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What really went over the wire in one call. The npm package `ovh` tells its callers the status and one sentence only. */
export class Exchange {
  request: ClientRequest | undefined;
  response: Pick<IncomingMessage, 'statusCode' | 'headers'> | undefined;
  /** Called when the response ends before it is whole: the package never notices. */
  onCut: () => void = () => undefined;
  readonly #chunks: Buffer[] = [];

  get status(): number | undefined {
    return this.response?.statusCode;
  }

  /** The response's body as far as it came. */
  get body(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  header(name: string): string | undefined {
    const value = this.response?.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  hear({ status, headers, body }: Response): void {
    this.response = { statusCode: status, headers };
    this.#chunks.push(Buffer.from(body));
  }

  receive(response: IncomingMessage): void {
    this.response = response;
    response.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    response.once('close', () => {
      if (!response.complete) this.onCut();
    });
  }
}

const current = new AsyncLocalStorage<Exchange>();
const exchanges = new WeakMap<ClientRequest, Exchange>();
let observing = false;

/** Runs `call`, and lets `exchange` see the HTTP request that it makes. */
export function observed<Result>(exchange: Exchange, call: () => Result): Result {
  observe();
  return current.run(exchange, call);
}

function observe(): void {
  if (observing) return;
  observing = true;
  subscribe('http.client.request.start', (message) => {
    const exchange = current.getStore();
    if (!exchange) return;
    const { request } = message as { readonly request: ClientRequest };
    exchange.request = request;
    exchanges.set(request, exchange);
  });
  // Published when the head of a response has arrived, before anybody else hears of it.
  subscribe('http.client.response.finish', (message) => {
    const { request, response } = message as {
      readonly request: ClientRequest;
      readonly response: IncomingMessage;
    };
    exchanges.get(request)?.receive(response);
  });
}
