import * as http from 'node:http';
import * as https from 'node:https';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

/** How one request ended, each word once. */
export type Ending =
  | 'good'
  /** A kept-alive connection was closed by the other side just as it was used, before any byte of the answer. */
  | 'idle closed'
  /** This machine was out of connections: says nothing about the service. */
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
  | { readonly kind: 'unanswered'; readonly ending: Exclude<Ending, 'good' | `HTTP ${number}`> };

export interface Exchange {
  readonly url: URL;
  /** Decides on connections. Node's agents never send a request twice. */
  readonly agent: http.Agent;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Sends one GET, once, reads the whole answer and calls `onEnd` exactly once. */
export function exchange(
  { url, agent, timeoutMs, signal }: Exchange,
  onEnd: (end: ExchangeEnd) => void,
): void {
  const startedAtMs = performance.now();
  let ended = false;
  let answerBegan = false;
  let bytesBefore = 0;

  const end = (how: ExchangeEnd) => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
    onEnd(how);
  };
  const unanswered = (ending: Exclude<Ending, 'good' | `HTTP ${number}`>) =>
    end({ kind: 'unanswered', ending });
  const broken = (error: NodeJS.ErrnoException) => {
    const word = wordFor(error);
    unanswered((word === 'cut' || word === 'reset') && wasIdle() ? 'idle closed' : word);
  };
  /** Later than a moment after sending, the other side had the request: then it is the service's failure. */
  const wasIdle = () =>
    request.reusedSocket && !answerBegan && !hasBytes() && performance.now() - startedAtMs < idleCloseMs;
  // TLS counts its own records as bytes; there only the head of an answer tells.
  const hasBytes = () => url.protocol === 'http:' && (request.socket?.bytesRead ?? 0) > bytesBefore;

  const send = url.protocol === 'https:' ? https.request : http.request;
  const request = send(url, { agent, headers: { 'user-agent': 'verdigris' } }, (response) => {
    answerBegan = true;
    response.on('end', () =>
      end({ kind: 'answered', status: response.statusCode ?? 0, headers: response.headers }),
    );
    response.on('error', broken);
    response.resume();
  });
  request.on('socket', (socket: Socket) => (bytesBefore = socket.bytesRead));
  request.on('error', broken);
  request.on('close', () => unanswered('cut'));

  const giveUp = () => {
    unanswered('timed out');
    request.destroy();
  };
  const timer = setTimeout(giveUp, timeoutMs);
  signal?.addEventListener('abort', giveUp);
  request.end();
}

/** 2xx and 3xx are good; a probed path that answers 404 is not served. */
export const endingOf = (end: ExchangeEnd): Ending =>
  end.kind === 'unanswered'
    ? end.ending
    : end.status >= 200 && end.status < 400
      ? 'good'
      : `HTTP ${end.status}`;

/** A close that crosses with a request arrives within a round trip. */
const idleCloseMs = 250;

function wordFor({ code = '', syscall }: NodeJS.ErrnoException): Exclude<Ending, 'good' | `HTTP ${number}`> {
  // Node names an orderly close in the middle of an exchange ECONNRESET too, but without a system call.
  if (code === 'ECONNRESET') return syscall === undefined ? 'cut' : 'reset';
  if (code.startsWith('HPE_')) return 'bad answer';
  return (
    words[code] ?? (/TLS|SSL|CERT|SELF_SIGNED|UNABLE_TO|EPROTO/.test(code) ? 'TLS refused' : 'other failure')
  );
}

const words: Readonly<Record<string, Exclude<Ending, 'good' | `HTTP ${number}`>>> = {
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
