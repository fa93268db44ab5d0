import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { Account } from './account.js';
import {
  ApiError,
  badRequest,
  errorBody,
  internalError,
  notFound,
  serviceExpired,
  tooManyRequests,
  type ErrorShape,
} from './api-error.js';
import { authenticate } from './authentication.js';
import type { DueFault, Faults, ForeignCall } from './faults.js';
import { withoutSecrets, type Journal, type JournalEntry } from './journal.js';
import { isObject, type Json, type JsonObject } from './json.js';
import type { Caller, Method, Resource } from './resource.js';
import { Routes } from './routes.js';

export interface FrontOptions {
  readonly clock: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Settles once what a call has changed would survive a restart. */
  readonly kept: () => Promise<void>;
  /** How far a caller's clock may be off. */
  readonly clockWindowMs: number;
  readonly errorShape: ErrorShape;
  /** What success is told with; 200 for everything in the real API so far. 204 comes without a body. */
  readonly successStatus: Readonly<Partial<Record<Method, number>>>;
}

/** Named by calls that the sandbox makes itself, past credentials and faults. Made anew with each start. */
export interface SomebodyElse {
  readonly header: string;
  readonly token: string;
  /** Makes one such call; rejects where it is refused. */
  readonly call: (call: ForeignCall) => Promise<Json>;
}

/** A call as it came over a wire. Names of headers are in small letters. */
export interface Incoming {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** Path and query exactly as sent. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

/** What a caller meets: an answer, half of one, a connection that is cut, or silence. */
export type Reaction =
  { readonly kind: 'answer' | 'half'; readonly answer: Answer } | { readonly kind: 'cut' | 'silence' };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Everything that happens to a call before and after its resource answers. */
export class Front {
  readonly #account: Account;
  readonly #faults: Faults;
  readonly #journal: Journal;
  readonly #options: FrontOptions;
  readonly #somebodyElse: SomebodyElse;
  readonly #routes = new Routes();
  #calls = 0;

  constructor(
    account: Account,
    faults: Faults,
    journal: Journal,
    options: FrontOptions,
    somebodyElse: SomebodyElse,
  ) {
    this.#account = account;
    this.#faults = faults;
    this.#journal = journal;
    this.#options = options;
    this.#somebodyElse = somebodyElse;
  }

  /** Serves `resources` below `prefix`. */
  mount(prefix: string, resources: readonly Resource[]): void {
    for (const resource of resources) this.#routes.add(prefix, resource);
  }

  /** Hears all calls of `app` that nobody else hears. */
  listen(app: FastifyInstance): void {
    app.setNotFoundHandler(async (request, reply) => perform(reply, await this.react(incomingOf(request))));
  }

  async react(incoming: Incoming): Promise<Reaction> {
    const queryId = this.#queryId();
    const [path = '', query] = incoming.target.split('?');
    const found = this.#routes.find(incoming.method, path);
    const prefix = found?.prefix ?? '';
    const entry = this.#open(incoming, incoming.target.slice(prefix.length), queryId);
    if (!found) {
      entry.status = 404;
      const body = errorBody(notFound('Got an invalid (or empty) URL'), this.#options.errorShape);
      return { kind: 'answer', answer: jsonAnswer(queryId, 404, body) };
    }
    const received = { ...found, incoming, path: path.slice(prefix.length), query };
    const faults = entry.by === 'client' ? this.#faults.happeningTo(incoming.method, received.path) : [];
    entry.faults = faults.map(({ action }) => action);
    return this.#reaction(received, faults, entry, queryId);
  }

  async #reaction(
    received: Received,
    faults: readonly DueFault[],
    entry: JournalEntry,
    queryId: string,
  ): Promise<Reaction> {
    const has = (action: DueFault['action']): boolean => faults.some((fault) => fault.action === action);
    const page = (status: 408 | 502): Reaction => {
      entry.status = status;
      return { kind: 'answer', answer: proxyPage(queryId, status) };
    };
    for (const fault of faults) if (fault.action === 'latency') await this.#options.wait(fault.latencyMs);
    await this.#meanwhile(faults, 'before');
    if (has('hang')) return { kind: 'silence' };
    if (has('drop-before')) return { kind: 'cut' };
    if (has('502-html')) return page(502);

    const { status, body, headers } = await this.#answer(received, faults, entry);
    if (received.incoming.method !== 'GET') await this.#options.kept();
    await this.#meanwhile(faults, 'after');
    if (has('408-html')) return page(408);
    if (has('drop-after')) return { kind: 'cut' };
    const answer = jsonAnswer(queryId, status, body, headers);
    if (has('cut-body')) return { kind: 'half', answer };
    entry.status = status;
    return { kind: 'answer', answer };
  }

  async #meanwhile(faults: readonly DueFault[], when: 'before' | 'after'): Promise<void> {
    for (const fault of faults) {
      if (fault.action !== 'foreign-editor' || fault.when !== when) continue;
      for (const call of fault.calls) await this.#somebodyElse.call(call);
    }
  }

  async #answer(received: Received, faults: readonly DueFault[], entry: JournalEntry): Promise<Told> {
    const { resource, parameters, incoming, query } = received;
    try {
      refuseByFault(faults);
      const skewMs = faults.reduce(
        (sum, fault) => sum + (fault.action === 'clock-skew' ? fault.skewMs : 0),
        0,
      );
      const now = this.#options.clock() + skewMs;
      const caller = this.#caller(received, faults, entry, now);
      const answer = await resource.answer({
        caller,
        parameters,
        query: new URLSearchParams(query),
        body: parsed(incoming.body),
        now,
      });
      return {
        status: this.#options.successStatus[resource.method] ?? 200,
        body: answer ?? null,
        headers: {},
      };
    } catch (error) {
      return this.#refusal(error, faults);
    }
  }

  #caller(
    { incoming, path, resource }: Received,
    faults: readonly DueFault[],
    entry: JournalEntry,
    now: number,
  ): Caller {
    if (entry.by === 'somebody else') return { kind: 'somebody else' };
    return authenticate(
      {
        ...incoming,
        host: incoming.headers['host']?.toString() ?? '',
        path,
        now,
        pretendExpired: faults.some(({ action }) => action === 'expired-credential'),
      },
      resource,
      this.#account,
      this.#options.clockWindowMs,
      (ok) => (entry.signatureOk = ok),
    );
  }

  #refusal(error: unknown, faults: readonly DueFault[]): Told {
    if (!(error instanceof ApiError)) process.emitWarning(error instanceof Error ? error : String(error));
    const refusal = error instanceof ApiError ? error : internalError('Internal server error');
    const limit = faults.find((fault) => fault.action === '429');
    const retryAfterS = limit?.action === '429' ? limit.retryAfterS : undefined;
    return {
      status: refusal.status,
      body: errorBody(refusal, this.#options.errorShape),
      headers: retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) },
    };
  }

  #open({ method, headers, body }: Incoming, path: string, queryId: string): JournalEntry {
    const { header, token } = this.#somebodyElse;
    return this.#journal.open({
      at: this.#options.clock(),
      method,
      path,
      body: withoutSecrets(readable(body)),
      queryId,
      by: headers[header] === token ? 'somebody else' : 'client',
      status: null,
      signatureOk: null,
      faults: [],
    });
  }

  #queryId(): string {
    return newQueryId(++this.#calls);
  }
}

/** A call, and who answers it. */
interface Received {
  readonly incoming: Incoming;
  readonly resource: Resource;
  readonly parameters: Readonly<Record<string, string>>;
  /** Without prefix and query. */
  readonly path: string;
  readonly query: string | undefined;
}

/** An answer before it is written down. */
interface Told {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

/** The provider's shape; support asks for it. */
const newQueryId = (number: number): string => {
  const random = randomUUID();
  return `EU.ext-1.${random.slice(0, 8)}.${number}.${random}`;
};

function refuseByFault(faults: readonly DueFault[]): void {
  for (const { action } of faults) {
    if (action === '429') throw tooManyRequests('Too many requests');
    if (action === '500') throw internalError('Internal server error');
    if (action === '460') throw serviceExpired('This service is expired');
  }
}

const jsonAnswer = (
  queryId: string,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer => ({
  status,
  headers: {
    'x-ovh-queryid': queryId,
    ...(status === 204 ? {} : { 'content-type': 'application/json; charset=utf-8' }),
    ...headers,
  },
  body: status === 204 ? '' : JSON.stringify(body),
});

const proxyPage = (queryId: string, status: 408 | 502): Answer => ({
  status,
  headers: { 'x-ovh-queryid': queryId, 'content-type': 'text/html' },
  body: `<html><body><h1>${status} ${STATUS_CODES[status]}</h1></body></html>\n`,
});

const incomingOf = ({ method, url, headers, body, raw }: FastifyRequest): Incoming => ({
  method,
  scheme: 'encrypted' in raw.socket ? 'https' : 'http',
  target: url,
  headers,
  body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
});

function perform(reply: FastifyReply, reaction: Reaction): FastifyReply {
  switch (reaction.kind) {
    case 'answer': {
      const { status, headers, body } = reaction.answer;
      return reply.code(status).headers(headers).send(body);
    }
    case 'half':
      return sendHalf(reply, reaction.answer);
    case 'cut':
      reply.hijack();
      reply.raw.destroy();
      return reply;
    case 'silence':
      return reply.hijack();
    default:
      return reaction satisfies never;
  }
}

/** Promises the whole answer, gives half, and goes. */
function sendHalf(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  const bytes = Buffer.from(body);
  reply.hijack();
  reply.raw.writeHead(status, { ...headers, 'Content-Length': bytes.length });
  reply.raw.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => reply.raw.destroy());
  return reply;
}

function parsed(bytes: Uint8Array): JsonObject {
  const value = bytes.length === 0 ? {} : readable(bytes);
  if (!isObject(value)) throw badRequest('Invalid JSON received');
  return value;
}

/** JSON where it is some, else null. */
function readable(bytes: Uint8Array): Json {
  try {
    return bytes.length === 0 ? null : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Json);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
