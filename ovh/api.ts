import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import ovh, { type OvhPackageClient } from 'ovh';
import type { Secret } from '../domain/secret.js';
import { Agents } from './agents.js';
import { withoutQuery, type Answer, type Call } from './call.js';
import { ovhEndpoint, type OvhEndpoint } from './endpoint.js';
import { OvhError, type OvhMethod } from './error.js';
import { callDirectly, type Signer } from './own-call.js';
import { callThroughPackage } from './package-call.js';
import { pause, politeRate, rateLimitOf, type Rate, type RateLimit } from './rate-limit.js';

/**
 * The OVHcloud API as one credential may use it. Paths are below the base path, `/ipLoadbalancing/...`. Every method
 * rejects with an `OvhError`, or with the signal's reason. Reads are tried again a few times; writes never are, except when
 * the API refused their timestamp.
 */
export interface OvhApi {
  /** For people: the host that is called. */
  readonly host: string;
  get(path: string, options?: { readonly query?: Query; readonly signal?: AbortSignal }): Promise<unknown>;
  put(path: string, body: Body, options?: { readonly signal?: AbortSignal }): Promise<unknown>;
  post(path: string, body?: Body, options?: { readonly signal?: AbortSignal }): Promise<unknown>;
  delete(path: string, options?: { readonly signal?: AbortSignal }): Promise<unknown>;
  /** The API's clock, in epoch milliseconds, exact to a second. */
  time(options?: { readonly signal?: AbortSignal }): Promise<number>;
}

export type Query = Readonly<Record<string, string | number>>;
/** Null clears a field; it is not the same as leaving it out. */
export type Body = Readonly<Record<string, unknown>>;

export interface OvhApiOptions {
  /** `ovh-eu`, `ovh-ca`, `ovh-us`, or a base URL such as `https://localhost:8443/1.0`. */
  readonly endpoint: string;
  readonly keys: OvhKeys;
  /** PEM certificates to trust beside the public ones, for an emulator. */
  readonly caFile?: string;
  /** Shared by all clients of one credential in this process. */
  readonly rate?: Rate;
  /** One attempt of a read; no further attempt is made after twice that time. */
  readonly readDeadlineMs?: number;
  readonly writeDeadlineMs?: number;
  /** Told after every call. */
  readonly onCall?: (call: OvhCall) => void;
}

export interface OvhKeys {
  readonly applicationKey: Secret;
  readonly applicationSecret: Secret;
  readonly consumerKey: Secret;
}

/** One call as logs tell it. */
export interface OvhCall {
  readonly method: OvhMethod;
  readonly path: string;
  readonly tookMs: number;
  readonly status?: number | undefined;
  readonly queryId?: string | undefined;
  readonly error?: OvhError;
}

/** A client with its own connections; `close` ends them. */
export interface OvhClient extends OvhApi {
  close(): void;
}

export const createOvhApi = (options: OvhApiOptions): OvhClient => new Client(options);

const readAttempts = 5;
const firstBackOffMs = 250;
const longestBackOffMs = 10_000;
/** A clock that steps while a worker lives must not make every later signature wrong. */
const resyncEveryMs = 10 * 60_000;

interface Clock {
  /** Server's time minus ours, in seconds. */
  readonly offset: number;
  readonly setAtMs: number;
  readonly client: OvhPackageClient;
}

class Client implements OvhClient {
  readonly host: string;
  readonly #endpoint: OvhEndpoint;
  readonly #keys: Omit<Signer, 'timestamp'>;
  readonly #agents: Agents;
  readonly #limit: RateLimit;
  readonly #readDeadlineMs: number;
  readonly #writeDeadlineMs: number;
  readonly #onCall: (call: OvhCall) => void;
  #clock: Promise<Clock> | undefined;

  constructor(options: OvhApiOptions) {
    this.#endpoint = ovhEndpoint(options.endpoint);
    this.host = this.#endpoint.host;
    this.#keys = {
      applicationKey: revealed('application key', options.keys.applicationKey),
      applicationSecret: revealed('application secret', options.keys.applicationSecret),
      consumerKey: revealed('consumer key', options.keys.consumerKey),
    };
    this.#agents = new Agents(options.caFile);
    this.#limit = rateLimitOf(this.#fingerprint(), options.rate ?? politeRate);
    this.#readDeadlineMs = options.readDeadlineMs ?? 60_000;
    this.#writeDeadlineMs = options.writeDeadlineMs ?? 180_000;
    this.#onCall = options.onCall ?? (() => undefined);
  }

  async get(
    path: string,
    options: { readonly query?: Query; readonly signal?: AbortSignal } = {},
  ): Promise<unknown> {
    const query = new URLSearchParams(
      Object.entries(options.query ?? {}).map(([name, value]): [string, string] => [name, String(value)]),
    ).toString();
    return this.#read(query === '' ? path : `${path}?${query}`, options.signal);
  }

  async put(path: string, body: Body, options: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
    return this.#write('PUT', path, body, options.signal);
  }

  async post(path: string, body?: Body, options: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
    return this.#write('POST', path, body, options.signal);
  }

  async delete(path: string, options: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
    return this.#write('DELETE', path, undefined, options.signal);
  }

  async time({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    return this.#patiently(signal, async () => (await this.#serverTime(signal)) * 1_000);
  }

  close(): void {
    this.#agents.close();
  }

  async #read(path: string, signal: AbortSignal | undefined): Promise<unknown> {
    const call: Call = { method: 'GET', path, deadlineMs: this.#readDeadlineMs, signal };
    return this.#patiently(signal, () => this.#signed(call));
  }

  async #write(
    method: OvhMethod,
    path: string,
    body: Body | undefined,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    return this.#signed({ method, path, body, deadlineMs: this.#writeDeadlineMs, signal });
  }

  /** Repeats what changes nothing until it works, says no for good, or has taken twice as long as one call may. */
  async #patiently<Result>(signal: AbortSignal | undefined, act: () => Promise<Result>): Promise<Result> {
    const endMs = performance.now() + 2 * this.#readDeadlineMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof OvhError) || !error.passing || attempt >= readAttempts) throw error;
        const backOffMs = error.retryAfterMs ?? firstBackOffMs * 2 ** (attempt - 1) * (0.5 + Math.random());
        if (performance.now() + backOffMs > endMs || backOffMs > longestBackOffMs) throw error;
        await pause(backOffMs, signal);
      }
    }
  }

  /** One signed call; a second one when the API doubts the time of the first, which it then has not carried out. */
  async #signed(call: Call): Promise<unknown> {
    refuseBraces(call.path);
    try {
      return await this.#attempt(call);
    } catch (error) {
      if (!(error instanceof OvhError) || !error.aboutTime) throw error;
      this.#clock = undefined;
      return this.#attempt(call);
    }
  }

  async #attempt(call: Call): Promise<unknown> {
    const clock = await this.#synced(call);
    const { body } = await this.#told(call, () =>
      needsOwnCall(call)
        ? callDirectly(this.#endpoint, this.#agents, call, {
            ...this.#keys,
            timestamp: Math.round(Date.now() / 1_000) + clock.offset,
          })
        : callThroughPackage(clock.client, this.#agents, call),
    );
    return body;
  }

  async #synced({ method, path, signal }: Call): Promise<Clock> {
    const known = this.#clock ? await this.#clock.catch(() => undefined) : undefined;
    if (known && performance.now() - known.setAtMs < resyncEveryMs) return known;
    const sync = this.#sync(signal);
    this.#clock = sync;
    try {
      return await sync;
    } catch (error) {
      if (this.#clock === sync) this.#clock = undefined;
      if (!(error instanceof OvhError)) throw error;
      throw new OvhError({
        trouble: 'clock',
        method,
        path: withoutQuery(path),
        message: `the API's time could not be read (${error.message})`,
        cause: error,
      });
    }
  }

  async #sync(signal: AbortSignal | undefined): Promise<Clock> {
    const seconds = await this.#serverTime(signal);
    const offset = seconds - Math.round(Date.now() / 1_000);
    const { host, port, basePath } = this.#endpoint;
    const { applicationKey, applicationSecret, consumerKey } = this.#keys;
    const client = ovh({
      appKey: applicationKey,
      appSecret: applicationSecret,
      consumerKey,
      host,
      port,
      basePath,
    });
    // Not given to the constructor: it takes 0 for unknown.
    client.apiTimeDiff = offset;
    return { offset, setAtMs: performance.now(), client };
  }

  async #serverTime(signal: AbortSignal | undefined): Promise<number> {
    const call: Call = { method: 'GET', path: '/auth/time', deadlineMs: this.#readDeadlineMs, signal };
    const { status, queryId, body } = await this.#told(call, () =>
      callDirectly(this.#endpoint, this.#agents, call),
    );
    if (typeof body === 'number' && Number.isInteger(body) && body > 0) return body;
    const message = `answered ${JSON.stringify(body)} where a time is needed`;
    throw new OvhError({ trouble: 'garbled', method: 'GET', path: call.path, message, status, queryId });
  }

  async #told(call: Call, act: () => Promise<Answer>): Promise<Answer> {
    await this.#limit.turn(call.signal);
    const startedAtMs = performance.now();
    const tell = (how: Pick<OvhCall, 'status' | 'queryId' | 'error'>): void =>
      this.#onCall({
        method: call.method,
        path: withoutQuery(call.path),
        tookMs: performance.now() - startedAtMs,
        ...how,
      });
    try {
      const answer = await act();
      tell({ status: answer.status, queryId: answer.queryId });
      return answer;
    } catch (error) {
      if (error instanceof OvhError) {
        tell({ status: error.status, queryId: error.queryId, error });
        if (error.status === 429) {
          this.#limit.backOff(Math.min(error.retryAfterMs ?? 1_000, longestBackOffMs));
        }
      }
      throw error;
    }
  }

  #fingerprint(): string {
    const { applicationKey, consumerKey } = this.#keys;
    return createHash('sha256')
      .update([this.host, this.#endpoint.port, applicationKey, consumerKey].join('+'))
      .digest('hex');
  }
}

/** The package leaves every path with `/auth` unsigned, and drops null from what it sends. */
const needsOwnCall = ({ path, body }: Call): boolean =>
  path.includes('/auth') || Object.values(body ?? {}).includes(null);

/** The package would replace them from the body. */
function refuseBraces(path: string): void {
  if (/[{}]/.test(path)) throw new TypeError(`Cannot call "${path}": needs a path without braces`);
}

/** A key with a stray byte makes a signature that the API calls invalid without saying why. */
function revealed(what: string, secret: Secret): string {
  const value = secret.reveal();
  if (!/^[A-Za-z0-9_-]+$/.test(value)) {
    throw new TypeError(
      `Cannot use the ${what}: it is empty or holds white space, quotes or other signs, needs letters and digits only`,
    );
  }
  return value;
}
