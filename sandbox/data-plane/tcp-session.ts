import { connect, type Socket } from 'node:net';

import type { Backend, Session } from './backend.js';
import type { Client, Farm } from './farm.js';
import type { RunningFrontend } from './generation.js';
import { addressOf, type ExchangeOptions } from './http-exchange.js';
import { proxyHeader } from './proxy-protocol.js';
import { routed } from './route.js';

const retries = 3;

/** Connects a TCP client to a server of the farm that the frontend's routes choose, or closes it. */
export function connectThrough(
  client: Socket,
  frontend: RunningFrontend | undefined,
  options: ExchangeOptions,
): void {
  const source = addressOf(client);
  client.on('error', () => client.destroy());
  if (frontend === undefined || !frontend.admits(source)) return void client.destroy();

  const action = routed(frontend.configuration.routes, { source });
  const farm = action?.kind === 'farm' ? frontend.farm(action.farmId) : frontend.defaultFarm;
  if (farm === undefined || action?.kind === 'reject') return void client.destroy();
  new TcpSession(client, farm, options).begin();
}

class TcpSession implements Session {
  readonly #socket: Socket;
  readonly #farm: Farm;
  readonly #client: Client;
  readonly #options: ExchangeOptions;
  #tried: Set<Backend> | undefined;
  #retriesLeft = retries;
  #retryTimer: NodeJS.Timeout | undefined;
  #upstream: Socket | undefined;
  #backend: Backend | undefined;

  constructor(socket: Socket, farm: Farm, options: ExchangeOptions) {
    this.#socket = socket;
    this.#farm = farm;
    this.#client = { address: addressOf(socket), path: '' };
    this.#options = options;
  }

  begin(): void {
    this.#socket.once('close', () => {
      clearTimeout(this.#retryTimer);
      this.#leave();
      this.#upstream?.destroy();
    });
    this.#tryNext();
  }

  cut(): void {
    this.#socket.destroy();
    this.#upstream?.destroy();
  }

  #tryNext(): void {
    const backend = this.#farm.choose(this.#client, this.#tried);
    if (backend === undefined) return void this.#socket.destroy();
    this.#join(backend);

    const { address, port, proxyProtocol } = backend.configuration;
    const upstream = connect({ host: address, port, noDelay: true, allowHalfOpen: true });
    this.#upstream = upstream;
    const timer = setTimeout(
      () => upstream.destroy(new Error('connect timeout')),
      this.#options.connectTimeoutMs,
    );
    let connected = false;

    upstream.once('connect', () => {
      connected = true;
      clearTimeout(timer);
      if (proxyProtocol !== null) upstream.write(proxyHeader(proxyProtocol, this.#endpoints()));
      // Half-closed either way stays half-closed: a client may end its question and wait for the answer.
      this.#socket.pipe(upstream);
      upstream.pipe(this.#socket);
    });
    upstream.on('error', () => {
      clearTimeout(timer);
      if (connected) this.#socket.destroy();
      else if (!this.#socket.destroyed) this.#refused(backend);
    });
  }

  #refused(backend: Backend): void {
    this.#leave();
    if (this.#retriesLeft-- === 0) return void this.#socket.destroy();

    this.#tried = (this.#tried ?? new Set()).add(backend);
    if (this.#farm.choose(this.#client, this.#tried) !== undefined) return this.#tryNext();
    this.#tried = undefined;
    this.#retryTimer = setTimeout(() => this.#tryNext(), this.#options.retryDelayMs);
  }

  #endpoints() {
    const { remotePort, localAddress, localPort } = this.#socket;
    return {
      from: { address: this.#client.address, port: remotePort ?? 0 },
      to: { address: localAddress ?? '', port: localPort ?? 0 },
    };
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
