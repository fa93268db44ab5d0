import { performance } from 'node:perf_hooks';
import { Failure, inOneLine } from '../../domain/failures.js';
import type {
  BackendObservation,
  Division,
  LoadBalancerObservation,
  Traffic,
} from '../../domain/observation.js';
import type { ServerName } from '../../domain/names.js';
import { describeSplit, sameSplit, type Split } from '../../domain/split.js';
import type { Patience } from '../patience.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';
import { oursDiffer } from './expectation.js';
import { inDoubt } from './in-doubt.js';

/** One of several load balancers of a service, under the name that its configuration gives it. */
export interface NamedLoadBalancer {
  readonly name: string;
  readonly driver: LoadBalancerDriver;
}

/**
 * Several load balancers of one service, in regions for example, that follow one change together: all looked at before the
 * first write, moved one after the other, and sent back in reverse order when one of them cannot be moved. From the first to
 * the last, visitors meet both environments: the report tells how long.
 */
export const severalLoadBalancers = (
  all: readonly NamedLoadBalancer[],
  nowMs: () => number = () => performance.now(),
): LoadBalancerDriver => new SeveralLoadBalancers(all, nowMs);

/** One of them, and how it was before anything was written. */
interface Member extends NamedLoadBalancer {
  readonly before: LoadBalancerObservation;
}

interface Moved extends Member {
  readonly report: RouteReport;
  readonly doneAtMs: number;
}

/** A change under way. */
interface Moving {
  readonly change: RouteChange;
  readonly patience: Patience;
  readonly nowMs: () => number;
  /** Some were moved, and then sent back. */
  wasSentBack: boolean;
}

class SeveralLoadBalancers implements LoadBalancerDriver {
  readonly name: string;
  readonly #all: readonly NamedLoadBalancer[];
  readonly #nowMs: () => number;

  constructor(all: readonly NamedLoadBalancer[], nowMs: () => number) {
    this.#nowMs = nowMs;
    this.name = all.map(({ name, driver }) => `${name} (${driver.name})`).join(' and ');
    this.#all = all;
  }

  async observe(patience: Patience): Promise<LoadBalancerObservation> {
    return together(await this.#look(patience));
  }

  async prepare(change: RouteChange, patience: Patience): Promise<void> {
    await this.#prepared(change, patience);
  }

  async route(change: RouteChange, patience: Patience): Promise<RouteReport> {
    const startedAtMs = this.#nowMs();
    const moving: Moving = { change, patience, nowMs: this.#nowMs, wasSentBack: false };
    const members = await this.#prepared(change, patience);
    const moved = await this.#moved(members, moving);
    const traffic = await this.#together(moving).catch((error: unknown) => {
      throw inDoubt(error);
    });
    if (!follows(traffic, change.to)) throw this.#notMoved(change, traffic);
    return reportOf(change, moved, this.#nowMs() - startedAtMs);
  }

  /** Where somebody else was in the way, or may have been, those that were moved are not left apart from the others. */
  async #moved(members: readonly Member[], moving: Moving): Promise<readonly Moved[]> {
    const all = moving.change.purpose === 'rollback' ? moveAll : moveAllOrNone;
    try {
      return await all(members, moving);
    } catch (error) {
      const isWanted = moving.change.purpose === 'rollback';
      if (isWanted ? !isContended(error) : !moving.wasSentBack) throw error;
      const traffic = await this.#together(moving, isWanted).catch(toldOnly(moving.patience));
      throw traffic?.kind === 'split' ? error : leftApart(error, []);
    }
  }

  async #prepared(change: RouteChange, patience: Patience): Promise<readonly Member[]> {
    const members = await this.#look(patience);
    await Promise.all(members.map((member) => prepare(member, change, patience)));
    return members;
  }

  async #look(patience: Patience): Promise<readonly Member[]> {
    patience.signal.throwIfAborted();
    return Promise.all(
      this.#all.map(async (each) => ({ ...each, before: await each.driver.observe(patience) })),
    );
  }

  /**
   * Two that move the same load balancers at the same time must not leave them apart. Who has the first one has won, and sees to
   * the others; who has not, or wants it no more, puts its own to where the first one is. Tells where they are in the end.
   */
  async #together({ change, patience: { progress } }: Moving, isWanted = true): Promise<Traffic> {
    const seenThrough = { progress, signal: never };
    for (let round = 1; ; round++) {
      const members = await this.#look(seenThrough);
      const [leader] = members;
      const isOurs = leader !== undefined && follows(leader.before.traffic, change.to);
      if (isOurs && !isWanted) return trafficOf(members);
      const apart = members.filter(({ before }) => follows(before.traffic, change.to) !== isOurs);
      if (apart.length === 0 || round > mostRounds || leader?.before.traffic.kind !== 'split')
        return trafficOf(members);
      for (const { name, driver } of apart) {
        progress(`bringing ${name} to where ${leader.name} is`);
        const asked = isOurs ? changeAt(name, change) : wayBackTo(leader.before);
        await named(name, () => driver.route(asked, seenThrough));
      }
    }
  }

  #notMoved({ to }: RouteChange, traffic: Traffic): Failure {
    const found = traffic.kind === 'split' ? `they send ${describeSplit(traffic.split)}` : traffic.detail;
    return new Failure(
      'TrafficNotMoved',
      `Cannot send ${describeSplit(to)} on ${this.name}: ${found}; somebody else moves traffic at the same time\n  let one of the two finish, then look again: verdigris status`,
    );
  }
}

/** How often load balancers are brought together again that somebody else moves at the same time. */
const mostRounds = 5;

const follows = (traffic: Traffic, split: Split): boolean =>
  traffic.kind === 'split' && sameSplit(traffic.split, split);

/** Whether it failed because of what somebody else does. */
const isContended = (error: unknown): boolean =>
  error instanceof Failure &&
  ['LoadBalancerChanged', 'StagedEditsFound', 'TrafficNotMoved'].includes(error.failure);

/** What has failed already is the error to throw. */
const toldOnly =
  ({ progress }: Patience) =>
  (trouble: unknown): undefined =>
    progress(`they could not be brought together: ${String(trouble)}`) as undefined;

/** Never aborted: what has begun is seen through, or put back. */
const never = new AbortController().signal;

/** Fails as moving it would, before anything is written. */
async function prepare(member: Member, change: RouteChange, patience: Patience): Promise<void> {
  const { name, driver, before } = member;
  const asked = changeAt(name, change);
  await named(name, async () => driver.prepare?.(asked, patience));
  if (asked.expected === undefined || change.purpose === 'rollback') return;
  const changed = oursDiffer(asked.expected, before.objects, before.ours);
  if (changed.length === 0) return;
  throw new Failure(
    'LoadBalancerChanged',
    `Cannot send ${describeSplit(change.to)} on ${name}: ${changed.map((words) => `${name}/${words}`).join(', ')} by somebody else, needs to be as planned\n  nothing was moved; look at it and deploy again`,
  );
}

/** Forward: all of them, or none. Gives up between two when the caller does. */
async function moveAllOrNone(members: readonly Member[], moving: Moving): Promise<readonly Moved[]> {
  const moved: Moved[] = [];
  for (const member of members) {
    try {
      moving.patience.signal.throwIfAborted();
      moved.push(await move(member, moving));
    } catch (error) {
      throw await sentBack(member, moved, error, moving);
    }
  }
  return moved;
}

/** Back: as many as can be moved, whatever fails, since each visitor counts. Once begun it is seen through. */
async function moveAll(members: readonly Member[], moving: Moving): Promise<readonly Moved[]> {
  const { patience } = moving;
  const moved: Moved[] = [];
  const failed: unknown[] = [];
  for (const [index, member] of members.entries()) {
    try {
      const seenThrough = index === 0 ? moving : { ...moving, patience: { ...patience, signal: never } };
      moved.push(await move(member, seenThrough));
    } catch (error) {
      // Who has the first one decides: the others are not ours to move.
      if (index === 0 && (patience.signal.aborted || isContended(error))) throw error;
      failed.push(error);
      patience.progress(`${member.name} was not moved: ${String(error)}`);
    }
  }
  if (failed.length > 0)
    throw moved.length > 0 || failed.some(mayHaveMoved) ? leftApart(failed[0], moved) : failed[0];
  return moved;
}

function leftApart(error: unknown, moved: readonly Moved[]): unknown {
  if (!(error instanceof Failure)) return error;
  const went = moved.length > 0 ? `${moved.map(({ name }) => name).join(', ')} went back; ` : '';
  return new Failure(error.failure, `${error.message}\n  ${went}${apartUntilNext}`, {
    cause: error,
    ambiguous: true,
  });
}

const apartUntilNext = 'its load balancers may point at different environments until the next try';

async function move(member: Member, { change, patience, nowMs }: Moving): Promise<Moved> {
  const { name, driver } = member;
  const progress = (what: string): void => patience.progress(`${what} (${name})`);
  const asked = changeAt(name, change);
  const report = await named(name, () => driver.route(asked, { ...patience, progress }));
  return { ...member, report, doneAtMs: nowMs() };
}

/** The error to throw once traffic is where it was, on those that were moved, the last one first. */
async function sentBack(
  failed: Member,
  moved: readonly Moved[],
  error: unknown,
  moving: Moving,
): Promise<unknown> {
  const { progress } = moving.patience;
  const back = [
    ...(mayHaveMoved(error) ? [failed] : []),
    ...moved.filter(({ report }) => report.changed).toReversed(),
  ];
  moving.wasSentBack = back.length > 0;
  const words: string[] = [];
  let isLeft = false;
  for (const { name, driver, before } of back) {
    progress(`sending the traffic of ${name} back`);
    try {
      const { published } = await driver.route(wayBackTo(before), { progress, signal: never });
      const alongside = published.length === 0 ? '' : ` (with it went out: ${published.join(', ')})`;
      words.push(`${name} was sent back${alongside}`);
    } catch (trouble) {
      isLeft = true;
      words.push(
        `${name} could not be sent back (${inOneLine(trouble instanceof Error ? trouble.message : String(trouble))})`,
      );
    }
  }
  if (words.length === 0 || !(error instanceof Failure)) return error;
  const told = [words.join('; '), ...(isLeft ? [apartUntilNext] : [])];
  return new Failure(error.failure, [error.message, ...told].join('\n  '), {
    cause: error,
    ambiguous: error.ambiguous || isLeft,
  });
}

/** Whether a change that failed may have been published all the same. A refusal says that nothing was. */
const mayHaveMoved = (error: unknown): boolean =>
  error instanceof Failure &&
  (error.ambiguous || error.failure === 'RefreshFailed' || error.failure === 'TrafficNotMoved');

/** What makes a load balancer as it was. One that was torn before is left as it is. */
function wayBackTo({ traffic, backends, backups = [], testersReach }: LoadBalancerObservation): RouteChange {
  if (traffic.kind !== 'split') throw new Error(`it was not as a deployment leaves it: ${traffic.detail}`);
  const named = (isOut: boolean): readonly ServerName[] =>
    backends
      .filter(({ state }) => state !== 'absent' && (state === 'inactive') === isOut)
      .map(({ server }) => server);
  return {
    to: traffic.split,
    expected: undefined,
    purpose: 'rollback',
    leaveOut: named(true),
    takeIn: named(false),
    ...(backups.length > 0 ? { fallback: true } : {}),
    ...(testersReach === undefined ? {} : { testers: true }),
  };
}

/** The change as one of them is asked for it: what is expected of the others is not its concern. */
function changeAt(name: string, change: RouteChange): RouteChange {
  const { expected } = change;
  if (expected === undefined) return change;
  const own = Object.entries(expected).flatMap(([object, digest]) =>
    object.startsWith(`${name}/`) ? [[object.slice(name.length + 1), digest] as const] : [],
  );
  return { ...change, expected: Object.fromEntries(own) };
}

/** Failures say which of them they are about. */
async function named<Result>(name: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.failure, `${error.message}\n  at the load balancer "${name}"`, {
      cause: error,
      ambiguous: error.ambiguous,
    });
  }
}

function reportOf({ to }: RouteChange, moved: readonly Moved[], tookMs: number): RouteReport {
  const changed = moved.filter(({ report }) => report.changed);
  const shares = moved.find(({ report }) => report.shares !== undefined)?.report.shares;
  const doneAt = changed.map(({ doneAtMs }) => doneAtMs);
  return {
    changed: changed.length > 0,
    split: to,
    ...(shares === undefined ? {} : { shares }),
    tookMs: changed.length > 0 ? tookMs : 0,
    published: moved.flatMap(({ name, report }) => report.published.map((words) => `${name}: ${words}`)),
    ...(changed.length > 1
      ? {
          skewMs: Math.max(...doneAt) - Math.min(...doneAt),
          order: changed.map(({ name, report }) => ({ name, tookMs: report.tookMs })),
        }
      : {}),
  };
}

function together(members: readonly Member[]): LoadBalancerObservation {
  const lacking = [...new Set(members.flatMap(({ before }) => before.lacking ?? []))];
  const [credentialEnds] = members
    .flatMap(({ before }) => before.credentialEnds ?? [])
    .toSorted((one, other) => one.atMs - other.atMs);
  const durations = members.map(({ before }) => before.recentSwitchesMs);
  const intervals = members.flatMap(({ before }) => before.probeEveryMs ?? []);
  return {
    traffic: trafficOf(members),
    targets: members.flatMap(({ name, before }) => before.targets.map((target) => `${name}: ${target}`)),
    objects: Object.fromEntries(
      members.flatMap(({ name, before }) =>
        Object.entries(before.objects).map(([object, digest]) => [`${name}/${object}`, digest] as const),
      ),
    ),
    ours: members.flatMap(({ name, before }) => before.ours.map((object) => `${name}/${object}`)),
    ...abilitiesOf(members),
    staged: members.flatMap(({ name, before }) => before.staged.map((edit) => `${name}: ${edit}`)),
    backends: backendsOf(members),
    ...(intervals.length > 0 ? { probeEveryMs: Math.max(...intervals) } : {}),
    // They are moved one after the other, and so is the way back.
    recentSwitchesMs: Array.from({ length: Math.min(...durations.map(({ length }) => length)) }, (_, index) =>
      durations.reduce((sum, each) => sum + (each[index] ?? 0), 0),
    ),
    ...(lacking.length > 0 ? { lacking } : {}),
    ...(credentialEnds ? { credentialEnds } : {}),
  };
}

type Abilities = Pick<
  LoadBalancerObservation,
  'division' | 'diversions' | 'backups' | 'testersReach' | 'unready' | 'unprobed' | 'unequal' | 'unsettled'
>;

/** All of them can what each of them can. */
function abilitiesOf(members: readonly Member[]): Abilities {
  const inWords = (of: 'diversions' | 'unready' | 'unprobed' | 'unsettled'): readonly string[] =>
    members.flatMap(({ name, before }) => (before[of] ?? []).map((words) => `${name}: ${words}`));
  const [diversions, unready, unprobed] = [inWords('diversions'), inWords('unready'), inWords('unprobed')];
  const unsettled = inWords('unsettled');
  const unequal = members.flatMap(({ name, before }) =>
    (before.unequal ?? []).map(({ words, breaks }) => ({ words: `${name}: ${words}`, breaks })),
  );
  const backups = [...new Set(members.flatMap(({ before }) => before.backups ?? []))];
  const [testersReach, ...others] = new Set(members.map(({ before }) => before.testersReach));
  const division = divisionOf(members);
  return {
    ...(division ? { division } : {}),
    ...(diversions.length > 0 ? { diversions } : {}),
    ...(unready.length > 0 ? { unready } : {}),
    ...(unprobed.length > 0 ? { unprobed } : {}),
    ...(unequal.length > 0 ? { unequal } : {}),
    ...(unsettled.length > 0 ? { unsettled } : {}),
    ...(backups.length > 0 ? { backups } : {}),
    ...(testersReach && others.length === 0 ? { testersReach } : {}),
  };
}

function divisionOf(members: readonly Member[]): Division | undefined {
  const known = members.flatMap(({ name, before: { division } }) => (division ? [{ name, division }] : []));
  if (known.length < members.length) return undefined;
  return known
    .map(({ name, division }): Division =>
      division.kind === 'possible' ? division : { ...division, because: `${name}: ${division.because}` },
    )
    .reduce((one, other) => {
      if (one.kind === 'impossible' || other.kind === 'impossible')
        return one.kind === 'impossible' ? one : other;
      return {
        kind: 'possible',
        shares: one.shares === 'of new clients' ? one.shares : other.shares,
        smallest: {
          blue: Math.max(one.smallest.blue, other.smallest.blue),
          green: Math.max(one.smallest.green, other.smallest.green),
        },
      };
    });
}

function trafficOf(members: readonly Member[]): Traffic {
  const strange = members.find(({ before: { traffic } }) => traffic.kind !== 'split');
  if (strange && strange.before.traffic.kind !== 'split') {
    const { kind, detail } = strange.before.traffic;
    return { kind, detail: `${strange.name}: ${detail}` };
  }
  const found = members.flatMap(({ name, before: { traffic } }) =>
    traffic.kind === 'split' ? [{ name, split: traffic.split }] : [],
  );
  const [first] = found;
  if (first && found.every(({ split }) => sameSplit(split, first.split)))
    return { kind: 'split', split: first.split };
  const words = found.map(({ name, split }) => `${name} sends ${describeSplit(split)}`).join(', ');
  return { kind: 'torn', detail: `its load balancers differ (${words})` };
}

/** The worst that any of them says of a server. */
function backendsOf(members: readonly Member[]): readonly BackendObservation[] {
  const seen = members.flatMap(({ before }) => before.backends);
  return [...new Set(seen.map(({ server }) => server))].map((server) => {
    const own = seen.filter((backend) => backend.server === server);
    const worst = own.reduce((one, other) => (badness(other) > badness(one) ? other : one));
    const { server: name, color, state } = worst;
    return { server: name, color, state, ...checksOf(own) };
  });
}

/** As old as the oldest of their checks; nothing where one of them tells nothing of its own. */
function checksOf(
  seen: readonly BackendObservation[],
): Pick<BackendObservation, 'checkedAtMs' | 'checkedWithinMs'> {
  const at = seen.flatMap(({ checkedAtMs }) => checkedAtMs ?? []);
  const within = seen.flatMap(({ checkedAtMs, checkedWithinMs }) =>
    checkedAtMs === undefined ? (checkedWithinMs ?? []) : [],
  );
  if (at.length + within.length < seen.length) return {};
  return {
    ...(at.length > 0 ? { checkedAtMs: Math.min(...at) } : {}),
    ...(within.length > 0 ? { checkedWithinMs: Math.max(...within) } : {}),
  };
}

const states = ['up', 'unchecked', 'down', 'inactive', 'absent'] as const;
const badness = ({ state }: BackendObservation): number => states.indexOf(state);
