import { setMaxListeners } from 'node:events';
import { Failure, inOneLine, type FailureName } from '../../domain/failures.js';
import type { LoadBalancerObservation } from '../../domain/observation.js';
import type { OvhIplbSettings, Server } from '../../domain/service.js';
import { describeSplit, wholly } from '../../domain/split.js';
import type { OvhApi } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';
import { realTime, type Time } from '../../ovh/time.js';
import type { Patience } from '../patience.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';
import { inDoubt } from './in-doubt.js';
import { acting } from './ovh-action.js';
import { ovhFailure } from './ovh-failure.js';
import { ConfigurationReader, rootOf, type Configuration } from './ovh-iplb/configuration.js';
import { Editor, type Edit } from './ovh-iplb/edits.js';
import { durationsMs, endedBadly, Refreshes, unsettledBy } from './ovh-iplb/refreshes.js';
import { standingBy } from './ovh-iplb/backups.js';
import { inequalitiesIn } from './ovh-iplb/parity.js';
import { leversFor } from './ovh-iplb/levers.js';
import { mending, Move, type Look } from './ovh-iplb/move.js';
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
      probeEveryMs: view.probeEveryMs(configuration),
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
      const asked = new Move(change, action, this.#view);
      const before = await this.#look(asked, patience.signal);
      const move = asked.over(before);
      move.requireStartable(before);
      move.alongside(before);
    });
  }

  #actionOf({ to }: RouteChange): string {
    return `send ${describeSplit(to)} on "${this.#settings.serviceName}"`;
  }

  async route(change: RouteChange, patience: Patience): Promise<RouteReport> {
    const action = this.#actionOf(change);
    return acting(action, patience, async (say) => {
      const startedAtMs = this.#time.nowMs();
      const move = new Move(change, action, this.#view);
      const report = await this.#route(move, patience.signal, say);
      return report.changed ? { ...report, tookMs: this.#time.nowMs() - startedAtMs } : report;
    });
  }

  async #route(asked: Move, signal: AbortSignal, say: Say, mayRepeat = true): Promise<RouteReport> {
    await this.#refreshes.settled(say, signal);
    const [before, { last }] = await Promise.all([
      this.#look(asked, signal),
      this.#refreshes.history(1, signal),
    ]);
    const move = asked.over(before);
    move.requireStartable(before);
    const edits = move.edits(before);
    const reported = { split: move.change.to, ...move.shares(before) };
    if (edits.length === 0 && before.pending.length === 0 && !endedBadly(last)) {
      return { changed: false, ...reported, tookMs: 0, published: [] };
    }
    const alongside = move.alongside(before);
    const storing: Storing = { edits, lastRefresh: last?.id, say };
    const stored = await this.#stored(move, storing, before, signal);
    await this.#published(move, storing, before);
    return this.#behindPublishing(move, async () => {
      const { slipped, torn } = await this.#proved(move, stored, mayRepeat);
      const published = [...alongside, ...move.ofOthers(before, stored), ...slipped];
      if (torn.length === 0) return { changed: true, ...reported, tookMs: 0, published };
      const mended = await this.#route(asked, nobodyGivesUp, say, false);
      return { ...mended, changed: true, published: [...published, ...torn, ...mended.published] };
    });
  }

  /** What fails from here on leaves open what runs: a read without an answer follows a change that was made. */
  async #behindPublishing<Result>({ change }: Move, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw inDoubt(error instanceof OvhError ? ovhFailure(error, this.#actionOf(change)) : error);
    }
  }

  /** Stores the edits and reads everything back; takes them back when that fails, or the caller gives up. */
  async #stored(move: Move, storing: Storing, before: Look, signal: AbortSignal): Promise<Look> {
    const { edits, say } = storing;
    try {
      signal.throwIfAborted();
      if (edits.length === 0) return before;
      for (const edit of edits) {
        say(`storing ${edit.object} ${edit.field} = ${valueWords(edit.value)}`);
        await this.#editor.store(edit, signal);
        signal.throwIfAborted();
      }
      const stored = await this.#look(move, signal, before);
      move.requireOnlyOurs(before, stored);
      signal.throwIfAborted();
      return stored;
    } catch (error) {
      say('putting back what was stored');
      throw await this.#takenBack(storing, error);
    }
  }

  /** An order that has to be repeated may come minutes later: what somebody else has stored by then is not published by it. */
  async #published(move: Move, storing: Storing, before: Look): Promise<void> {
    const stillOnlyOurs = async (): Promise<void> =>
      move.requireOnlyOurs(before, await this.#look(move, undefined, before));
    const refusal = await this.#behindPublishing(move, () =>
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
  async #proved(move: Move, stored: Look, mayMend: boolean): Promise<Proof> {
    for (let look = 1; ; look++) {
      const after = await this.#look(move, undefined, stored);
      const { objects, tears } = move.undone(after);
      if (tears && mayMend)
        return {
          slipped: [],
          torn: objects.map((object) => `${object} was changed meanwhile and set again`),
        };
      if (objects.length > 0) throw move.overruled(objects);
      const slipped = move.differences(stored, after);
      if (after.pending.length === 0)
        return { slipped: slipped.map((words) => `${words} while this was published`), torn: [] };
      // Stored by somebody else since the order: the task may have taken it along or not.
      if (slipped.length > 0) {
        const unsure = 'while this was published, perhaps not published itself';
        return { slipped: slipped.map((words) => `${words} ${unsure}`), torn: [] };
      }
      if (look >= proofLooks) throw move.stillPending(after);
      await this.#time.sleep(proofEveryMs);
    }
  }

  /** What is pending is read last, so that no edit hides between the two reads. */
  async #look({ change, isAboutAll }: Move, signal?: AbortSignal, earlier?: Look): Promise<Look> {
    const color = wholly(change.to);
    const isWhole = color === undefined || isAboutAll;
    const known = [...(earlier?.configuration.servers.keys() ?? [])];
    const configuration = isWhole
      ? await this.#reader.everything(signal)
      : await this.#reader.levers(leversFor(color, change, this.#view, known), signal);
    return { configuration, pending: await this.#reader.pending(signal), isWhole };
  }
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
