import { z } from 'zod';
import type { Access, Line } from './access.js';
import { withoutQuery, type Answer, type Call } from './call.js';
import { targetAt } from './endpoint.js';
import { OvhError } from './error.js';
import { callDirectly } from './own-call.js';

export interface ServiceAccountKeys {
  readonly clientId: string;
  readonly clientSecret: string;
}

const Granted = z.looseObject({ access_token: z.string().min(1), expires_in: z.number().positive() });

interface Token {
  readonly value: string;
  /** From then on another one is fetched; this one is still good for a while. */
  readonly staleAtMs: number;
}

/** A token is renewed when this much of its life is over, so that none expires on the way. */
const renewedAfter = 0.8;

/** Carries the token of a service account (OAuth2, client credentials). Nothing is signed, so no clock matters. */
export class ServiceAccountAccess implements Access {
  readonly #line: Line;
  readonly #keys: ServiceAccountKeys;
  #token: Promise<Token> | undefined;

  constructor(line: Line, keys: ServiceAccountKeys) {
    this.#line = line;
    this.#keys = keys;
  }

  async call(call: Call): Promise<Answer> {
    const { endpoint, told } = this.#line;
    const { value } = await this.#current(call);
    const destination = { ...endpoint, path: targetAt(endpoint, call.path) };
    return told(call, () =>
      callDirectly(destination, this.#line, call, () => ({ Authorization: `Bearer ${value}` })),
    );
  }

  forgets({ status }: OvhError): boolean {
    if (status === 401) this.#token = undefined;
    return status === 401;
  }

  async #current(call: Call): Promise<Token> {
    // Of all who find it stale one fetches another.
    for (let held = this.#token; held; held = this.#token) {
      const known = await held.catch(() => undefined);
      if (known && this.#line.time.nowMs() < known.staleAtMs) return known;
      if (this.#token === held) break;
    }
    const fetched = this.#fetched(call.signal);
    this.#token = fetched;
    try {
      return await fetched;
    } catch (error) {
      if (this.#token === fetched) this.#token = undefined;
      throw error instanceof OvhError ? neverSent(call, error) : error;
    }
  }

  async #fetched(signal: AbortSignal | undefined): Promise<Token> {
    const { endpoint, time, deadlineMs, told } = this.#line;
    const { hostname, port, pathname } = endpoint.tokenUrl;
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: this.#keys.clientId,
      client_secret: this.#keys.clientSecret,
      // Without it the answer is `invalid_scope`.
      scope: 'all',
    });
    const call: Call = { method: 'POST', path: pathname, form, deadlineMs, signal };
    const destination = { host: hostname, port: port === '' ? 443 : Number(port), path: pathname };
    const askedAtMs = time.nowMs();
    const { status, queryId, body } = await told(call, () => callDirectly(destination, this.#line, call));
    const granted = Granted.safeParse(body);
    if (granted.success) {
      const { access_token: value, expires_in: seconds } = granted.data;
      return { value, staleAtMs: askedAtMs + seconds * 1_000 * renewedAfter };
    }
    const message = 'answered something in which there is no token';
    throw new OvhError({ trouble: 'garbled', method: 'POST', path: pathname, message, status, queryId });
  }
}

/** Without a token the call itself was not made, so there is no doubt about it. */
function neverSent({ method, path }: Call, error: OvhError): OvhError {
  const { trouble, status, errorCode, queryId, retryAfterMs, message } = error;
  return new OvhError({
    trouble: trouble === 'refused' && !error.passing ? 'refused' : 'token',
    method,
    path: withoutQuery(path),
    message: `the service account got no token (${message})`,
    ...(trouble === 'refused' ? { status, errorCode: errorCode ?? 'NO_TOKEN', queryId, retryAfterMs } : {}),
    cause: error,
  });
}
