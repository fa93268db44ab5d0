import { build, type Histogram } from 'hdr-histogram-js';
import type { Tally, TrafficWindow } from '../../domain/traffic.js';
import type { Ending } from './exchange.js';

export const windowMs = 1000;

interface BookOptions {
  readonly startedAtMs: number;
  readonly startedAtEpochMs: number;
  /** The time that one request stands for. */
  readonly slotMs: number;
  readonly onWindow: (window: TrafficWindow, tally: Tally) => void;
}

/**
 * Sums up requests by the second in which they were due; hands windows out in order, each once all its requests have
 * ended. Knows no clock: all times are given, in milliseconds of one monotonic clock.
 */
export class WindowBook {
  readonly #options: BookOptions;
  readonly #open = new Map<number, OpenWindow>();
  readonly #failures: Record<string, number> = {};
  readonly #latenciesUs = histogram();
  #sum = { sent: 0, failed: 0, idleClosed: 0, observedMs: 0, unobservedMs: 0 };
  #lastGoodAtMs: number;
  #longestGapMs = 0;
  #nextToClose = 0;
  #overBelow = 0;

  constructor(options: BookOptions) {
    this.#options = options;
    this.#lastGoodAtMs = options.startedAtMs;
  }

  /** A request of this window is on its way. */
  sent(window: number): void {
    const entry = this.#windowOf(window);
    entry.sent++;
    entry.pending++;
  }

  ended(window: number, ending: Ending, latencyMs: number, nowMs: number): void {
    const entry = this.#windowOf(window);
    entry.pending--;
    this.#count(entry, ending, nowMs);
    // What was refused at once would flatter the percentiles; what timed out took at least that long.
    if (ending === 'good' || ending === 'timed out') entry.latenciesUs.recordValue(microseconds(latencyMs));
    this.#closeWhatIsComplete(nowMs);
  }

  /** Nobody could watch until `nowMs`; what of a gap lies in there is not the service's. */
  skipped(slots: number, nowMs: number): void {
    const skippedMs = slots * this.#options.slotMs;
    this.#sum.unobservedMs += skippedMs;
    this.#lastGoodAtMs = Math.min(nowMs, this.#lastGoodAtMs + skippedMs);
  }

  /** Nothing more will be sent in windows below `window`. */
  over(window: number, nowMs: number): void {
    this.#overBelow = Math.max(this.#overBelow, window);
    this.#closeWhatIsComplete(nowMs);
  }

  /** What was seen until `nowMs`, in the windows that are closed. A gap counts while it still lasts. */
  tally(nowMs: number): Tally {
    return {
      ...this.#sum,
      failures: { ...this.#failures },
      longestGapMs: rounded(Math.max(this.#longestGapMs, nowMs - this.#lastGoodAtMs)),
      p50Ms: percentile(this.#latenciesUs, 50),
      p99Ms: percentile(this.#latenciesUs, 99),
    };
  }

  #count(entry: OpenWindow, ending: Ending, nowMs: number): void {
    switch (ending) {
      case 'good':
        this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastGoodAtMs);
        this.#lastGoodAtMs = nowMs;
        return;
      case 'idle closed':
        entry.idleClosed++;
        return;
      case 'not sent':
        entry.sent--;
        entry.notSent++;
        return;
      default:
        entry.failures.push(ending);
    }
  }

  #windowOf(number: number): OpenWindow {
    const known = this.#open.get(number);
    if (known) return known;
    const opened: OpenWindow = {
      latenciesUs: histogram(),
      failures: [],
      sent: 0,
      idleClosed: 0,
      notSent: 0,
      pending: 0,
    };
    this.#open.set(number, opened);
    return opened;
  }

  #closeWhatIsComplete(nowMs: number): void {
    for (; this.#nextToClose < this.#overBelow; this.#nextToClose++) {
      const window = this.#open.get(this.#nextToClose);
      if (window === undefined) continue;
      if (window.pending > 0) return;
      this.#close(this.#nextToClose, window, nowMs);
    }
  }

  #close(number: number, window: OpenWindow, nowMs: number): void {
    const { slotMs, startedAtEpochMs, onWindow } = this.#options;
    const { sent, idleClosed, notSent, latenciesUs } = window;
    const failed = window.failures.length;
    this.#open.delete(number);
    this.#latenciesUs.add(latenciesUs);
    for (const word of window.failures) this.#failures[word] = (this.#failures[word] ?? 0) + 1;
    this.#sum.sent += sent;
    this.#sum.failed += failed;
    this.#sum.idleClosed += idleClosed;
    this.#sum.observedMs += sent * slotMs;
    this.#sum.unobservedMs += notSent * slotMs;
    const p50Ms = percentile(latenciesUs, 50);
    const p99Ms = percentile(latenciesUs, 99);
    const atMs = startedAtEpochMs + number * windowMs;
    onWindow({ atMs, sent, failed, idleClosed, p50Ms, p99Ms }, this.tally(nowMs));
  }
}

interface OpenWindow {
  readonly latenciesUs: Histogram;
  readonly failures: string[];
  sent: number;
  idleClosed: number;
  notSent: number;
  /** Requests that have not ended yet. */
  pending: number;
}

const longestLatencyUs = 600_000_000;

/** Three digits exact, from a microsecond to ten minutes. */
const histogram = (): Histogram =>
  build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestLatencyUs,
    numberOfSignificantValueDigits: 3,
  });

const microseconds = (ms: number): number => Math.min(longestLatencyUs, Math.max(1, Math.round(ms * 1000)));

const percentile = (latenciesUs: Histogram, percent: number): number =>
  latenciesUs.totalCount === 0 ? 0 : rounded(latenciesUs.getValueAtPercentile(percent) / 1000);

const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;
