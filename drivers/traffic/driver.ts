import type { HealthQuestion, Sample } from '../../domain/health.js';
import type { Tally, TrafficWindow } from '../../domain/traffic.js';
import type { Patience } from '../patience.js';

/** Real requests to a public address, from outside the load balancer. */
export interface TrafficProber {
  /**
   * Sends requests at a fixed rate, whatever the answers (open loop), half on kept-alive connections and half on new
   * ones, and never repeats one. Starts at once; windows of one second are handed to `onWindow` as they close.
   */
  start(target: ProbeTarget, onWindow: (window: TrafficWindow, tally: Tally) => void): RunningProber;

  /** Puts one question to the public address on a new connection. */
  ask(url: string, question: HealthQuestion, patience: Patience): Promise<Sample>;
}

export interface ProbeTarget {
  /** For example `http://203.0.113.10:80`. */
  readonly url: string;
  readonly path: string;
  readonly requestsPerSecond: number;
  readonly timeoutMs: number;
}

export interface RunningProber {
  /** Sends no more, waits for the answers that are due, and gives the sum. */
  stop(): Promise<Tally>;
}
