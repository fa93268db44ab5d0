import { otherColor, type Color } from '../../../domain/color.js';
import { Failure } from '../../../domain/failures.js';
import type { OvhPublicCloudSettings, Server } from '../../../domain/service.js';
import { describeSplit, sameSplit, wholly, type Split } from '../../../domain/split.js';
import { weightsFor } from '../../../domain/weights.js';
import type { OvhApi } from '../../../ovh/api.js';
import { activityOf } from '../activity.js';
import type { RouteChange } from '../driver.js';
import { readAs } from '../ovh-document.js';
import type { Configuration } from './configuration.js';
import { Listener, Member, weightOf } from './documents.js';
import type { Write } from './lock.js';
import { mixedHindrances } from './mixed.js';
import type { View } from './view.js';

/** One field of one object, from what it is to what it shall be. */
export type Step =
  | {
      readonly field: 'weight';
      readonly object: string;
      readonly value: number;
      readonly before: number;
    }
  | {
      readonly field: 'defaultPoolId';
      readonly object: string;
      readonly value: string;
      readonly before: string | null;
    };

/** What has to be changed, in this order. Each list is empty where everything is so already. */
export interface Steps {
  /** What makes the pool ready that traffic will come to. */
  readonly prepare: readonly Step[];
  /** The listeners that carry the service's traffic. */
  readonly move: readonly Step[];
  /** What can wait until traffic has moved. */
  readonly settle: readonly Step[];
}

export const count = ({ prepare, move, settle }: Steps): number =>
  prepare.length + move.length + settle.length;

interface Means {
  readonly settings: OvhPublicCloudSettings;
  readonly servers: readonly Server[];
  readonly view: View;
  /** Completes "Cannot ...". */
  readonly action: string;
}

/**
 * What makes new traffic follow a change.
 * @throws Failure `RequestInvalid` where the load balancer cannot divide traffic like that, or could not take a server in
 * again as it was
 */
export function stepsFor(change: RouteChange, configuration: Configuration, means: Means): Steps {
  return new Planning(change, configuration, means).steps();
}

class Planning {
  readonly #change: RouteChange;
  readonly #configuration: Configuration;
  readonly #means: Means;

  constructor(change: RouteChange, configuration: Configuration, means: Means) {
    this.#change = change;
    this.#configuration = configuration;
    this.#means = means;
  }

  steps(): Steps {
    if (this.#change.fallback) throw this.#refusal('its members cannot stand by as backups');
    if (this.#change.testers) throw this.#refusal('it has no route for testers that could be opened');
    const color = wholly(this.#change.to);
    const pool = color ? this.#means.settings.pools[color] : this.#mixedPool(this.#change.to);
    const left = this.#activity('inactive');
    const taken = this.#activity('active');
    // Going back, traffic comes before servers that may follow it; unless nobody is there yet to take it.
    const isReady = color === undefined || this.#carries(color);
    const waits = this.#change.purpose === 'rollback' && isReady;
    const weights = color ? [] : this.#weightsIn(pool);
    return {
      prepare: [...left, ...(waits ? [] : taken), ...weights],
      move: this.#pointed(this.#means.settings.listeners, pool),
      settle: [...(waits ? taken : []), ...this.#staging(color)],
    };
  }

  /** Weights of members in their own environment's pool: the API has no other way to leave one out. */
  #activity(wanted: 'active' | 'inactive'): readonly Step[] {
    const { servers, settings, view } = this.#means;
    return servers.flatMap((server): readonly Step[] => {
      if (activityOf(server, this.#change) !== wanted) return [];
      const pool = settings.pools[server.color];
      const member = view.memberOf(server, pool, this.#configuration);
      if (!member) return [];
      const before = weightOf(member);
      const back = view.returningWeight(server, this.#configuration);
      if (wanted === 'inactive' && before > 0 && before !== back)
        throw this.#wouldLoseWeight(server, before, back);
      const value = wanted === 'inactive' ? 0 : before > 0 ? before : back;
      return step({ field: 'weight', object: `pool/${pool}/member/${member.id}`, value, before });
    });
  }

  #carries(color: Color): boolean {
    const { settings, view } = this.#means;
    const { known } = view.membersIn(settings.pools[color], this.#configuration);
    return known.some(([{ name }, member]) => weightOf(member) > 0 && !this.#change.leaveOut.includes(name));
  }

  #pointed(listeners: readonly string[], pool: string): readonly Step[] {
    return listeners.flatMap((id) => {
      const before = this.#configuration.listeners.get(id)?.defaultPoolId ?? null;
      return step({ field: 'defaultPoolId', object: `listener/${id}`, value: pool, before });
    });
  }

  /** While traffic is divided the staging listener stays where it is. */
  #staging(color: Color | undefined): readonly Step[] {
    const { stagingListener, pools } = this.#means.settings;
    if (stagingListener === undefined || color === undefined) return [];
    return this.#pointed([stagingListener], pools[otherColor(color)]);
  }

  /** The pool that divides traffic as asked, or one whose weights can be set so: best one that nobody reaches yet. */
  #mixedPool(split: Split): string {
    const { settings, view } = this.#means;
    const { mixed } = settings;
    if (!mixed)
      throw this.#refusal('a listener has one default pool, needs loadBalancer.mixed, or all traffic on one');
    const shares = mixed.pools.map((pool) => [pool, view.splitIn(pool, this.#configuration)] as const);
    const ready = shares.filter(([, found]) => found.kind === 'split' && sameSplit(found.split, split));
    const inUse = (pool: string): boolean =>
      settings.listeners.some((id) => this.#configuration.listeners.get(id)?.defaultPoolId === pool);
    const candidates =
      ready.length > 0 || mixed.weights === 'keep' ? ready.map(([pool]) => pool) : mixed.pools;
    const chosen = [
      ...ready.map(([pool]) => pool).filter(inUse),
      ...candidates.filter((pool) => !inUse(pool)),
      ...candidates,
    ];
    const [pool] = chosen;
    if (pool !== undefined) return this.#soundMixed(pool);
    const found = shares.map(
      ([id, share]) => `${id} gives ${share.kind === 'split' ? describeSplit(share.split) : 'nothing'}`,
    );
    throw this.#refusal(
      `no mixed pool divides it so (${found.join(', ')}), needs one, or loadBalancer.mixed.weights: set`,
    );
  }

  #soundMixed(id: string): string {
    const because = mixedHindrances(id, this.#configuration, this.#means);
    if (because.length > 0) throw this.#refusal(because.join('; '));
    return id;
  }

  /**
   * Weights of a mixed pool. Where it has the traffic, changes that take from the smaller share come first: on the way it is
   * never more than it was, or than was asked for.
   */
  #weightsIn(pool: string): readonly Step[] {
    const { settings, view } = this.#means;
    const { to, leaveOut } = this.#change;
    const { known } = view.membersIn(pool, this.#configuration);
    const left = known.filter(([{ name }]) => leaveOut.includes(name));
    const kept = known.filter(([{ name }]) => !leaveOut.includes(name));
    if (settings.mixed?.weights !== 'set') {
      const heavy = left.find(([, member]) => weightOf(member) > 0);
      if (heavy)
        throw this.#refusal(
          `${heavy[0].name} is left out and has weight in mixed pool ${pool}, needs loadBalancer.mixed.weights: set`,
        );
      return [];
    }
    const counted = (color: Color): number => kept.filter(([server]) => server.color === color).length;
    const counts = { blue: counted('blue'), green: counted('green') };
    const found = view.splitIn(pool, this.#configuration);
    const isSo =
      found.kind === 'split' &&
      sameSplit(found.split, to) &&
      kept.every(([, member]) => weightOf(member) > 0) &&
      left.every(([, member]) => weightOf(member) === 0);
    if (isSo) return [];
    const weights = weightsFor(to, counts);
    if (!weights)
      throw this.#refusal(
        `weights of 1 to 256 do not make that of ${counts.blue} servers of blue and ${counts.green} of green`,
      );
    const smaller: Color = to.green <= to.blue ? 'green' : 'blue';
    const steps = known.flatMap(([{ name, color }, member]) => {
      const value = leaveOut.includes(name) ? 0 : weights[color];
      const before = weightOf(member);
      const takes = color === smaller ? value < before : value > before;
      const object = `pool/${pool}/member/${member.id}`;
      return step({ field: 'weight', object, value, before }).map((taken) => ({ taken, takes }));
    });
    return steps.toSorted((a, b) => Number(b.takes) - Number(a.takes)).map(({ taken }) => taken);
  }

  #wouldLoseWeight({ name }: Server, weight: number, back: number): Failure {
    return this.#refusal(
      `${name} weighs ${weight}, and leaving it out sets that to 0; it would weigh ${back} when it is taken in again, needs loadBalancer.weights.${name}: ${weight}`,
    );
  }

  #refusal(because: string): Failure {
    return new Failure('RequestInvalid', `Cannot ${this.#means.action}: ${because}`);
  }
}

/** Nothing to do where it is so. */
const step = (wanted: Step): readonly Step[] => (wanted.value === wanted.before ? [] : [wanted]);

/** The step back. `undefined` where there is none: a listener without a default pool had nothing to be put back to. */
export const reversed = (taken: Step): Step | undefined => {
  if (taken.field === 'weight') return { ...taken, value: taken.before, before: taken.value };
  if (taken.before === null) return undefined;
  return { ...taken, value: taken.before, before: taken.value };
};

/**
 * How a step is written. All that an edit may name is sent along as it was read just before: whether the API would leave alone
 * what is not named is not known.
 */
export function writeOf(taken: Step, api: OvhApi, root: string, verb: string): Write {
  const path = `${root}/${taken.object}`;
  const words = `${verb} ${taken.object} ${taken.field} = ${taken.value}`;
  if (taken.field === 'weight') {
    return {
      words,
      holds: async () => weightOf(await readAs(api, path, Member)) === taken.value,
      put: async () => {
        const { name } = await readAs(api, path, Member);
        await api.put(path, { ...(name ? { name } : {}), weight: taken.value });
      },
    };
  }
  return {
    words,
    holds: async () => (await readAs(api, path, Listener)).defaultPoolId === taken.value,
    put: async () => {
      const { name, description, allowedCidrs, certificateId } = await readAs(api, path, Listener);
      const kept = { name, description, allowedCidrs, certificateId };
      await api.put(path, { ...given(kept), defaultPoolId: taken.value });
    },
  };
}

/** Null and nothing are left out: the API refuses a null where it wants a list. */
const given = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
