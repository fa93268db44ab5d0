import * as http from 'node:http';
import * as https from 'node:https';
import { performance } from 'node:perf_hooks';
import type { HealthQuestion, Sample } from '../../domain/health.js';
import type { Tally, TrafficWindow } from '../../domain/traffic.js';
import type { Patience } from '../patience.js';
import type { ProbeTarget, RunningProber, TrafficProber } from './driver.js';
import { endingOf, exchange, type ExchangeEnd } from './exchange.js';
import { WindowBook, windowMs } from './window-book.js';

export interface HttpProberOptions {
  /** PEM certificates that are trusted instead of the system's, for public addresses with a private authority. */
  readonly ca?: string;
}

/** Asks over HTTP or HTTPS, from this process, and never sends a request twice. */
export const createHttpProber = ({ ca }: HttpProberOptions = {}): TrafficProber => ({
  start: (target, onWindow) => new HttpRun(target, ca, onWindow),
  ask: (url, question, patience) => ask(new URL(question.path, url), question, ca, patience),
});

/**
 * Requests leave by a schedule and not by the answers before them: a slot is due every `slotMs`, and a late timer sends all that
 * is due. Otherwise a service that stalls would be asked less just while it is bad (coordinated omission). Only a pause of this
 * process can keep a request from leaving when it is due, so that latency counts from when it left, and without such pauses.
 */
class HttpRun implements RunningProber {
  readonly #target: ProbeTarget;
  readonly #url: URL;
  readonly #slotMs: number;
  readonly #startedAtMs = performance.now();
  readonly #book: WindowBook;
  readonly #keptAlive: readonly Lane[];
  readonly #newEachTime: http.Agent;
  #timer: NodeJS.Timeout | undefined;
  #nextSlot = 0;
  #nextLane = 0;
  #pending = 0;
  #stopping: Promise<Tally> | undefined;
  #drained: () => void = () => undefined;

  constructor(
    target: ProbeTarget,
    ca: string | undefined,
    onWindow: (window: TrafficWindow, tally: Tally) => void,
  ) {
    this.#target = target;
    this.#url = new URL(target.path, target.url);
    this.#slotMs = 1000 / target.requestsPerSecond;
    this.#book = new WindowBook({
      startedAtMs: this.#startedAtMs,
      startedAtEpochMs: Date.now(),
      slotMs: this.#slotMs,
      onWindow,
    });
    this.#keptAlive = Array.from({ length: lanesFor(target) }, () => ({
      agent: agentFor(this.#url, ca, true),
      busy: false,
    }));
    this.#newEachTime = agentFor(this.#url, ca, false);
    this.#sendWhatIsDue();
  }

  stop(): Promise<Tally> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<Tally> {
    const stoppedAtMs = performance.now();
    clearTimeout(this.#timer);
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    this.#book.over(this.#windowOf(this.#nextSlot) + 1, performance.now());
    for (const { agent } of this.#keptAlive) agent.destroy();
    this.#newEachTime.destroy();
    return this.#book.tally(stoppedAtMs);
  }

  readonly #sendWhatIsDue = (): void => {
    const nowMs = performance.now();
    this.#skipWhatIsTooLate(nowMs);
    while (this.#dueAtMs(this.#nextSlot) <= nowMs) this.#send(this.#nextSlot++);
    this.#book.over(this.#windowOf(this.#nextSlot), nowMs);
    const waitMs = this.#dueAtMs(this.#nextSlot) - performance.now();
    this.#timer = setTimeout(this.#sendWhatIsDue, Math.ceil(waitMs));
  };

  /** After a pause of this process (a suspended machine) the past is unobserved: sending it all at once would be an attack. */
  #skipWhatIsTooLate(nowMs: number): void {
    if (nowMs - this.#dueAtMs(this.#nextSlot) <= tooLateMs) return;
    const current = Math.floor((nowMs - this.#startedAtMs) / this.#slotMs);
    this.#book.skipped(current - this.#nextSlot, nowMs);
    this.#nextSlot = current;
  }

  #send(slot: number): void {
    const window = this.#windowOf(slot);
    const lane = slot % 2 === 0 ? this.#freeLane() : undefined;
    const agent = lane?.agent ?? this.#newEachTime;
    this.#pending++;
    this.#book.sent(window);
    if (lane) lane.busy = true;
    const leftAtMs = performance.now();
    exchange({ url: this.#url, agent, timeoutMs: this.#target.timeoutMs }, (end, pausedMs) => {
      const nowMs = performance.now();
      if (lane) lane.busy = false;
      this.#book.ended(window, endingOf(end), nowMs - leftAtMs - pausedMs, nowMs);
      if (--this.#pending === 0) this.#drained();
    });
  }

  /** While all kept-alive connections wait for answers, a new one is used: the rate has to hold. */
  #freeLane(): Lane | undefined {
    const lanes = this.#keptAlive;
    for (let tried = 0; tried < lanes.length; tried++) {
      const lane = lanes[this.#nextLane++ % lanes.length];
      if (lane && !lane.busy) return lane;
    }
    return undefined;
  }

  #dueAtMs(slot: number): number {
    return this.#startedAtMs + slot * this.#slotMs;
  }

  #windowOf(slot: number): number {
    return Math.floor((slot * this.#slotMs) / windowMs);
  }
}

/** One kept-alive connection, used by one request at a time. */
interface Lane {
  readonly agent: http.Agent;
  busy: boolean;
}

const tooLateMs = 1000;

/** Enough connections to be spread over all of a load balancer's processes, each used several times a second. */
const lanesFor = ({ requestsPerSecond }: ProbeTarget): number =>
  Math.min(16, Math.max(1, Math.round(requestsPerSecond / 10)));

function agentFor(url: URL, ca: string | undefined, keepAlive: boolean): http.Agent {
  const options = { keepAlive, maxSockets: keepAlive ? 1 : Infinity };
  return url.protocol === 'https:'
    ? new https.Agent(ca === undefined ? options : { ...options, ca })
    : new http.Agent(options);
}

async function ask(
  url: URL,
  question: HealthQuestion,
  ca: string | undefined,
  { signal, progress }: Patience,
): Promise<Sample> {
  signal.throwIfAborted();
  const { timeoutMs, headers = {} } = question;
  const startedAtMs = performance.now();
  const agent = agentFor(url, ca, false);
  const timer = setInterval(() => progress(`waiting for ${url.host} to answer ${url.pathname}`), 1000);
  try {
    const { end, tookMs } = await new Promise<{ readonly end: ExchangeEnd; readonly tookMs: number }>(
      (resolve) =>
        exchange({ url, agent, timeoutMs, signal, headers }, (end, pausedMs) =>
          resolve({ end, tookMs: Math.round(performance.now() - startedAtMs - pausedMs) }),
        ),
    );
    signal.throwIfAborted();
    if (end.kind === 'unanswered') return { kind: 'silent', because: end.ending };
    const identity = question.identityHeader && end.headers[question.identityHeader.toLowerCase()];
    return {
      kind: 'answered',
      status: end.status,
      tookMs,
      ...(identity === undefined || identity === '' ? {} : { identity: [identity].flat().join(', ') }),
      ...instanceIn(end.headers),
    };
  } finally {
    clearInterval(timer);
    agent.destroy();
  }
}

/** OVHcloud's load balancers tell which of their processes has answered. */
function instanceIn(headers: http.IncomingHttpHeaders): { readonly instance?: string } {
  const instance = headers['x-iplb-instance'];
  return typeof instance === 'string' && /^\w{1,32}$/.test(instance) ? { instance } : {};
}
