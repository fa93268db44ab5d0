import { setMaxListeners } from 'node:events';
import { Failure, inOneLine, type FailureName } from '../../domain/failures.js';
import type { LoadBalancerObservation } from '../../domain/observation.js';
import type { OvhIplbSettings, Server } from '../../domain/service.js';
import { describeSplit, wholly, type Split } from '../../domain/split.js';
import type { OvhApi } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';
import { realTime, type Time } from '../../ovh/time.js';
import type { Patience } from '../patience.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';
import { differences, expectingOfStaged, foreignDifferences, only, oursDiffer } from './expectation.js';
import { inDoubt } from './in-doubt.js';
import { acting } from './ovh-action.js';
import { ovhFailure } from './ovh-failure.js';
import { ConfigurationReader, rootOf, type Configuration } from './ovh-iplb/configuration.js';
import type { Pending } from './ovh-iplb/documents.js';
import { Editor, editsFor, withEdits, type Edit } from './ovh-iplb/edits.js';
import { durationsMs, endedBadly, Refreshes, unsettledBy } from './ovh-iplb/refreshes.js';
import { standingBy } from './ovh-iplb/backups.js';
import { inequalitiesIn } from './ovh-iplb/parity.js';
import { roleFor } from './ovh-iplb/entry.js';
import { leversFor } from './ovh-iplb/levers.js';
import { hindranceOf } from './ovh-iplb/requirements.js';
import { backendsOf } from './ovh-iplb/servers.js';
import { pendingWords, View } from './ovh-iplb/view.js';

export interface OvhIplb {
  readonly api: OvhApi;
  readonly settings: OvhIplbSettings;
  /** All servers of the service, of both environments. */
  readonly servers: readonly Server[];
  readonly time?: Time;
}

/** Refreshes whose durations tell what a way back costs. */
const rememberedSwitches = 5;

/** Moves the default farm of frontends of an OVHcloud Load Balancer, and publishes that with one refresh. */
export const createOvhIplb = (iplb: OvhIplb): LoadBalancerDriver => new OvhIplbDriver(iplb);

/** The configuration at one moment, and what was pending just after it. */
interface Look {
  readonly configuration: Configuration;
  readonly pending: Pending;
  /** Every object was read, and not only what traffic is moved with. */
  readonly isWhole: boolean;
}

type Say = (what: string) => void;

class OvhIplbDriver implements LoadBalancerDriver {
  readonly name: string;
  readonly #settings: OvhIplbSettings;
  readonly #servers: readonly Server[];
  readonly #view: View;
  readonly #reader: ConfigurationReader;
  readonly #editor: Editor;
  readonly #refreshes: Refreshes;
  readonly #time: Time;

  constructor({ api, settings, servers, time = realTime }: OvhIplb) {
    const root = rootOf(settings);
    this.name = `OVHcloud load balancer ${settings.serviceName}`;
    this.#settings = settings;
    this.#servers = servers;
    this.#time = time;
    this.#view = new View(settings, servers);
    this.#reader = new ConfigurationReader(api, settings);
    this.#editor = new Editor(api, root, time);
    this.#refreshes = new Refreshes(
      api,
      root,
      settings.refreshDeadlineMs,
      () => this.#reader.pending(),
      time,
    );
  }

  async observe(patience: Patience): Promise<LoadBalancerObservation> {
    const { serviceName } = this.#settings;
    return acting(`read load balancer "${serviceName}"`, patience, async (say) => {
      const { signal } = patience;
      await this.#refreshes.settled(say, signal);
      const [history, configuration] = await Promise.all([
        this.#refreshes.history(rememberedSwitches, signal),
        this.#reader.everything(signal),
      ]);
      const pending = await this.#reader.pending(signal);
      const unsettled = unsettledBy(history.last);
      return {
        ...this.#seen(configuration),
        staged: pendingWords(pending),
        recentSwitchesMs: durationsMs(history.recent),
        ...(unsettled.length > 0 ? { unsettled } : {}),
      };
    });
  }

  #seen(
    configuration: Configuration,
  ): Omit<LoadBalancerObservation, 'staged' | 'recentSwitchesMs' | 'unsettled'> {
    const view = this.#view;
    const diversions = view.diversions(configuration);
    const backups = standingBy(view.entries, configuration, this.#servers).map(({ name }) => name);
    const testersReach = view.testersReach(configuration);
    const unready = view.unready(configuration);
    const backends = backendsOf(view.entries, this.#servers, configuration);
    const unprobed = view.unprobed(configuration, backends);
    const unequal = inequalitiesIn(view.entries, this.#servers, configuration);
    return {
      traffic: view.traffic(configuration),
      targets: view.targets(configuration),
      objects: view.digests(configuration),
      ours: view.ours(configuration),
      backends,
      division: view.division(configuration),
      ...(diversions.length > 0 ? { diversions } : {}),
      ...(backups.length > 0 ? { backups } : {}),
      ...(testersReach ? { testersReach } : {}),
      ...(unready.length > 0 ? { unready } : {}),
      ...(unprobed.length > 0 ? { unprobed } : {}),
      ...(unequal.length > 0 ? { unequal } : {}),
    };
  }

  async prepare(change: RouteChange, patience: Patience): Promise<void> {
    const action = this.#actionOf(change);
    await acting(action, patience, async (say) => {
      await this.#refreshes.settled(say, patience.signal);
      const asked: Moving = { change, refuse: refusing(action) };
      const before = await this.#look(asked, patience.signal);
      const moving = { ...asked, change: expectingOfStaged(change, before.pending.length > 0) };
      this.#requireAsExpected(moving, before);
      this.#requireAble(moving, before);
      this.#alongside(moving, before);
    });
  }

  #actionOf({ to }: RouteChange): string {
    return `send ${describeSplit(to)} on "${this.#settings.serviceName}"`;
  }

  async route(change: RouteChange, patience: Patience): Promise<RouteReport> {
    const action = this.#actionOf(change);
    return acting(action, patience, async (say) => {
      const startedAtMs = this.#time.nowMs();
      const report = await this.#route({ change, refuse: refusing(action) }, patience.signal, say);
      return report.changed ? { ...report, tookMs: this.#time.nowMs() - startedAtMs } : report;
    });
  }

  async #route(asked: Moving, signal: AbortSignal, say: Say, mayRepeat = true): Promise<RouteReport> {
    const { change } = asked;

    await this.#refreshes.settled(say, signal);
    const [before, { last }] = await Promise.all([
      this.#look(asked, signal),
      this.#refreshes.history(1, signal),
    ]);
    const moving = { ...asked, change: expectingOfStaged(change, before.pending.length > 0) };
    this.#requireAsExpected(moving, before);
    this.#requireAble(moving, before);
    const edits = this.#edits(moving, before);
    const reported = { split: change.to, ...this.#shares(change.to, before) };
    if (edits.length === 0 && before.pending.length === 0 && !endedBadly(last)) {
      return { changed: false, ...reported, tookMs: 0, published: [] };
    }
    const alongside = this.#alongside(moving, before);
    const storing: Storing = { edits, lastRefresh: last?.id, say };
    const stored = await this.#stored(moving, storing, before, signal);
    await this.#published(moving, storing, before);
    return this.#behindPublishing(moving, async () => {
      const { slipped, torn } = await this.#proved(moving, stored, mayRepeat);
      const meanwhile = this.#differences(this.#edited(moving, before), stored);
      const published = [...alongside, ...meanwhile, ...slipped];
      if (torn.length === 0) return { changed: true, ...reported, tookMs: 0, published };
      const mended = await this.#route(asked, nobodyGivesUp, say, false);
      return { ...mended, changed: true, published: [...published, ...torn, ...mended.published] };
    });
  }

  /** What fails from here on leaves open what runs: a read without an answer follows a change that was made. */
  async #behindPublishing<Result>({ change }: Moving, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw inDoubt(error instanceof OvhError ? ovhFailure(error, this.#actionOf(change)) : error);
    }
  }

  #requireAble({ change, refuse }: Moving, { configuration }: Look): void {
    const because = hindranceOf(change, configuration, this.#view);
    if (because === undefined) return;
    throw refuse('RequestInvalid', because, 'see what it can do: verdigris check');
  }

  /** What the shares of a divided split are of. */
  #shares(to: Split, { configuration }: Look): Pick<RouteReport, 'shares'> {
    const division = wholly(to) === undefined ? this.#view.division(configuration) : undefined;
    return division?.kind === 'possible' ? { shares: division.shares } : {};
  }

  #requireAsExpected({ change, refuse }: Moving, { configuration }: Look): void {
    const { expected, purpose } = change;
    if (!expected) return;
    const digests = this.#view.digests(configuration);
    const changed = oursDiffer(expected, digests, this.#view.oursAmong(expected, configuration));
    if (changed.length === 0) return;
    throw refuse(
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
  #alongside(moving: Moving, look: Look): readonly string[] {
    const { change, refuse } = moving;
    const { configuration, pending } = look;
    if (pending.length === 0) return [];
    const { expected, purpose } = change;
    const digests = this.#view.digests(configuration);
    const foreign =
      expected && foreignDifferences(expected, digests, this.#view.oursAmong(expected, configuration));
    if (purpose === 'rollback') return foreign ?? pendingWords(pending);
    const isOurs = foreign
      ? foreign.length === 0
      : this.#isBegun(moving, look) && !this.#isStrange(configuration, pending);
    if (isOurs) return [];
    throw refuse(
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
  #isBegun(moving: Moving, look: Look): boolean {
    const { configuration } = look;
    const role = roleFor(moving.change.to);
    const left = this.#edits(moving, look);
    // Where traffic was sent before, what is left does not move it: then nothing tells whose edits are stored.
    if (left.length > 0 && left.every(({ field }) => field !== 'defaultFarmId')) return false;
    return this.#view.entries.some((entry) => {
      if (!entry.frontends.some((name) => entry.pointsAt(name, configuration) === role)) return false;
      if (role !== 'mixed' || entry.mixedStaging === undefined) return true;
      return entry.pointsAt(entry.mixedStaging, configuration) === 'mixed' || left.length === 0;
    });
  }

  /** Stores the edits and reads everything back; takes them back when that fails, or the caller gives up. */
  async #stored(moving: Moving, storing: Storing, before: Look, signal: AbortSignal): Promise<Look> {
    const { edits, say } = storing;
    try {
      signal.throwIfAborted();
      if (edits.length === 0) return before;
      for (const edit of edits) {
        say(`storing ${edit.object} ${edit.field} = ${valueWords(edit.value)}`);
        await this.#editor.store(edit, signal);
        signal.throwIfAborted();
      }
      const stored = await this.#look(moving, signal, before);
      this.#requireOnlyOurs(moving, before, stored);
      signal.throwIfAborted();
      return stored;
    } catch (error) {
      say('putting back what was stored');
      throw await this.#takenBack(storing, error);
    }
  }

  #requireOnlyOurs(moving: Moving, before: Look, stored: Look): void {
    const { change, refuse } = moving;
    this.#requireAsExpected(moving, stored);
    const undone = this.#edits(moving, stored).map(({ object }) => object);
    if (undone.length > 0) {
      throw refuse(
        'LoadBalancerChanged',
        `somebody else changes ${undone.join(', ')} at the same time`,
        seeWho,
      );
    }
    if (change.purpose === 'rollback') return;
    const foreign = this.#differences(this.#edited(moving, before), stored);
    if (foreign.length > 0 || this.#isStrange(stored.configuration, stored.pending)) {
      throw refuse('StagedEditsFound', foreignWords(foreign, stored.pending), takeThemBack);
    }
  }

  /** An order that has to be repeated may come minutes later: what somebody else has stored by then is not published by it. */
  async #published(moving: Moving, storing: Storing, before: Look): Promise<void> {
    const stillOnlyOurs = async (): Promise<void> => {
      const now = await this.#look(moving, undefined, before);
      this.#requireOnlyOurs(moving, before, now);
    };
    const refusal = await this.#behindPublishing(moving, () =>
      this.#refreshes.publish(storing.say, stillOnlyOurs).catch(refusalOf),
    );
    if (refusal === undefined) return;
    const { lastRefresh } = storing;
    if (refusal instanceof Failure && (await this.#refreshes.newest()) !== lastRefresh)
      throw perhapsPublished(refusal);
    throw await this.#takenBack(storing, refusal);
  }

  /**
   * The error to throw once the edits were taken back. What somebody else has published meanwhile may hold some of them: then
   * taking back is published too.
   */
  async #takenBack({ edits, lastRefresh, say }: Storing, error: unknown): Promise<unknown> {
    try {
      const anything = await this.#editor.takeBack(edits);
      if ((await this.#refreshes.newest()) === lastRefresh) return error;
      if (anything) await this.#refreshes.publish(say);
      return await this.#tellingOfTorn(error);
    } catch (trouble) {
      const because = trouble instanceof Error ? trouble.message : String(trouble);
      return new Failure(
        'LoadBalancerUnreachable',
        `Cannot put back what was stored on "${this.#settings.serviceName}" and not published: ${because}
  it was put there for a change that failed (${inOneLine(String(error))}); the next try finishes it or puts it back`,
        { cause: error, ambiguous: true },
      );
    }
  }

  /** What a dead worker had stored cannot be taken back by another: where somebody published it in part, that has to be said. */
  async #tellingOfTorn(error: unknown): Promise<unknown> {
    const traffic = this.#view.traffic(await this.#reader.everything());
    if (traffic.kind !== 'torn' || !(error instanceof Failure)) return error;
    const { failure, message, ambiguous } = error;
    const [first = ''] = message.split('\n');
    return new Failure(failure, `${first}\n  ${mending(traffic.detail)}`, { cause: error, ambiguous });
  }

  /**
   * Reads everything again after publishing. Tells what somebody else changed meanwhile, in words. Where that leaves a part of the
   * traffic behind it was published with ours: that is nobody's wish, and may be mended once.
   */
  async #proved(moving: Moving, stored: Look, mayMend: boolean): Promise<Proof> {
    const { change, refuse } = moving;
    for (let look = 1; ; look++) {
      const after = await this.#look(moving, undefined, stored);
      const undone = this.#edits(moving, after).map(({ object }) => object);
      if (undone.length > 0 && mayMend && this.#view.traffic(after.configuration).kind === 'torn') {
        return { slipped: [], torn: undone.map((object) => `${object} was changed meanwhile and set again`) };
      }
      if (undone.length > 0) {
        throw refuse(
          'TrafficNotMoved',
          `somebody else changed ${undone.join(', ')} while it was published`,
          seeWho,
        );
      }
      const slipped = this.#differences(stored, after);
      if (after.pending.length === 0)
        return { slipped: slipped.map((words) => `${words} while this was published`), torn: [] };
      // Stored by somebody else since the order: the task may have taken it along or not.
      if (slipped.length > 0) {
        const unsure = 'while this was published, perhaps not published itself';
        return { slipped: slipped.map((words) => `${words} ${unsure}`), torn: [] };
      }
      if (look >= proofLooks) {
        throw refuse(
          'TrafficNotMoved',
          `${pendingWords(after.pending).join(', ')} are still not published, needs none after ${describeSplit(change.to)}`,
          seeWho,
        );
      }
      await this.#time.sleep(proofEveryMs);
    }
  }

  #differences(earlier: Look, later: Look): readonly string[] {
    const was = this.#view.contents(earlier.configuration);
    const is = this.#view.contents(later.configuration);
    // What a quick look has not read is not gone.
    return differences(earlier.isWhole && !later.isWhole ? only(was, Object.keys(is)) : was, is);
  }

  /** As it is once our edits are stored, and nobody else's. */
  #edited(moving: Moving, before: Look): Look {
    return { ...before, configuration: withEdits(before.configuration, this.#edits(moving, before)) };
  }

  /** Whether edits are pending where none of ours would show. */
  #isStrange(configuration: Configuration, pending: Pending): boolean {
    const zones = this.#view.zones(configuration);
    return zones !== undefined && pending.some(({ zone }) => !zones.includes(zone));
  }

  #edits({ change }: Moving, { configuration }: Look): readonly Edit[] {
    return editsFor(change, configuration, this.#view);
  }

  /** Whether servers of the other environment are set active or inactive, too. */
  #isAboutBoth({ to, leaveOut, takeIn = [], fallback, testers }: RouteChange): boolean {
    const color = wholly(to);
    if (color === undefined || fallback || testers) return true;
    const named = new Set([...leaveOut, ...takeIn]);
    return this.#servers.some((server) => server.color !== color && named.has(server.name));
  }

  /** What is pending is read last, so that no edit hides between the two reads. */
  async #look({ change }: Moving, signal?: AbortSignal, earlier?: Look): Promise<Look> {
    const color = wholly(change.to);
    const isWhole = color === undefined || change.expected !== undefined || this.#isAboutBoth(change);
    const known = [...(earlier?.configuration.servers.keys() ?? [])];
    const configuration = isWhole
      ? await this.#reader.everything(signal)
      : await this.#reader.levers(leversFor(color, change, this.#view, known), signal);
    return { configuration, pending: await this.#reader.pending(signal), isWhole };
  }
}

/** A change under way. */
interface Moving {
  readonly change: RouteChange;
  readonly refuse: (failure: FailureName, because: string, next: string) => Failure;
}

/** What is being stored, and since which refresh. */
interface Storing {
  readonly edits: readonly Edit[];
  readonly lastRefresh: number | undefined;
  readonly say: Say;
}

interface Proof {
  readonly slipped: readonly string[];
  /** What of the traffic somebody else's edits left behind, in words. */
  readonly torn: readonly string[];
}

/** A refused order, or one that must not be repeated: nothing was ordered. Anything else is thrown again. */
function refusalOf(error: unknown): OvhError | Failure {
  if (error instanceof OvhError && error.method === 'POST' && !error.passing) return error;
  if (error instanceof Failure && notRepeated.has(error.failure)) return error;
  throw error;
}

/** All of it was stored when somebody else published. The next change, back or forward, settles what is stored. */
const perhapsPublished = ({ failure, message }: Failure): Failure =>
  new Failure(
    failure,
    `${message}\n  somebody else has published meanwhile, and perhaps this change with it: see verdigris status; back: verdigris rollback`,
    { ambiguous: true },
  );

const notRepeated: ReadonlySet<string> = new Set<FailureName>(['StagedEditsFound', 'LoadBalancerChanged']);

const valueWords = (value: Edit['value']): string =>
  typeof value === 'object' ? JSON.stringify(value) : String(value);

/** Once publishing has begun it is seen through. */
const nobodyGivesUp = new AbortController().signal;
setMaxListeners(0, nobodyGivesUp);

const proofLooks = 5;
const proofEveryMs = 500;

const mending = (detail: string): string => `${detail}; going back makes it whole: verdigris rollback`;
const takeThemBack = 'apply them or take them back in the control panel, then try again';
const seeWho = 'let one of the two finish, then look again: verdigris status';

const refusing =
  (action: string): Moving['refuse'] =>
  (failure, because, next) =>
    new Failure(failure, `Cannot ${action}: ${because}\n  ${next}`);

const foreignWords = (foreign: readonly string[] | undefined, pending: Pending): string => {
  const words = foreign && foreign.length > 0 ? foreign : pendingWords(pending);
  return `edits of somebody else are stored and would be published too (${words.join(', ')}), needs none`;
};
