import { getSystemErrorName } from 'node:util';
import { OvhError, saidBy, type OvhErrorFacts, type OvhMethod, type OvhTrouble } from './error.js';
import type { Time } from './time.js';
import type { Exchange } from './wire.js';

export interface Call {
  readonly method: OvhMethod;
  /** Below the endpoint's base path, with the query. */
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>> | undefined;
  /** Sent instead of `body`, as forms are. */
  readonly form?: URLSearchParams | undefined;
  /** When to give up, from now. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly queryId?: string | undefined;
}

/**
 * Runs `send` until it answers, the deadline passes, the answer breaks off or the caller gives up. The deadline is the
 * last word: the package never settles when an answer is cut in the middle or nobody speaks.
 */
export async function withDeadline(
  { method, path, deadlineMs, signal }: Call,
  exchange: Exchange,
  time: Time,
  send: () => PromiseLike<Answer>,
): Promise<Answer> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const giveUp = (reason: unknown): void => {
        reject(reason);
        exchange.request?.destroy();
      };
      const trouble = (trouble: OvhTrouble, message: string): OvhError =>
        new OvhError({ trouble, method, path: withoutQuery(path), message, ...seen(exchange) });
      time.sleep(deadlineMs, stop.signal).then(
        () => giveUp(trouble('late', `no answer within ${deadlineMs / 1_000} s`)),
        // It has ended in time.
        () => undefined,
      );
      signal?.addEventListener('abort', () => giveUp(signal.reason), { signal: stop.signal });
      exchange.onCut = () => giveUp(trouble('cut', 'the answer broke off'));
      send().then(resolve, reject);
    });
  } finally {
    stop.abort(ended);
  }
}

/** Nobody sees it; an error made for each call would cost more than the call. */
const ended = new Error('the call has ended');

/** The good answer that the wire shows, or the error that it is. */
export function judged(call: Call, exchange: Exchange): Answer {
  const { status, body } = exchange;
  if (status === undefined) throw failed(call, exchange, 'cut', 'the connection closed without an answer');
  const document = parsed(body);
  if (document === notJson) {
    throw failed(call, exchange, 'garbled', 'answered with something that is not JSON');
  }
  if (status < 200 || status > 299) {
    const said = saidBy(document);
    throw failed(call, exchange, 'refused', said.message ?? 'answered without a word', said);
  }
  return { status, body: document, queryId: exchange.header('x-ovh-queryid') };
}

/** The error of a connection that was never made or that broke. */
export function broken(call: Call, exchange: Exchange, cause: unknown): OvhError {
  const { code, words } = systemError(cause);
  const neverSent = unsent.has(code) || /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL/.test(code);
  return failed(call, exchange, neverSent ? 'unreachable' : 'cut', words);
}

const unsent: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
]);

export function failed(
  { method, path }: Pick<Call, 'method' | 'path'>,
  exchange: Exchange,
  trouble: OvhTrouble,
  message: string,
  said: Partial<Omit<OvhErrorFacts, 'message'>> = {},
): OvhError {
  return new OvhError({ ...said, trouble, method, path: withoutQuery(path), message, ...seen(exchange) });
}

const seen = (exchange: Exchange): Pick<OvhErrorFacts, 'status' | 'queryId' | 'retryAfterMs'> => ({
  status: exchange.status,
  queryId: exchange.header('x-ovh-queryid'),
  retryAfterMs: retryAfterMs(exchange.header('retry-after')),
});

const retryAfterMs = (header: string | undefined): number | undefined =>
  header !== undefined && /^\d+$/.test(header) ? Number(header) * 1_000 : undefined;

/** `errno` as the package hands it on, or a whole error. */
function systemError(cause: unknown): { readonly code: string; readonly words: string } {
  if (typeof cause === 'number' && cause < 0) {
    const code = getSystemErrorName(cause);
    return { code, words: code };
  }
  if (!(cause instanceof Error)) return { code: '', words: String(cause) };
  const code = 'code' in cause ? String(cause.code) : '';
  return { code, words: code === '' ? cause.message : `${cause.message} (${code})` };
}

const notJson: unique symbol = Symbol('not JSON');

function parsed(body: string): unknown {
  if (body === '') return null;
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return notJson;
  }
}

export const withoutQuery = (path: string): string => path.split('?', 1)[0] ?? path;
