import {
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { connect, type Socket } from 'node:net';

import type { Backend, Session } from './backend.js';
import { stickinessCookie, type Client, type Farm } from './farm.js';
import type { RunningFrontend } from './generation.js';
import { answerError, answerRedirect } from './own-answers.js';
import { proxyHeader } from './proxy-protocol.js';
import { cookieOf, routed } from './route.js';

/** How often a connection that did not come about is tried again, as HAProxy's `retries`. */
const retries = 3;

export interface ExchangeOptions {
  readonly instanceId: number;
  readonly connectTimeoutMs: number;
  /** Before a server that refused is asked again; another server is asked at once. */
  readonly retryDelayMs: number;
}

/** Answers one HTTP request: by a server of the farm that the frontend's routes choose, or by itself. */
export function exchange(
  request: IncomingMessage,
  response: ServerResponse,
  frontend: RunningFrontend | undefined,
  options: ExchangeOptions,
): void {
  // The head belongs to the server: nothing is added that it did not say.
  response.sendDate = false;
  if (frontend === undefined) return answerError(response, 503);

  const { configuration } = frontend;
  const source = addressOf(request.socket);
  if (!frontend.admits(source)) return answerError(response, 403);

  const action =
    configuration.routes.length === 0
      ? undefined
      : routed(configuration.routes, {
          source,
          method: request.method ?? '',
          uri: request.url ?? '',
          headers: request.headers,
        });
  if (action?.kind === 'reject') return answerError(response, action.status);
  if (action?.kind === 'redirect') return answerRedirect(request, response, action.location, action.status);

  const farm = action === undefined ? frontend.defaultFarm : frontend.farm(action.farmId);
  if (farm !== undefined) return new ProxiedExchange(request, response, frontend, farm, options).begin();
  if (configuration.redirectLocation === null) return answerError(response, 503);
  return answerRedirect(request, response, configuration.redirectLocation, 302);
}

class ProxiedExchange implements Session {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #farm: Farm;
  readonly #client: Client;
  readonly #options: ExchangeOptions;
  /** Sent again in full when a kept connection turns out to be dead: only what has no body and changes nothing. */
  readonly #isRepeatable: boolean;
  readonly #requestId: string;
  readonly #head: readonly string[];

  #backend: Backend | undefined;
  #upstream: ClientRequest | undefined;
  #tried: Set<Backend> | undefined;
  #retriesLeft = retries;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    frontend: RunningFrontend,
    farm: Farm,
    options: ExchangeOptions,
  ) {
    this.#request = request;
    this.#response = response;
    this.#farm = farm;
    this.#options = options;
    this.#isRepeatable = isRepeatable(request);
    this.#requestId = requestIdOf(request.socket);
    this.#client = {
      address: addressOf(request.socket),
      path: request.url ?? '',
      cookie:
        farm.configuration.stickiness === 'cookie'
          ? cookieOf(request.headers.cookie, stickinessCookie)
          : undefined,
    };
    this.#head = requestHead(request, this.#client.address, frontend.configuration.httpHeader);
  }

  begin(): void {
    this.#response.once('close', () => this.#end());
    this.#tryNext();
  }

  cut(): void {
    this.#response.destroy();
    this.#upstream?.destroy();
  }

  #end(): void {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    this.#leave();
    // A client that went away is gone for the server too; after a whole answer this closes nothing.
    if (!this.#response.writableFinished) this.#upstream?.destroy();
  }

  #tryNext(): void {
    const backend = this.#farm.choose(this.#client, this.#tried);
    if (backend === undefined) return answerError(this.#response, 503);
    this.#send(backend, { onKeptConnection: this.#isRepeatable });
  }

  #send(backend: Backend, { onKeptConnection }: { readonly onKeptConnection: boolean }): void {
    this.#join(backend);
    const upstream = this.#open(backend, onKeptConnection);
    this.#upstream = upstream;

    let connected = false;
    upstream.once('socket', (socket) => {
      const proceed = (): void => {
        connected = true;
        clearTimeout(timer);
        // Not before: what was read from the client cannot be given to another server.
        if (this.#isRepeatable) upstream.end();
        else this.#request.pipe(upstream);
      };
      const timer = socket.connecting
        ? setTimeout(() => socket.destroy(new Error('connect timeout')), this.#options.connectTimeoutMs)
        : undefined;
      if (socket.connecting) socket.once('connect', proceed).once('close', () => clearTimeout(timer));
      else proceed();
    });
    upstream.once('response', (answer) => this.#relay(backend, answer));
    upstream.on('error', () => {
      if (this.#closed || upstream !== this.#upstream || this.#response.headersSent) return;
      if (!connected) this.#refused(backend);
      else if (upstream.reusedSocket && this.#isRepeatable) this.#send(backend, { onKeptConnection: false });
      else answerError(this.#response, 502);
    });
  }

  #open(backend: Backend, onKeptConnection: boolean): ClientRequest {
    const { address, port, proxyProtocol } = backend.configuration;
    const wanted = {
      host: address,
      port,
      method: this.#request.method,
      path: this.#request.url,
      headers: this.#head,
    };
    // A kept connection may be dead without our knowing, and belongs to no client in particular.
    return onKeptConnection && proxyProtocol === null
      ? httpRequest({ ...wanted, agent: backend.pool })
      : httpRequest({ ...wanted, createConnection: () => this.#connect(backend) });
  }

  #connect(backend: Backend): Socket {
    const { address, port, proxyProtocol } = backend.configuration;
    const socket = connect({ host: address, port, noDelay: true });
    if (proxyProtocol !== null) {
      const { remotePort, localAddress, localPort } = this.#request.socket;
      const from = { address: this.#client.address, port: remotePort ?? 0 };
      socket.write(
        proxyHeader(proxyProtocol, { from, to: { address: localAddress ?? '', port: localPort ?? 0 } }),
      );
    }
    return socket;
  }

  /** Nothing was sent, so another server may have it: `option redispatch`. */
  #refused(backend: Backend): void {
    this.#leave();
    if (this.#retriesLeft-- === 0) return answerError(this.#response, 503);

    this.#tried = (this.#tried ?? new Set()).add(backend);
    if (this.#farm.choose(this.#client, this.#tried) !== undefined) return this.#tryNext();
    this.#tried = undefined;
    this.#retryTimer = setTimeout(() => this.#tryNext(), this.#options.retryDelayMs);
  }

  #relay(backend: Backend, answer: IncomingMessage): void {
    const response = this.#response;
    const head = withoutHopByHop(answer.rawHeaders, answer.headers.connection);
    head.push('X-IPLB-Request-Id', this.#requestId, 'X-IPLB-Instance', String(this.#options.instanceId));
    const cookie = this.#farm.cookieFor(backend, this.#client);
    if (cookie !== undefined) head.push('Set-Cookie', cookie);

    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, head);
    // A stream may have nothing to say for long: its head must not wait for it.
    if (answer.headers['content-length'] === undefined) response.flushHeaders();
    answer.once('error', () => response.destroy());
    answer.pipe(response);
  }

  #join(backend: Backend): void {
    this.#leave();
    this.#backend = backend;
    backend.sessions.add(this);
  }

  #leave(): void {
    this.#backend?.sessions.delete(this);
    this.#backend = undefined;
  }
}

function isRepeatable({ method, headers }: IncomingMessage): boolean {
  const changesNothing = method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
  const length = headers['content-length'];
  return (
    changesNothing && headers['transfer-encoding'] === undefined && (length === undefined || length === '0')
  );
}

function requestHead(request: IncomingMessage, client: string, added: readonly string[]): string[] {
  const head = withoutHopByHop(request.rawHeaders, request.headers.connection, ours);
  head.push('X-Forwarded-For', client, 'X-Forwarded-Proto', 'http');
  for (const line of added) {
    const [name = '', value = ''] = line.split(/:\s*(.*)/s);
    head.push(name, value.replaceAll('%ci', client).replaceAll('%cp', String(request.socket.remotePort)));
  }
  // Said, because without it Node would take the absence of a length for a body of unknown length.
  const hasBody =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
  if (!hasBody && request.method !== 'GET' && request.method !== 'HEAD') head.push('Content-Length', '0');
  return head;
}

const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'upgrade']);

const none: ReadonlySet<string> = new Set();
/** Set by the load balancer alone (`expect` is answered by it), whatever the client said. */
const ours = new Set(['x-forwarded-proto', 'expect']);

/** Header lines as received, without those that concern one connection only. */
function withoutHopByHop(
  rawHeaders: readonly string[],
  connection: string | undefined,
  others: ReadonlySet<string> = none,
): string[] {
  const named =
    connection === undefined || /^(?:keep-alive|close)$/i.test(connection) ? '' : connection.toLowerCase();
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    if (hopByHop.has(name) || others.has(name) || (named !== '' && named.split(/\s*,\s*/).includes(name)))
      continue;
    kept.push(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '');
  }
  return kept;
}

export function addressOf(socket: Socket): string {
  return (socket.remoteAddress ?? '').replace('::ffff:', '');
}

let counted = 0;

/** The provider's shape: client, address and port reached, time, running number, all in hexadecimal. */
function requestIdOf(socket: Socket): string {
  counted = (counted + 1) & 0xffff;
  const from = `${hexAddress(socket.remoteAddress)}:${hex(socket.remotePort ?? 0, 4)}`;
  const to = `${hexAddress(socket.localAddress)}:${hex(socket.localPort ?? 0, 4)}`;
  return `${from}_${to}_${hex(Math.floor(Date.now() / 1000), 8)}_${hex(counted, 4)}:${hex(process.pid & 0xffff, 4)}`;
}

const hexAddress = (address = ''): string =>
  address
    .replace('::ffff:', '')
    .split('.')
    .map((octet) => hex(Number(octet), 2))
    .join('');

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
