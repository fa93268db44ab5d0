import { performance } from 'node:perf_hooks';
import type { Sample } from '../../domain/health.js';
import { addTallies, emptyTally, type Tally, type TrafficWindow } from '../../domain/traffic.js';
import type { ProbeTarget, RunningProber, TrafficProber } from './driver.js';

/** What the world would see of a public address at this moment. */
export interface PublicBehaviour {
  /** Share of requests that fail, 0 to 1. */
  readonly errorRate: number;
  readonly latencyMs: number;
  /** What `ask` is answered with, and the word under which failed requests are counted. */
  readonly status: number;
  /** Given to `ask` where the question names an identity header. */
  readonly identity?: string;
  /** The process of the load balancer that `ask` meets. */
  readonly instance?: string;
  /** Why `ask` gets no answer at all; wins over `status`. */
  readonly silentBecause?: string;
}

/** What a request says of itself. */
type Headers = Readonly<Record<string, string>>;

/** The public address of a service that exists only in memory. Its properties may be set while a prober runs. */
export class InMemoryPublicAddress {
  errorRate = 0;
  latencyMs = 5;
  status = 200;
  identity: string | undefined;
  silentBecause: string | undefined;
  /** The URLs that were asked, or are probed. */
  readonly asked = new Set<string>();

  /** Called for every window and question; replace it to let each environment behave in its own way. */
  current: (headers: Headers) => Partial<PublicBehaviour> = () => ({});

  behaviour(headers: Headers = {}): PublicBehaviour {
    return {
      errorRate: this.errorRate,
      latencyMs: this.latencyMs,
      status: this.status,
      ...(this.identity === undefined ? {} : { identity: this.identity }),
      ...(this.silentBecause === undefined ? {} : { silentBecause: this.silentBecause }),
      ...this.current(headers),
    };
  }
}

export interface InMemoryProberOptions {
  /** How often a window is delivered. Each holds the requests of a whole second, however short it is. */
  readonly windowMs?: number;
}

/** A prober that reads its windows from `address`, for tests of what is decided from them. */
export const createInMemoryProber = (
  address: InMemoryPublicAddress,
  { windowMs = 1000 }: InMemoryProberOptions = {},
): TrafficProber => ({
  start(target, onWindow) {
    address.asked.add(target.url);
    return new InMemoryRun(address, target, windowMs, onWindow);
  },

  ask(url, question, patience) {
    if (patience.signal.aborted) return Promise.reject(patience.signal.reason as Error);
    address.asked.add(url);
    const { status, latencyMs, identity, instance, silentBecause } = address.behaviour(question.headers);
    const sample: Sample =
      silentBecause === undefined
        ? {
            kind: 'answered',
            status,
            tookMs: latencyMs,
            ...(question.identityHeader === undefined || identity === undefined ? {} : { identity }),
            ...(instance === undefined ? {} : { instance }),
          }
        : { kind: 'silent', because: silentBecause };
    return Promise.resolve(sample);
  },
});

class InMemoryRun implements RunningProber {
  readonly #address: InMemoryPublicAddress;
  readonly #target: ProbeTarget;
  readonly #windowMs: number;
  readonly #onWindow: (window: TrafficWindow, tally: Tally) => void;
  readonly #timer: NodeJS.Timeout;
  #windowBeganMs = performance.now();
  #tally = emptyTally;
  #gapMs = 0;
  /** What rounding left over, so that a share of 0.001 fails one request in a thousand. */
  #failedRemainder = 0;
  #stopped = false;

  constructor(
    address: InMemoryPublicAddress,
    target: ProbeTarget,
    windowMs: number,
    onWindow: (window: TrafficWindow, tally: Tally) => void,
  ) {
    this.#address = address;
    this.#target = target;
    this.#windowMs = windowMs;
    this.#onWindow = onWindow;
    this.#timer = setInterval(() => this.#close(1), windowMs);
  }

  stop(): Promise<Tally> {
    if (!this.#stopped) {
      this.#stopped = true;
      clearInterval(this.#timer);
      this.#close(Math.min(1, (performance.now() - this.#windowBeganMs) / this.#windowMs));
    }
    return Promise.resolve(this.#tally);
  }

  /** `share` is how much of the window's time has passed. */
  #close(share: number): void {
    const now = performance.now();
    const lastedMs = now - this.#windowBeganMs;
    this.#windowBeganMs = now;
    const sent = Math.round(this.#target.requestsPerSecond * share);
    const { errorRate, latencyMs, status } = this.#address.behaviour();
    const failed = this.#failedOf(sent, errorRate);
    this.#gapMs = failed < sent ? 0 : this.#gapMs + lastedMs;
    const window: TrafficWindow = {
      atMs: Date.now() - lastedMs,
      sent,
      failed,
      idleClosed: 0,
      p50Ms: latencyMs,
      p99Ms: latencyMs,
    };
    this.#tally = addTallies(this.#tally, {
      ...window,
      failures: failed === 0 ? {} : { [`HTTP ${status < 400 ? 503 : status}`]: failed },
      longestGapMs: this.#gapMs,
      observedMs: lastedMs,
      unobservedMs: 0,
    });
    this.#onWindow(window, this.#tally);
  }

  #failedOf(sent: number, errorRate: number): number {
    const exact = sent * errorRate + this.#failedRemainder;
    const failed = Math.min(sent, Math.floor(exact + 1e-9));
    this.#failedRemainder = exact - failed;
    return failed;
  }
}
