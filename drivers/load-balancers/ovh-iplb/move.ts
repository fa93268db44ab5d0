import { Failure, type FailureName } from '../../../domain/failures.js';
import { describeSplit, wholly } from '../../../domain/split.js';
import type { RouteChange, RouteReport } from '../driver.js';
import { differences, expectingOfStaged, foreignDifferences, only, oursDiffer } from '../expectation.js';
import type { Configuration } from './configuration.js';
import type { Pending } from './documents.js';
import { editsFor, withEdits, type Edit } from './edits.js';
import { roleFor } from './entry.js';
import { hindranceOf } from './requirements.js';
import { pendingWords, type View } from './view.js';

/** The configuration at one moment, and what was pending just after it. */
export interface Look {
  readonly configuration: Configuration;
  readonly pending: Pending;
  /** Every object was read, and not only what traffic is moved with. */
  readonly isWhole: boolean;
}

/** A change, and what a look at the load balancer means to it: what is left to store, whose edits go out with it, what forbids it. Pure. */
export class Move {
  readonly change: RouteChange;
  readonly #action: string;
  readonly #view: View;

  /** `action` completes "Cannot ...". */
  constructor(change: RouteChange, action: string, view: View) {
    this.change = change;
    this.#action = action;
    this.#view = view;
  }

  /** The same, with what is really expected once it is known whether anything is stored. */
  over({ pending }: Look): Move {
    return new Move(expectingOfStaged(this.change, pending.length > 0), this.#action, this.#view);
  }

  /** Whether servers of the other environment are set active or inactive, too, or somebody's edits have to be recognised. */
  get isAboutAll(): boolean {
    const { to, leaveOut, takeIn = [], fallback, testers, expected } = this.change;
    const color = wholly(to);
    if (color === undefined || expected || fallback || testers) return true;
    const named = new Set([...leaveOut, ...takeIn]);
    return this.#view.servers.some((server) => server.color !== color && named.has(server.name));
  }

  /** What is left to store. */
  edits({ configuration }: Look): readonly Edit[] {
    return editsFor(this.change, configuration, this.#view);
  }

  /** What the shares of a divided split are of. */
  shares({ configuration }: Look): Pick<RouteReport, 'shares'> {
    const division = wholly(this.change.to) === undefined ? this.#view.division(configuration) : undefined;
    return division?.kind === 'possible' ? { shares: division.shares } : {};
  }

  /** Throws what forbids it. */
  requireStartable(look: Look): void {
    this.#requireAsExpected(look);
    const because = hindranceOf(this.change, look.configuration, this.#view);
    if (because !== undefined)
      throw this.refusal('RequestInvalid', because, 'see what it can do: verdigris check');
  }

  #requireAsExpected({ configuration }: Look): void {
    const { expected, purpose } = this.change;
    if (!expected) return;
    const digests = this.#view.digests(configuration);
    const changed = oursDiffer(expected, digests, this.#view.oursAmong(expected, configuration));
    if (changed.length === 0) return;
    throw this.refusal(
      'LoadBalancerChanged',
      `${changed.join(', ')} by somebody else, needs to be as planned`,
      purpose === 'rollback'
        ? 'going back all the same publishes that change too; not going back leaves traffic where it is'
        : this.#unlessTorn('nothing was moved; look at it and deploy again', configuration),
    );
  }

  /** What to do next. What a dead worker had stored, somebody may have published in part. */
  #unlessTorn(next: string, configuration: Configuration): string {
    const traffic = this.#view.traffic(configuration);
    return traffic.kind === 'torn' ? mending(traffic.detail) : next;
  }

  /**
   * Somebody else's edits that were stored before and go out with this change, in words; refuses those that must not. Whose
   * an edit is cannot be read. It shows by comparison where `expected` names every object; else production frontends that
   * point at the new environment tell that what is stored is a change of ours that was never finished.
   */
  alongside(look: Look): readonly string[] {
    const { configuration, pending } = look;
    if (pending.length === 0) return [];
    const { expected, purpose } = this.change;
    const digests = this.#view.digests(configuration);
    const foreign =
      expected && foreignDifferences(expected, digests, this.#view.oursAmong(expected, configuration));
    if (purpose === 'rollback') return foreign ?? pendingWords(pending);
    const isOurs = foreign ? foreign.length === 0 : this.#isBegun(look) && !this.#isStrange(look);
    if (isOurs) return [];
    throw this.refusal(
      'StagedEditsFound',
      foreignWords(foreign, pending),
      this.#unlessTorn(takeThemBack, configuration),
    );
  }

  /**
   * Whether production frontends point where this change sends them, and the rest of what moves them is still to be stored, or all
   * is. From one division to another they do before it, too: then only what is not probed as after it, or a change that is stored
   * whole, tells.
   */
  #isBegun(look: Look): boolean {
    const { configuration } = look;
    const role = roleFor(this.change.to);
    const left = this.edits(look);
    // Where traffic was sent before, what is left does not move it: then nothing tells whose edits are stored.
    if (left.length > 0 && left.every(({ field }) => field !== 'defaultFarmId')) return false;
    return this.#view.entries.some((entry) => {
      if (!entry.frontends.some((name) => entry.pointsAt(name, configuration) === role)) return false;
      if (role !== 'mixed' || entry.mixedStaging === undefined) return true;
      return entry.pointsAt(entry.mixedStaging, configuration) === 'mixed' || left.length === 0;
    });
  }

  /** Throws unless all of it is stored, and nothing of anybody else since `before`. */
  requireOnlyOurs(before: Look, stored: Look): void {
    this.#requireAsExpected(stored);
    const undone = this.edits(stored).map(({ object }) => object);
    if (undone.length > 0) {
      throw this.refusal(
        'LoadBalancerChanged',
        `somebody else changes ${undone.join(', ')} at the same time`,
        seeWho,
      );
    }
    if (this.change.purpose === 'rollback') return;
    const foreign = this.ofOthers(before, stored);
    if (foreign.length > 0 || this.#isStrange(stored)) {
      throw this.refusal('StagedEditsFound', foreignWords(foreign, stored.pending), takeThemBack);
    }
  }

  /** What somebody else has changed between two looks, in words: all but what this change stores itself. */
  ofOthers(before: Look, later: Look): readonly string[] {
    const configuration = withEdits(before.configuration, this.edits(before));
    return this.differences({ ...before, configuration }, later);
  }

  /** How two looks differ, in words. */
  differences(earlier: Look, later: Look): readonly string[] {
    const was = this.#view.contents(earlier.configuration);
    const is = this.#view.contents(later.configuration);
    // What a quick look has not read is not gone.
    return differences(earlier.isWhole && !later.isWhole ? only(was, Object.keys(is)) : was, is);
  }

  /** What published traffic looks like after it: what is still not as asked, and whether that tears the traffic. */
  undone(after: Look): { readonly objects: readonly string[]; readonly tears: boolean } {
    const objects = this.edits(after).map(({ object }) => object);
    return { objects, tears: objects.length > 0 && this.#view.traffic(after.configuration).kind === 'torn' };
  }

  overruled(objects: readonly string[]): Failure {
    const because = `somebody else changed ${objects.join(', ')} while it was published`;
    return this.refusal('TrafficNotMoved', because, seeWho);
  }

  stillPending({ pending }: Look): Failure {
    const because = `${pendingWords(pending).join(', ')} are still not published, needs none after ${describeSplit(this.change.to)}`;
    return this.refusal('TrafficNotMoved', because, seeWho);
  }

  refusal(failure: FailureName, because: string, next: string): Failure {
    return new Failure(failure, `Cannot ${this.#action}: ${because}\n  ${next}`);
  }

  /** Whether edits are pending where none of ours would show. */
  #isStrange({ configuration, pending }: Look): boolean {
    const zones = this.#view.zones(configuration);
    return zones !== undefined && pending.some(({ zone }) => !zones.includes(zone));
  }
}

export const mending = (detail: string): string => `${detail}; going back makes it whole: verdigris rollback`;
const takeThemBack = 'apply them or take them back in the control panel, then try again';
const seeWho = 'let one of the two finish, then look again: verdigris status';

const foreignWords = (foreign: readonly string[] | undefined, pending: Pending): string => {
  const words = foreign && foreign.length > 0 ? foreign : pendingWords(pending);
  return `edits of somebody else are stored and would be published too (${words.join(', ')}), needs none`;
};
