import type { Access, Line } from './access.js';
import { Agents } from './agents.js';
import { ApplicationAccess } from './application-access.js';
import { withoutQuery, type Answer, type Call } from './call.js';
import { ovhEndpoint } from './endpoint.js';
import { OvhError, type OvhMethod } from './error.js';
import { withoutSecrets } from './journal.js';
import { digestOf, fingerprintOf, revealed, type OvhKeys } from './keys.js';
import type { Transport } from './own-call.js';
import { politeRate, rateLimitOf, type Rate, type RateLimit } from './rate-limit.js';
import { serverTime } from './server-time.js';
import { ServiceAccountAccess } from './service-account-access.js';
import { realTime, type Time } from './time.js';

export type { OvhKeys } from './keys.js';

/**
 * The OVHcloud API as one credential may use it. Paths are below the base path, `/ipLoadbalancing/...`, or begin with
 * `/v2/`. Every method rejects with an `OvhError`, or with the signal's reason. Reads are tried again a few times; writes
 * never are, except when the API refused their timestamp or their token.
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
  /** Where a service account gets its tokens, when it is not where the endpoint's name tells. */
  readonly tokenUrl?: string;
  readonly keys: OvhKeys;
  /** Asked for the keys as they are now when the API refuses those that there were: somebody may have put others in place. */
  readonly renewKeys?: () => Promise<OvhKeys>;
  /** PEM certificates to trust beside the public ones, for an emulator. */
  readonly caFile?: string;
  /** Shared by all clients of one credential in this process. */
  readonly rate?: Rate;
  /** One attempt of a read; no further attempt is made after twice that time. */
  readonly readDeadlineMs?: number;
  readonly writeDeadlineMs?: number;
  readonly time?: Time;
  /** Carries calls instead of TLS and the npm package `ovh`, to an emulator in this process. */
  readonly transport?: Transport;
  /** Told after every call. */
  readonly onCall?: (call: OvhCall) => void;
}

/** One call as logs tell it. */
export interface OvhCall {
  readonly method: OvhMethod;
  readonly path: string;
  readonly tookMs: number;
  /** What a write carried, without secrets. */
  readonly sent?: unknown;
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

class Client implements OvhClient {
  readonly host: string;
  readonly #agents: Agents;
  readonly #time: Time;
  readonly #rate: Rate;
  readonly #renewKeys: (() => Promise<OvhKeys>) | undefined;
  readonly #line: Line;
  #credential: Credential;
  #renewal: Promise<boolean> | undefined;
  readonly #readDeadlineMs: number;
  readonly #writeDeadlineMs: number;
  readonly #onCall: (call: OvhCall) => void;

  constructor(options: OvhApiOptions) {
    const endpoint = ovhEndpoint(options.endpoint, options.tokenUrl);
    this.host = endpoint.host;
    this.#time = options.time ?? realTime;
    this.#agents = new Agents(options.caFile);
    this.#rate = options.rate ?? politeRate;
    this.#renewKeys = options.renewKeys;
    this.#readDeadlineMs = options.readDeadlineMs ?? 60_000;
    this.#writeDeadlineMs = options.writeDeadlineMs ?? 180_000;
    this.#onCall = options.onCall ?? (() => undefined);
    this.#line = {
      endpoint,
      agents: this.#agents,
      time: this.#time,
      transport: options.transport,
      deadlineMs: this.#readDeadlineMs,
      told: (call, act) => this.#told(call, act),
    };
    this.#credential = this.#credentialOf(options.keys);
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
    return this.#patiently(signal, async () => (await serverTime(this.#line, signal)) * 1_000);
  }

  close(): void {
    this.#agents.close();
  }

  async #read(path: string, signal: AbortSignal | undefined): Promise<unknown> {
    const call: Call = { method: 'GET', path, deadlineMs: this.#readDeadlineMs, signal };
    return this.#patiently(signal, () => this.#called(call));
  }

  async #write(
    method: OvhMethod,
    path: string,
    body: Body | undefined,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    return this.#called({ method, path, body, deadlineMs: this.#writeDeadlineMs, signal });
  }

  /** Repeats what changes nothing until it works, says no for good, or has taken twice as long as one call may. */
  async #patiently<Result>(signal: AbortSignal | undefined, act: () => Promise<Result>): Promise<Result> {
    const endMs = this.#time.nowMs() + 2 * this.#readDeadlineMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof OvhError) || !error.passing || attempt >= readAttempts) throw error;
        const backOffMs = error.retryAfterMs ?? firstBackOffMs * 2 ** (attempt - 1) * (0.5 + Math.random());
        if (this.#time.nowMs() + backOffMs > endMs || backOffMs > longestBackOffMs) throw error;
        await this.#time.sleep(backOffMs, signal);
      }
    }
  }

  #credentialOf(keys: OvhKeys): Credential {
    const shown = revealed(keys);
    const fingerprint = fingerprintOf(this.#line.endpoint, shown);
    return {
      digest: digestOf(shown),
      limit: rateLimitOf(fingerprint, this.#rate, this.#time),
      access:
        'clientId' in shown
          ? new ServiceAccountAccess(this.#line, shown)
          : new ApplicationAccess(this.#line, shown),
    };
  }

  /** One call; another one when the API refused what it was signed or carried with, and so has not carried it out. */
  async #called(call: Call): Promise<unknown> {
    refuseBraces(call.path);
    const used = this.#credential;
    try {
      return await this.#calledWith(used, call);
    } catch (error) {
      if (!(error instanceof OvhError) || !error.aboutCredential || !(await this.#renewed(used))) throw error;
      return this.#calledWith(this.#credential, call);
    }
  }

  async #calledWith({ access }: Credential, call: Call): Promise<unknown> {
    try {
      return (await access.call(call)).body;
    } catch (error) {
      if (!(error instanceof OvhError) || !access.forgets(error)) throw error;
      return (await access.call(call)).body;
    }
  }

  /** Whether there are other keys now than those that were used. Asked for once, however many calls were refused. */
  async #renewed(used: Credential): Promise<boolean> {
    if (this.#credential !== used) return true;
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined));
    return this.#renewal;
  }

  async #renew(): Promise<boolean> {
    if (!this.#renewKeys) return false;
    const renewed = this.#credentialOf(await this.#renewKeys());
    if (renewed.digest === this.#credential.digest) return false;
    this.#credential = renewed;
    return true;
  }

  async #told(call: Call, act: () => Promise<Answer>): Promise<Answer> {
    const { limit } = this.#credential;
    await limit.turn(call.signal);
    const startedAtMs = this.#time.nowMs();
    const tell = (how: Pick<OvhCall, 'status' | 'queryId' | 'error'>): void =>
      this.#onCall({
        method: call.method,
        path: withoutQuery(call.path),
        tookMs: this.#time.nowMs() - startedAtMs,
        ...(call.body ? { sent: withoutSecrets(call.body) } : {}),
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
          limit.backOff(Math.min(error.retryAfterMs ?? 1_000, longestBackOffMs));
        }
      }
      throw error;
    }
  }
}

/** The keys in use, with how they make calls and how fast. */
interface Credential {
  /** To tell them from others. */
  readonly digest: string;
  readonly limit: RateLimit;
  readonly access: Access;
}

/** The package would replace them from the body. */
function refuseBraces(path: string): void {
  if (/[{}]/.test(path)) throw new TypeError(`Cannot call "${path}": needs a path without braces`);
}
