import * as http from 'node:http';
import * as https from 'node:https';
import type { Socket } from 'node:net';
import { AttentiveWait } from '../attention.js';

/** How one request ended, each word once. */
export type Ending =
  | 'good'
  /** A kept-alive connection was closed by the other side just as it was used, before any byte of the answer. */
  | 'idle closed'
  /** This machine was out of connections, or not at work when one was made: says nothing about the service. */
  | 'not sent'
  | FailureWord;

/** Why a request failed: the words that reports count by. */
export type FailureWord =
  | 'refused'
  | 'unreachable'
  | 'name not found'
  | 'TLS refused'
  | 'timed out'
  /** The connection was closed before the answer was whole. */
  | 'cut'
  /** The connection was broken off (TCP reset) before the answer was whole. */
  | 'reset'
  | `HTTP ${number}`
  /** What came was not HTTP. */
  | 'bad answer'
  | 'other failure';

export type ExchangeEnd =
  | { readonly kind: 'answered'; readonly status: number; readonly headers: http.IncomingHttpHeaders }
  | { readonly kind: 'unanswered'; readonly ending: Unanswered };

export interface Exchange {
  readonly url: URL;
  /** Decides on connections. Node's agents never send a request twice. */
  readonly agent: http.Agent;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Sends one GET, once, reads the whole answer and calls `onEnd` exactly once. `pausedMs` tells for how long this process was not at
 * work meanwhile, which is not the service's fault.
 */
export function exchange(what: Exchange, onEnd: (end: ExchangeEnd, pausedMs: number) => void): void {
  new OpenExchange(what, onEnd).send();
}

type Unanswered = Exclude<Ending, 'good' | `HTTP ${number}`>;

class OpenExchange {
  readonly #what: Exchange;
  readonly #onEnd: (end: ExchangeEnd, pausedMs: number) => void;
  readonly #request: http.ClientRequest;
  readonly #wait: AttentiveWait;
  #bytesBefore = 0;
  #answerBegan = false;
  #ended = false;

  constructor(what: Exchange, onEnd: (end: ExchangeEnd, pausedMs: number) => void) {
    this.#what = what;
    this.#onEnd = onEnd;
    const { url, agent, headers = {} } = what;
    const request = url.protocol === 'https:' ? https.request : http.request;
    this.#request = request(url, { agent, headers: { 'user-agent': 'verdigris', ...headers } });
    this.#wait = new AttentiveWait(what.timeoutMs, () => this.#giveUp());
  }

  send(): void {
    this.#request.on('socket', (socket: Socket) => (this.#bytesBefore = socket.bytesRead));
    this.#request.on('response', (response: http.IncomingMessage) => this.#read(response));
    this.#request.on('error', this.#broken);
    this.#request.on('close', () => this.#unanswered('cut'));
    this.#what.signal?.addEventListener('abort', this.#giveUp);
    this.#request.end();
  }

  #read(response: http.IncomingMessage): void {
    this.#answerBegan = true;
    const { statusCode: status = 0, headers } = response;
    response.on('end', () => this.#end({ kind: 'answered', status, headers }));
    response.on('error', this.#broken);
    response.resume();
  }

  #end(how: ExchangeEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#wait.end();
    this.#what.signal?.removeEventListener('abort', this.#giveUp);
    this.#onEnd(how, this.#wait.pausedMs);
  }

  #unanswered(ending: Unanswered): void {
    this.#end({ kind: 'unanswered', ending });
  }

  readonly #broken = (error: NodeJS.ErrnoException): void => {
    const word = wordFor(error);
    if ((word === 'cut' || word === 'reset') && this.#wasIdle()) this.#unanswered('idle closed');
    // Of several addresses each had a moment to connect in, and this process was not there to see it.
    else if (error instanceof AggregateError && this.#wait.pausedMs > 0) this.#unanswered('not sent');
    else this.#unanswered(word);
  };

  /** Some time after sending, the other side had the request: then a close is the service's failure. */
  #wasIdle(): boolean {
    const justSent = this.#wait.attendedMs < idleCloseMs;
    return this.#request.reusedSocket && !this.#answerBegan && !this.#hasBytes() && justSent;
  }

  /** TLS counts its own records as bytes; there only the head of an answer tells. */
  #hasBytes(): boolean {
    const { protocol } = this.#what.url;
    return protocol === 'http:' && (this.#request.socket?.bytesRead ?? 0) > this.#bytesBefore;
  }

  readonly #giveUp = (): void => {
    // By now its connection may carry another request.
    if (this.#ended) return;
    this.#unanswered('timed out');
    this.#request.destroy();
  };
}

/** 2xx and 3xx are good; a probed path that answers 404 is not served. */
export const endingOf = (end: ExchangeEnd): Ending =>
  end.kind === 'unanswered'
    ? end.ending
    : end.status >= 200 && end.status < 400
      ? 'good'
      : `HTTP ${end.status}`;

/** A close that crosses with a request arrives within a round trip; this leaves room for slow machines. */
const idleCloseMs = 1000;

function wordFor({ code = '', syscall }: NodeJS.ErrnoException): Unanswered {
  // Node names an orderly close in the middle of an exchange ECONNRESET too, but without a system call.
  if (code === 'ECONNRESET') return syscall === undefined ? 'cut' : 'reset';
  if (code.startsWith('HPE_')) return 'bad answer';
  return (
    words[code] ?? (/TLS|SSL|CERT|SELF_SIGNED|UNABLE_TO|EPROTO/.test(code) ? 'TLS refused' : 'other failure')
  );
}

const words: Readonly<Record<string, Unanswered>> = {
  ECONNREFUSED: 'refused',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ETIMEDOUT: 'timed out',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name not found',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EMFILE: 'not sent',
  ENFILE: 'not sent',
  EADDRNOTAVAIL: 'not sent',
  ENOBUFS: 'not sent',
  ENOMEM: 'not sent',
};
