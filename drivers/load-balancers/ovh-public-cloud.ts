import { Failure, type FailureName } from '../../domain/failures.js';
import type { LoadBalancerObservation } from '../../domain/observation.js';
import type { OvhPublicCloudSettings, Server } from '../../domain/service.js';
import { describeSplit, wholly } from '../../domain/split.js';
import type { OvhApi } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';
import { realTime, type Time } from '../../ovh/time.js';
import type { Patience } from '../patience.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';
import { differences, oursDiffer } from './expectation.js';
import { inDoubt } from './in-doubt.js';
import { acting } from './ovh-action.js';
import { ovhFailure } from './ovh-failure.js';
import { ConfigurationReader, rootOf, type Configuration } from './ovh-public-cloud/configuration.js';
import { Lock, type Written } from './ovh-public-cloud/lock.js';
import { divisionBy } from './ovh-public-cloud/mixed.js';
import { inequalitiesIn } from './ovh-public-cloud/parity.js';
import { count, reversed, stepsFor, writeOf, type Step, type Steps } from './ovh-public-cloud/steps.js';
import { View } from './ovh-public-cloud/view.js';

export interface OvhPublicCloud {
  readonly api: OvhApi;
  readonly settings: OvhPublicCloudSettings;
  /** All servers of the service, of both environments. */
  readonly servers: readonly Server[];
  readonly time?: Time;
}

/** Changes whose durations tell what a way back costs. */
const rememberedSwitches = 5;

/** The API keeps no record of changes: what this process has seen, by its client and load balancer. */
const durations = new WeakMap<OvhApi, Map<string, readonly number[]>>();

/** How often listeners are brought together again that somebody else moves at the same time. */
const mostRounds = 5;

/** Moves the default pool of listeners of a Public Cloud Load Balancer, one after the other; each change is applied at once. */
export const createOvhPublicCloud = (made: OvhPublicCloud): LoadBalancerDriver =>
  new OvhPublicCloudDriver(made);

type Say = (what: string) => void;

/** A change under way. */
interface Moving {
  readonly change: RouteChange;
  readonly action: string;
  readonly say: Say;
  readonly signal: AbortSignal;
}

class OvhPublicCloudDriver implements LoadBalancerDriver {
  readonly name: string;
  readonly #api: OvhApi;
  readonly #settings: OvhPublicCloudSettings;
  readonly #servers: readonly Server[];
  readonly #root: string;
  readonly #view: View;
  readonly #reader: ConfigurationReader;
  readonly #lock: Lock;
  readonly #time: Time;

  constructor({ api, settings, servers, time = realTime }: OvhPublicCloud) {
    this.name = `Public Cloud load balancer ${settings.id}`;
    this.#api = api;
    this.#settings = settings;
    this.#servers = servers;
    this.#root = rootOf(settings);
    this.#view = new View(settings, servers);
    this.#reader = new ConfigurationReader(api, settings);
    this.#lock = new Lock(api, this.#root, settings.id, settings.updateDeadlineMs, time);
    this.#time = time;
  }

  async observe(patience: Patience): Promise<LoadBalancerObservation> {
    return acting(`read load balancer "${this.#settings.id}"`, patience, async (say) => {
      // While something is applied, what is read is not what runs.
      await this.#lock.free(say, { signal: patience.signal });
      const configuration = await this.#reader.everything(patience.signal);
      const backends = this.#view.backends(configuration);
      const unprobed = this.#view.unprobed(configuration, backends);
      const unequal = inequalitiesIn(this.#settings, configuration);
      const probeEveryMs = this.#view.probeEveryMs(configuration);
      const leftOut = backends.flatMap(({ server, state }) => (state === 'inactive' ? [server] : []));
      return {
        traffic: this.#view.traffic(configuration),
        targets: this.#view.targets(configuration),
        objects: this.#view.digests(configuration),
        ours: this.#view.ours(configuration),
        staged: [],
        backends,
        ...(probeEveryMs === undefined ? {} : { probeEveryMs }),
        division: divisionBy(configuration, this.#means, leftOut),
        diversions: this.#view.diversions(configuration),
        ...(unequal.length > 0 ? { unequal } : {}),
        recentSwitchesMs: durations.get(this.#api)?.get(this.#settings.id) ?? [],
        ...(unprobed.length > 0 ? { unprobed } : {}),
      };
    });
  }

  async route(change: RouteChange, patience: Patience): Promise<RouteReport> {
    const action = this.#actionOf(change);
    return acting(action, patience, (say) => this.#route({ change, action, say, signal: patience.signal }));
  }

  async prepare(change: RouteChange, patience: Patience): Promise<void> {
    const action = this.#actionOf(change);
    await acting(action, patience, (say) =>
      this.#considered({ change, action, say, signal: patience.signal }),
    );
  }

  #actionOf({ to }: RouteChange): string {
    return `send ${describeSplit(to)} on "${this.#settings.id}"`;
  }

  /** What is, and what has to be done about it. Throws where it must not be done, or cannot. */
  async #considered(moving: Moving): Promise<{ readonly before: Configuration; readonly steps: Steps }> {
    await this.#lock.free(moving.say, { signal: moving.signal });
    const before = await this.#look(moving, moving.signal);
    this.#requireAsExpected(moving, before);
    return { before, steps: this.#steps(moving, before) };
  }

  async #route(moving: Moving): Promise<RouteReport> {
    const { change, say } = moving;
    const startedAtMs = this.#time.nowMs();
    const { before, steps } = await this.#considered(moving);
    if (count(steps) === 0) return { changed: false, split: change.to, tookMs: 0, published: [] };

    await this.#moved(moving, steps);
    const after = await this.#behindMoving(moving, async () => {
      for (const step of steps.settle) await this.#take(step, 'settling', say);
      return this.#proved(moving);
    });
    const tookMs = this.#time.nowMs() - startedAtMs;
    if (steps.move.length > 0) this.#remember(tookMs);
    const slipped = differences(this.#view.digests(before), this.#view.digests(after));
    const published = slipped.map((words) => `${words} by somebody else at the same time`);
    const shares = wholly(change.to) ? {} : ({ shares: 'of new connections' } as const);
    return { changed: true, split: change.to, ...shares, tookMs, published };
  }

  /** What fails from here on leaves open what runs: the listeners have been moved. */
  async #behindMoving<Result>({ action }: Moving, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw inDoubt(failureOf(error, action) ?? error);
    }
  }

  /** On the way back nothing is expected: there is nothing of anybody's that it could publish. */
  #requireAsExpected({ change, action }: Moving, configuration: Configuration): void {
    const { expected, purpose } = change;
    if (!expected || purpose === 'rollback') return;
    const digests = this.#view.digests(configuration);
    const changed = oursDiffer(expected, digests, [...Object.keys(expected), ...Object.keys(digests)]);
    if (changed.length === 0) return;
    const traffic = this.#view.traffic(configuration);
    throw refusal(
      'LoadBalancerChanged',
      action,
      `${changed.join(', ')} by somebody else, needs to be as planned`,
      traffic.kind === 'torn'
        ? `nothing was moved now, and ${traffic.detail}; go back: verdigris rollback`
        : 'nothing was moved; look at it and deploy again',
    );
  }

  /** Prepares, while the caller may still give up, and then moves every listener. */
  async #moved(moving: Moving, { prepare, move }: Steps): Promise<void> {
    const { say, signal } = moving;
    const taken: Step[] = [];
    try {
      for (const step of prepare) {
        taken.push(step);
        await this.#take(step, 'storing', say, signal);
        signal.throwIfAborted();
      }
    } catch (error) {
      throw await this.#takenBack(taken, error, say);
    }
    if (move.length === 0) return;
    say(`publishing ${describeSplit(moving.change.to)}`);
    const moved: Step[] = [];
    try {
      for (const step of move) {
        moved.push(step);
        // Moved again since by somebody else: who has won is settled below.
        if ((await this.#take(step, 'publishing', say)) === 'overwritten') break;
      }
    } catch (error) {
      // A half way back is better than none, and the next try goes on from there.
      if (moving.change.purpose === 'rollback') throw withState(error, moved);
      throw await this.#takenBack([...taken, ...this.#allListeners(moved)], error, say);
    }
    await this.#behindMoving(moving, () => this.#together(moving, moved));
  }

  #take(step: Step, verb: string, say: Say, signal?: AbortSignal): Promise<Written> {
    return this.#lock.change(writeOf(step, this.#api, this.#root, verb), say, signal);
  }

  /**
   * Two that move the same listeners at the same time must not leave them apart. Who has the first listener has won, and sees
   * to the others; who has not puts its own to where the first one is, and says so.
   */
  async #together({ change, action, say }: Moving, moved: readonly Step[]): Promise<void> {
    const target = moved[0]?.value;
    for (let round = 1; target !== undefined && round <= mostRounds; round++) {
      const listeners = await this.#reader.listeners();
      const pointed = this.#settings.listeners.map(
        (id) => [id, listeners.get(id)?.defaultPoolId ?? null] as const,
      );
      const leader = pointed[0]?.[1];
      const isOurs = leader === target;
      const apart = pointed.filter(([, pool]) => (isOurs ? pool !== target : pool === target));
      if (apart.length === 0 && isOurs) return;
      if (apart.length === 0 || !leader) break;
      for (const [id, before] of apart) {
        const object = `listener/${id}`;
        await this.#take({ field: 'defaultPoolId', object, value: leader, before }, 'publishing', say);
      }
    }
    throw refusal(
      'TrafficNotMoved',
      action,
      `somebody else moves the same listeners (${wordsOf(moved)} was asked here for ${describeSplit(change.to)}), needs one who does`,
      seeWho,
    );
  }

  /** All listeners belong together: those that a driver which has died since has moved are put back as well. */
  #allListeners(moved: readonly Step[]): readonly Step[] {
    const last = moved.at(-1);
    return last?.field === 'defaultPoolId'
      ? this.#settings.listeners.map((id) => ({ ...last, object: `listener/${id}` }))
      : moved;
  }

  /** The error to throw once everything is as it was. */
  async #takenBack(taken: readonly Step[], error: unknown, say: Say): Promise<unknown> {
    try {
      say('putting back what was changed');
      for (const step of taken.toReversed()) {
        const back = reversed(step);
        // What is no longer as we have put it is somebody else's.
        if (back && (await writeOf(step, this.#api, this.#root, '').holds()))
          await this.#take(back, 'putting back', say);
      }
      return error;
    } catch (trouble) {
      const failure = failureOf(trouble, 'put back what was changed');
      const torn = taken.some(({ field }) => field === 'defaultPoolId') ? `\n  ${mayBeTorn}` : '';
      return new Failure(
        failure?.failure ?? 'LoadBalancerUnreachable',
        `Cannot put back what was changed on "${this.#settings.id}" (${wordsOf(taken)}): ${failure?.message ?? String(trouble)}${torn}
  it was changed for a move that failed: ${String(error)}`,
        { cause: error, ambiguous: true },
      );
    }
  }

  async #proved(moving: Moving): Promise<Configuration> {
    for (let round = 1; ; round++) {
      const after = await this.#look(moving);
      const undone = this.#steps(moving, after);
      if (count(undone) === 0) return after;
      if (undone.move.length > 0 && round < mostRounds) {
        // Moved again by somebody else since: whoever has the first listener sees to the others.
        await this.#together(moving, undone.move);
        continue;
      }
      const objects = [...undone.prepare, ...undone.move, ...undone.settle].map(({ object }) => object);
      throw refusal(
        'TrafficNotMoved',
        moving.action,
        `somebody else changed ${objects.join(', ')} at the same time`,
        seeWho,
      );
    }
  }

  #steps({ change, action }: Moving, configuration: Configuration): Steps {
    const { listeners } = this.#settings;
    const missing = listeners.find((id) => !configuration.listeners.has(id));
    if (missing !== undefined)
      throw new Failure(
        'StateUnclear',
        `Cannot ${action}: listener ${missing} does not exist on this load balancer, needs to`,
      );
    return stepsFor(change, configuration, { ...this.#means, action });
  }

  get #means() {
    return { settings: this.#settings, servers: this.#servers, view: this.#view };
  }

  #look({ change }: Moving, signal?: AbortSignal): Promise<Configuration> {
    return change.expected ? this.#reader.everything(signal) : this.#reader.levers(signal);
  }

  #remember(tookMs: number): void {
    const known = durations.get(this.#api) ?? new Map<string, readonly number[]>();
    const { id } = this.#settings;
    known.set(id, [tookMs, ...(known.get(id) ?? [])].slice(0, rememberedSwitches));
    durations.set(this.#api, known);
  }
}

const seeWho = 'let one of the two finish, then look again: verdigris status';

const wordsOf = (steps: readonly Step[]): string =>
  steps.map(({ object, field, value }) => `${object} ${field} = ${value}`).join(', ');

/** What an error means to people; `undefined` for one that is our own mistake. */
const failureOf = (error: unknown, action: string): Failure | undefined =>
  error instanceof OvhError ? ovhFailure(error, action) : error instanceof Failure ? error : undefined;

const mayBeTorn = 'its listeners may point at different environments until the next try';

/** An error on the way back, with how far it came. */
function withState(error: unknown, begun: readonly Step[]): unknown {
  const failure = failureOf(error, 'go back with every listener');
  if (!failure) return error;
  return new Failure(
    failure.failure,
    `${failure.message}\n  gone back so far, and left so: ${wordsOf(begun)}; ${mayBeTorn}`,
    { cause: error, ambiguous: true },
  );
}

const refusal = (failure: FailureName, action: string, because: string, next: string): Failure =>
  new Failure(failure, `Cannot ${action}: ${because}\n  ${next}`);
