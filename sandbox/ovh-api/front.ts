import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

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
import type { Fault, Faults } from './faults.js';
import { withoutSecrets, type Journal, type JournalEntry } from './journal.js';
import { isObject, type Json, type JsonObject } from './json.js';
import type { Caller, Method, Resource } from './resource.js';

export interface FrontOptions {
  readonly clock: () => number;
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
}

/** Everything that happens to a call before and after its resource answers. */
export class Front {
  readonly #account: Account;
  readonly #faults: Faults;
  readonly #journal: Journal;
  readonly #options: FrontOptions;
  readonly #somebodyElse: SomebodyElse;
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
  mount(app: FastifyInstance, prefix: string, resources: readonly Resource[]): void {
    for (const resource of resources) {
      app.route({
        method: resource.method,
        url: `${prefix}${resource.path}`,
        handler: (request, reply) => this.#serve(request, reply, prefix, resource),
      });
    }
  }

  /** Answers what no resource does. */
  refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const queryId = this.#queryId();
    this.#open(request, pathOf(request), queryId).status = 404;
    return this.#send(
      reply,
      queryId,
      404,
      errorBody(notFound('Got an invalid (or empty) URL'), this.#options.errorShape),
    );
  }

  async #serve(
    request: FastifyRequest,
    reply: FastifyReply,
    prefix: string,
    resource: Resource,
  ): Promise<FastifyReply> {
    const path = pathOf(request).slice(prefix.length);
    const queryId = this.#queryId();
    const entry = this.#open(request, request.url.slice(prefix.length), queryId);
    const faults = entry.by === 'client' ? this.#faults.happeningTo(request.method, path) : [];
    entry.faults = faults.map(({ action }) => action);
    const has = (action: Fault['action']): boolean => faults.some((fault) => fault.action === action);

    await late(faults);
    if (has('hang')) return reply.hijack();
    if (has('drop-before')) return cut(reply);
    if (has('502-html')) return this.#sendProxyPage(reply, queryId, entry);

    const { status, body, headers } = await this.#answer(request, path, resource, faults, entry);
    if (has('drop-after')) return cut(reply);
    if (has('cut-body')) return this.#sendHalf(reply, queryId, status, body);
    entry.status = status;
    return this.#send(reply.headers(headers), queryId, status, body);
  }

  async #answer(
    request: FastifyRequest,
    path: string,
    resource: Resource,
    faults: readonly Fault[],
    entry: JournalEntry,
  ): Promise<Answer> {
    try {
      refuseByFault(faults);
      const skewMs = faults.reduce(
        (sum, fault) => sum + (fault.action === 'clock-skew' ? fault.skewMs : 0),
        0,
      );
      const now = this.#options.clock() + skewMs;
      const caller = this.#caller(request, path, resource, faults, entry, now);
      const answer = await resource.answer({
        caller,
        parameters: request.params as Readonly<Record<string, string>>,
        query: new URLSearchParams(request.url.split('?')[1]),
        body: parsed(bytesOf(request)),
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
    request: FastifyRequest,
    path: string,
    resource: Resource,
    faults: readonly Fault[],
    entry: JournalEntry,
    now: number,
  ): Caller {
    if (entry.by === 'somebody else') return { kind: 'somebody else' };
    return authenticate(
      {
        method: request.method,
        host: request.headers.host ?? '',
        target: request.url,
        path,
        headers: request.headers,
        body: bytesOf(request),
        now,
        pretendExpired: faults.some(({ action }) => action === 'expired-credential'),
      },
      resource,
      this.#account,
      this.#options.clockWindowMs,
      (ok) => (entry.signatureOk = ok),
    );
  }

  #refusal(error: unknown, faults: readonly Fault[]): Answer {
    if (!(error instanceof ApiError)) process.emitWarning(error instanceof Error ? error : String(error));
    const refusal = error instanceof ApiError ? error : internalError('Internal server error');
    const limit = faults.find((fault) => fault.action === '429');
    const retryAfterS = limit?.action === '429' ? limit.retryAfterS : undefined;
    return {
      status: refusal.status,
      body: errorBody(refusal, this.#options.errorShape),
      headers: retryAfterS === undefined ? {} : { 'Retry-After': String(retryAfterS) },
    };
  }

  #send(reply: FastifyReply, queryId: string, status: number, body: unknown): FastifyReply {
    reply.code(status).header('X-Ovh-Queryid', queryId);
    if (status === 204) return reply.send();
    return reply.type('application/json; charset=utf-8').send(JSON.stringify(body));
  }

  #sendProxyPage(reply: FastifyReply, queryId: string, entry: JournalEntry): FastifyReply {
    entry.status = 502;
    const page =
      '<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid response.\n</body></html>\n';
    return reply.code(502).header('X-Ovh-Queryid', queryId).type('text/html').send(page);
  }

  /** Promises the whole answer, gives half, and goes. */
  #sendHalf(reply: FastifyReply, queryId: string, status: number, body: unknown): FastifyReply {
    const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
    reply.hijack();
    reply.raw.writeHead(status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': bytes.length,
      'X-Ovh-Queryid': queryId,
    });
    reply.raw.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => reply.raw.destroy());
    return reply;
  }

  #open(request: FastifyRequest, path: string, queryId: string): JournalEntry {
    const { header, token } = this.#somebodyElse;
    return this.#journal.open({
      at: this.#options.clock(),
      method: request.method,
      path,
      body: withoutSecrets(readable(bytesOf(request))),
      queryId,
      by: request.headers[header] === token ? 'somebody else' : 'client',
      status: null,
      signatureOk: null,
      faults: [],
    });
  }

  #queryId(): string {
    return newQueryId(++this.#calls);
  }
}

/** The provider's shape; support asks for it. */
const newQueryId = (number: number): string => {
  const random = randomBytes(16).toString('hex');
  const parts = [
    random.slice(0, 8),
    random.slice(8, 12),
    random.slice(12, 16),
    random.slice(16, 20),
    random.slice(20),
  ];
  return `EU.ext-1.${random.slice(0, 8)}.${number}.${parts.join('-')}`;
};

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

async function late(faults: readonly Fault[]): Promise<void> {
  for (const fault of faults) if (fault.action === 'latency') await sleep(fault.latencyMs);
}

function refuseByFault(faults: readonly Fault[]): void {
  for (const { action } of faults) {
    if (action === '429') throw tooManyRequests('Too many requests');
    if (action === '500') throw internalError('Internal server error');
    if (action === '460') throw serviceExpired('This service is expired');
  }
}

function cut(reply: FastifyReply): FastifyReply {
  reply.hijack();
  reply.raw.destroy();
  return reply;
}

const pathOf = ({ url }: FastifyRequest): string => url.split('?')[0] ?? '';

const bytesOf = ({ body }: FastifyRequest): Buffer => (Buffer.isBuffer(body) ? body : Buffer.alloc(0));

function parsed(bytes: Buffer): JsonObject {
  const value = bytes.length === 0 ? {} : readable(bytes);
  if (!isObject(value)) throw badRequest('Invalid JSON received');
  return value;
}

/** JSON where it is some, else null. */
function readable(bytes: Buffer): Json {
  try {
    return bytes.length === 0 ? null : (JSON.parse(bytes.toString('utf8')) as Json);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
