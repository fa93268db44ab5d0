import { CancellationScope } from '@temporalio/workflow';
import type { Service } from '../domain/service.js';
import {
  addTallies,
  baselineOf,
  emptyTally,
  type Baseline,
  type BakePolicy,
  type Tally,
  type TrafficReport,
} from '../domain/traffic.js';
import { watch } from './patience.js';

interface Stretch {
  readonly beganAt: number;
  readonly scope: CancellationScope;
  readonly report: Promise<TrafficReport>;
}

/**
 * The prober over the whole deployment, in stretches. A new stretch begins before the old one ends, so that no second stays
 * unwatched; each one's sum is added to the tally. Lives outside the forward steps: a rollback is watched, too.
 */
export class TrafficWatch {
  readonly #service: Service;
  #tally: Tally = emptyTally;
  #current: Stretch | undefined;

  constructor(service: Service) {
    this.#service = service;
  }

  get isRunning(): boolean {
    return this.#current !== undefined;
  }

  get tally(): Tally {
    return this.#tally;
  }

  /** Begins a stretch and ends the one before, whose report is returned. */
  async next(
    name: string,
    judge?: { readonly baseline: Baseline; readonly policy: BakePolicy },
  ): Promise<TrafficReport | undefined> {
    const before = this.#current;
    this.#current = this.#begin(name, judge);
    return before && this.#end(before);
  }

  /** The report of the running stretch, when it ends by itself: a judged one, as soon as illness is proved. */
  ended(): Promise<TrafficReport> {
    if (!this.#current) throw new Error('no stretch is running');
    return this.#current.report;
  }

  /** Ends the running stretch. */
  async stop(): Promise<TrafficReport | undefined> {
    const last = this.#current;
    this.#current = undefined;
    return last && this.#end(last);
  }

  #begin(name: string, judge?: { readonly baseline: Baseline; readonly policy: BakePolicy }): Stretch {
    // Shielded: neither a rollback nor a cancelled workflow may end the watch over what they do.
    const shield = new CancellationScope({ cancellable: false });
    const scope = new CancellationScope({ cancellable: true, parent: shield });
    const report = scope.run(() =>
      watch.probeTraffic.executeWithOptions({ summary: `requests ${name}` }, [
        { service: this.#service, ...(judge ? { judge } : {}) },
      ]),
    );
    report.catch(() => undefined); // looked at when the stretch is ended
    return { beganAt: Date.now(), scope, report };
  }

  async #end({ beganAt, scope, report }: Stretch): Promise<TrafficReport | undefined> {
    scope.cancel();
    try {
      const seen = await report;
      this.#tally = addTallies(this.#tally, seen.tally);
      return seen;
    } catch {
      // Its worker was lost and no other had gone on: nobody saw anything, and the deployment goes on all the same.
      this.#tally = addTallies(this.#tally, { ...emptyTally, unobservedMs: Date.now() - beganAt });
      return undefined;
    }
  }
}

/** What the service was like until now, from the last windows of a stretch. */
export const baselineFrom = (report: TrafficReport | undefined): Baseline =>
  baselineOf(report?.windows ?? []);
