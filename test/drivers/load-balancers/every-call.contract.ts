import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { otherColor, type Color } from '../../../domain/color.js';
import { Failure } from '../../../domain/failures.js';
import { allTo, sameSplit, type Split } from '../../../domain/split.js';
import type { LoadBalancerDriver, RouteChange } from '../../../drivers/load-balancers/driver.js';
import { endless } from '../../../drivers/patience.js';
import type { Time } from '../../../ovh/time.js';
import type { Turn } from './emulation.js';
import type { LoadBalancerWorld } from './load-balancer.contract.js';

/** One call of a driver: its kind, without names and numbers. */
export interface Called {
  readonly words: string;
  readonly isWrite: boolean;
}

export type HowOften = 'once' | 'from then on';

/** A world whose every call can be made to go wrong. Time in it jumps over waiting. */
export interface FaultyWorld extends LoadBalancerWorld {
  readonly time: Time;
  /** A driver that waits for `turn` before each of its calls. */
  pacedDriver(turn: Turn): LoadBalancerDriver;
  /** What drivers have called since the last `mend`, oldest first. */
  journal(): readonly Called[];
  /** What can be made to happen to a call. */
  readonly faults: readonly string[];
  /** One of each meaning to whoever calls. */
  readonly meanings: readonly string[];
  /** What a refusal names one of. */
  readonly names: RegExp;
  /** Makes it happen to the n-th call from now (1 is the next), or to that one and all that follow. */
  strike(fault: string, nth: number, howOften: HowOften): void;
  /** Ends all faults. */
  mend(): void;
  /** Somebody publishes whatever is stored. */
  refresh(): Promise<void>;
  /** Somebody points a part of our traffic at an environment, and stores that. */
  stray(to: Color): Promise<void>;
  /** Whether edits are stored first and published later. Where they are not, one that is `stored` is in effect at once. */
  readonly stages: boolean;
  /** Calls that tell a driver where traffic goes. */
  readonly tells: RegExp;
  /** Where there are several: nothing can be written to the last one until `mend`. */
  refuseLast?(): void;
  /** How all is now, as text: the same wherever a driver could not tell it from what was before but by the time. */
  state(): string;
  /** Remembers how all is now, and goes back to it when called. */
  bookmark(): () => Promise<void>;
}

/** What F of the load balancer's procedures does, and from where. */
interface Procedure {
  readonly name: string;
  readonly live: Color;
  /** Where traffic shall be in the end; nowhere else where nothing is asked. */
  readonly asked: Color | undefined;
  readonly prepare: (world: FaultyWorld) => Promise<void>;
  readonly run: (driver: LoadBalancerDriver, expected: Expected) => Promise<unknown>;
  /** The last of several load balancers refuses every write. */
  readonly isRefused?: true;
  /** It never publishes what somebody else has edited, where that can be seen before. */
  readonly isForward?: true;
  /** Nothing is stored when it begins. */
  readonly isClean?: true;
}

type Expected = RouteChange['expected'];

const route = (
  driver: LoadBalancerDriver,
  to: Color,
  {
    expected,
    purpose = 'forward',
  }: { readonly expected?: Expected; readonly purpose?: 'forward' | 'rollback' },
): Promise<unknown> => driver.route({ to: allTo(to), expected, purpose, leaveOut: [] }, endless);

const nothing = async (): Promise<void> => undefined;
const moved = async (world: FaultyWorld): Promise<void> => {
  await route(world.driver(), 'green', {});
};

const procedures: readonly Procedure[] = [
  {
    name: 'observe',
    live: 'blue',
    asked: undefined,
    prepare: nothing,
    run: (driver) => driver.observe(endless),
  },
  {
    name: 'switch',
    live: 'blue',
    asked: 'green',
    prepare: nothing,
    run: (driver, expected) => route(driver, 'green', { expected }),
    isForward: true,
    isClean: true,
  },
  {
    name: 'roll back',
    live: 'green',
    asked: 'blue',
    prepare: moved,
    run: (driver) => route(driver, 'blue', { purpose: 'rollback' }),
  },
  {
    name: 'roll back what is as expected',
    live: 'green',
    asked: 'blue',
    prepare: moved,
    run: (driver, expected) => route(driver, 'blue', { expected, purpose: 'rollback' }),
  },
  {
    name: 'resume',
    live: 'blue',
    asked: 'green',
    prepare: crashedBehindFirstWrite,
    run: (driver, expected) => route(driver, 'green', { expected }),
    isForward: true,
  },
];

/** What was moved before the one that cannot be is sent back. */
const revert: Procedure = {
  name: 'switch that the last one refuses',
  live: 'blue',
  asked: undefined,
  prepare: nothing,
  run: (driver, expected) => route(driver, 'green', { expected }),
  isRefused: true,
};

async function crashedBehindFirstWrite(world: FaultyWorld): Promise<void> {
  let hasWritten = false;
  const dying = world.pacedDriver(async (_nth, isWrite) => {
    if (hasWritten) throw new Error('killed');
    hasWritten = isWrite;
  });
  await expect(route(dying, 'green', {})).rejects.toThrow('killed');
}

/** Somebody else does something, and perhaps wants it to be so in the end. */
interface Interference {
  readonly what: string;
  readonly act: (world: FaultyWorld, live: Color) => Promise<unknown>;
  readonly wanted?: (live: Color) => Color;
  /** Nobody may go forward over it: wherever it can be seen, or where it is not in effect already. */
  readonly bars?: 'always' | 'stored';
  /** Where it is in effect at once, a part of the traffic stays there when nobody routes, or has looked his last. */
  readonly tears?: true;
}

const interferences: readonly Interference[] = [
  { what: 'an edit of ours is stored', act: (world) => world.edit('ours', 'stored'), bars: 'always' },
  { what: 'an edit of ours is published', act: (world) => world.edit('ours', 'published'), bars: 'always' },
  { what: 'an edit of theirs is stored', act: (world) => world.edit('theirs', 'stored'), bars: 'stored' },
  { what: 'an edit of theirs is published', act: (world) => world.edit('theirs', 'published') },
  { what: 'everything is published', act: (world) => world.refresh() },
  {
    what: 'traffic is moved by hand',
    act: (world, live) => world.move(otherColor(live)),
    wanted: otherColor,
  },
  {
    what: 'a part of our traffic is moved back and stored',
    act: (world, live) => world.stray(live),
    tears: true,
  },
  {
    what: 'a part of our traffic is moved on and stored',
    act: (world, live) => world.stray(otherColor(live)),
    tears: true,
  },
];

export interface EveryCallOptions {
  /** There are several load balancers that follow one change together. */
  readonly several?: true;
  /** Procedures in which this one calls what it does in others. */
  readonly alike?: readonly string[];
  /**
   * Which calls are met by what. `every`: each by every fault, and by whoever interferes. `kinds`, where there are many: each by every
   * fault; by others each call of a switch, else the first and the last of each kind of call between two writes. `writes`, for what
   * is made of drivers that keep their promises at every call: writes by one fault of each meaning, the call behind each and the
   * last by one in turn, and others interfere there with a switch. At every write a fault may stay for good, and every call of all
   * of them is met by a crash. `VERDIGRIS_EVERY_CALL=1` makes it `every` for all.
   */
  readonly calls?: 'every' | 'kinds' | 'writes';
}

/**
 * What is promised at every call, generated from the journal of an undisturbed run: whatever happens to any of them, and
 * whoever interferes between two of them, it ends in the asked split or in a refusal that names what was found, and never in a
 * split that nobody asked for; and the next driver gets through.
 */
export function keepsPromisesAtEveryCall(
  name: string,
  aWorld: () => Promise<FaultyWorld>,
  { alike = [], several, calls = 'every' }: EveryCallOptions = {},
): void {
  const thoroughness = process.env['VERDIGRIS_EVERY_CALL'] ? 'every' : calls;
  describe(name, () => {
    let world: FaultyWorld;
    let expected: Expected;
    beforeAll(async () => {
      world = await aWorld();
      await world.reset();
      expected = (await world.driver().observe(endless)).objects;
    });
    afterAll(() => world.close());

    const moments = (called: readonly Called[], name = ''): readonly number[] => {
      if (thoroughness === 'writes') return besideWrites(called);
      return thoroughness === 'every' || name === 'switch' ? allOf(called) : telling(called);
    };
    const strikesAt = (called: readonly Called[]): readonly Strike[] =>
      thoroughness === 'writes' ? strikesAtWrites(called, world) : everyStrike(called, world.faults);

    const all = several ? [...procedures, revert] : procedures;
    for (const procedure of all.filter((one) => !alike.includes(one.name))) {
      const rehearsed = () => Rehearsal.of(procedure, world, expected);

      test(`${procedure.name}: is gone on with after a crash behind every call`, async () => {
        const rehearsal = await rehearsed();
        const troubles: string[] = [];
        for (const { behind, goBack } of rehearsal.left) {
          for (const isQuiet of [false, true]) {
            await goBack();
            if (isQuiet) await world.quiet();
            const found = await rehearsal.troubleOfTheNext();
            if (found !== undefined) troubles.push(`dead behind ${rehearsal.words(behind)}: ${found}`);
          }
        }
        expect(troubles).toEqual([]);
      });

      test(`${procedure.name}: lives through every fault at every call`, async () => {
        const rehearsal = await rehearsed();
        const troubles: string[] = [];
        for (const { nth, fault, howOften } of strikesAt(rehearsal.called)) {
          await rehearsal.again();
          world.strike(fault, nth, howOften);
          const found = await rehearsal.troubleOf(world.driver(), { isAlone: true });
          if (found !== undefined) troubles.push(`${fault} ${howOften} at ${rehearsal.words(nth)}: ${found}`);
        }
        expect(troubles).toEqual([]);
      });

      if (thoroughness === 'writes' && procedure.name !== 'switch') continue;
      test(`${procedure.name}: bears whoever interferes before any call`, async () => {
        const rehearsal = await rehearsed();
        const troubles: string[] = [];
        for (const { what, act, wanted, tears, bars } of interferences) {
          for (const at of moments(rehearsal.called, procedure.name)) {
            await rehearsal.again();
            const driver = world.pacedDriver(async (nth) => {
              if (nth === at) await act(world, procedure.live);
            });
            const also: readonly Published[] = [
              ...(wanted ? [allTo(wanted(procedure.live))] : []),
              ...(tears && (procedure.asked === undefined || !rehearsal.looksAgain(at))
                ? ['torn' as const]
                : []),
            ];
            const isBarred = bars === 'always' || (bars === 'stored' && world.stages);
            const found = await rehearsal.troubleOf(driver, {
              also,
              mustRefuse: isBarred && rehearsal.sees(at),
            });
            if (found !== undefined) troubles.push(`${what} before ${rehearsal.words(at)}: ${found}`);
          }
        }
        expect(troubles).toEqual([]);
      });
    }

    bearsTwoAtOnce(() => world, { moments, numRuns: thoroughness === 'writes' ? 30 : 150 });
  });
}

type Published = Split | 'torn';

/** How else a run may end well, and how it may not. */
interface Allowed {
  readonly also?: readonly Published[];
  readonly mustRefuse?: boolean;
  /** Nobody else has done anything. */
  readonly isAlone?: boolean;
}

/** What a driver that died there has left. */
interface Left {
  readonly behind: number;
  readonly goBack: () => Promise<void>;
}

/** A procedure that went well once, to be run again and again from the same beginning. */
class Rehearsal {
  readonly called: readonly Called[];
  /** What is left by a crash behind any call, told apart by what the next driver could see. */
  readonly left: readonly Left[];
  readonly #procedure: Procedure;
  readonly #world: FaultyWorld;
  readonly #expected: Expected;
  readonly #goBack: () => Promise<void>;
  /** What a driver that has died since had begun was in effect at once. */
  readonly #wasTorn: boolean;
  /** What became of the next driver, by the state that it met: it would be the same again. */
  readonly #next = new Map<string, string | undefined>();

  static async of(procedure: Procedure, world: FaultyWorld, expected: Expected): Promise<Rehearsal> {
    await world.reset();
    await procedure.prepare(world);
    await world.quiet();
    const wasTorn = (await world.published()) === 'torn';
    const goBack = world.bookmark();
    world.mend();
    const left = new Map<string, Left>();
    const leave = (behind: number): void => {
      const state = world.state();
      if (!left.has(state)) left.set(state, { behind, goBack: world.bookmark() });
    };
    if (procedure.isRefused) world.refuseLast?.();
    const watched = world.pacedDriver(async (nth) => leave(nth - 1));
    const ended = await settled(procedure.run(watched, expected));
    expect(ended.status).toBe(procedure.isRefused ? 'rejected' : 'fulfilled');
    const called = world.journal();
    expect(called.length).toBeGreaterThan(0);
    leave(called.length);
    return new Rehearsal(procedure, world, expected, { called, left: [...left.values()], goBack, wasTorn });
  }

  private constructor(
    procedure: Procedure,
    world: FaultyWorld,
    expected: Expected,
    seen: Pick<Rehearsal, 'called' | 'left'> & {
      readonly goBack: () => Promise<void>;
      readonly wasTorn: boolean;
    },
  ) {
    this.#procedure = procedure;
    this.#world = world;
    this.#expected = expected;
    this.called = seen.called;
    this.left = seen.left;
    this.#goBack = seen.goBack;
    this.#wasTorn = seen.wasTorn;
  }

  async again(): Promise<void> {
    await this.#goBack();
    this.#world.mend();
    if (this.#procedure.isRefused) this.#world.refuseLast?.();
  }

  /** Whether where traffic goes is seen again from that call on. */
  looksAgain(nth: number): boolean {
    // The next call may be made at the same time.
    return this.called.slice(nth + 1).some(({ words }) => this.#world.tells.test(words));
  }

  words = (nth: number): string => `${nth} of ${this.called.length} (${this.called[nth - 1]?.words})`;

  /** Whether what happens before that call is seen before anything is published. */
  sees(nth: number): boolean {
    if (!this.#procedure.isForward) return false;
    const writes = this.called.flatMap(({ isWrite }, index) => (isWrite ? [index + 1] : []));
    return nth <= 1 + (this.#world.stages ? (writes.at(-2) ?? 0) : 0);
  }

  /** Runs it with a driver; tells why it did not end well, or why whoever comes next does not get through. */
  async troubleOf(
    driver: LoadBalancerDriver,
    { also = [], mustRefuse = false, isAlone = false }: Allowed = {},
  ): Promise<string | undefined> {
    const ended = await settled(this.#procedure.run(driver, this.#expected));
    this.#world.mend();
    await this.#world.quiet();
    if (mustRefuse && ended.status === 'fulfilled') return 'it went forward over that';
    if (isAlone && (await this.#leavesStored(ended)))
      return `what was stored is left, and would move traffic once somebody publishes it`;
    return this.#trouble(ended, await this.#world.published(), also) ?? (await this.troubleOfTheNext());
  }

  /** A refusal that is certain of itself leaves nothing of its own behind. */
  async #leavesStored(ended: PromiseSettledResult<unknown>): Promise<boolean> {
    const { live, isClean } = this.#procedure;
    if (!isClean || ended.status === 'fulfilled') return false;
    if (!(ended.reason instanceof Failure) || ended.reason.ambiguous) return false;
    const goBack = this.#world.bookmark();
    await this.#world.refresh();
    await this.#world.quiet();
    const published = await this.#world.published();
    await goBack();
    return !isSame(published, allTo(live));
  }

  #trouble(
    ended: PromiseSettledResult<unknown>,
    published: Published,
    also: readonly Published[],
  ): string | undefined {
    const { live, asked } = this.#procedure;
    const is = (wanted: Published | undefined): boolean => wanted !== undefined && isSame(published, wanted);
    if (ended.status === 'fulfilled') {
      if (is(allTo(asked ?? live)) || also.some(is)) return undefined;
      return `it worked, and traffic is ${JSON.stringify(published)}`;
    }
    const refused = refusalTrouble(ended.reason, this.#world.names);
    if (refused !== undefined) return refused;
    if (is(allTo(live)) || is(asked && allTo(asked)) || also.some(is)) return undefined;
    // As the dead one has left it; or as somebody has published what it had stored, before this one could do anything about it.
    const isTold = /different environments/.test(String(ended.reason));
    if (published === 'torn' && (this.#wasTorn || isTold)) return undefined;
    return `traffic is ${JSON.stringify(published)} after: ${(ended.reason as Error).message}`;
  }

  /** Why whoever comes next does not get through, or `undefined`. */
  async troubleOfTheNext(): Promise<string | undefined> {
    this.#world.mend();
    const met = this.#world.state();
    if (!this.#next.has(met)) this.#next.set(met, await this.#nextTrouble());
    return this.#next.get(met);
  }

  async #nextTrouble(): Promise<string | undefined> {
    const world = this.#world;
    const { live, asked = live } = this.#procedure;
    const forward = await settled(route(world.driver(), asked, { expected: this.#expected }));
    if (forward.status === 'rejected') {
      const refused = refusalTrouble(forward.reason, world.names);
      if (refused !== undefined) return `the next driver: ${refused}`;
      const back = await settled(route(world.driver(), live, { purpose: 'rollback' }));
      if (back.status === 'rejected') return `there is no way back: ${String(back.reason)}`;
    }
    const published = await world.published();
    const reached = forward.status === 'fulfilled' ? asked : live;
    return isSame(published, allTo(reached))
      ? undefined
      : `the next driver leaves ${JSON.stringify(published)}`;
  }
}

const settled = async (promise: Promise<unknown>): Promise<PromiseSettledResult<unknown>> => {
  const [ended] = await Promise.allSettled([promise]);
  return ended;
};

const isSame = (one: Published, other: Published): boolean =>
  one === 'torn' || other === 'torn' ? one === other : sameSplit(one, other);

/** Two who go back at the same time: one of them is who decides. */
function bearsTwoAtOnce(
  of: () => FaultyWorld,
  how: {
    readonly moments: (called: readonly Called[], name: string) => readonly number[];
    readonly numRuns: number;
  },
): void {
  const pairs: readonly (readonly [Color, Color])[] = [
    ['green', 'blue'],
    ['blue', 'green'],
    ['green', 'green'],
  ];
  /** A change was begun: whether they finish it or take it back, both have something to write. */
  const halfWay = async (): Promise<() => Promise<void>> => {
    const world = of();
    await world.reset();
    await crashedBehindFirstWrite(world);
    const again = world.bookmark();
    world.mend();
    return again;
  };
  const asking = (to: Color) => (turn: Turn) => route(of().pacedDriver(turn), to, { purpose: 'rollback' });
  const oneOfTheAsked = async (...asked: readonly Color[]): Promise<string | undefined> => {
    await of().quiet();
    const published = await of().published();
    const isAsked = asked.some((color) => isSame(published, allTo(color)));
    return isAsked ? undefined : `ends in ${JSON.stringify(published)}`;
  };

  test('two who route at once: one in the middle of the other, at every call', async () => {
    const again = await halfWay();
    await asking('green')(nothing);
    const moments = how.moments(of().journal(), 'switch');
    const troubles: string[] = [];
    for (const [outer, inner] of pairs) {
      for (const at of moments) {
        await again();
        let other: Promise<PromiseSettledResult<unknown>> | undefined;
        const ended = await settled(
          asking(outer)(async (nth) => {
            if (nth !== at) return;
            other = settled(asking(inner)(nothing));
            await other;
          }),
        );
        const found =
          (await oneOfTheAsked(outer, inner)) ??
          [ended, await other]
            .map((one) => one?.status === 'rejected' && refusalTrouble(one.reason, of().names))
            .find(Boolean);
        if (found) troubles.push(`${inner} in the middle of ${outer}, before ${at}: ${found}`);
      }
    }
    expect(troubles).toEqual([]);
  });

  test('two who route at once: in any order of their calls', async () => {
    const again = await halfWay();
    const paces = fc.array(fc.nat({ max: 40 }), { minLength: 8, maxLength: 24 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...pairs), paces, paces, async ([one, other], hers, his) => {
        await again();
        const paced = (pace: readonly number[]) => (nth: number) =>
          of().time.sleep(pace[nth % pace.length] ?? 0);
        const ended = await Promise.all([
          settled(asking(one)(paced(hers))),
          settled(asking(other)(paced(his))),
        ]);
        expect(await oneOfTheAsked(one, other), JSON.stringify(ended, shown)).toBeUndefined();
      }),
      { numRuns: how.numRuns, seed: 20_260_101, interruptAfterTimeLimit: 150_000 },
    );
  });
}

const shown = (_key: string, value: unknown): unknown => (value instanceof Error ? value.message : value);

interface Strike {
  readonly nth: number;
  readonly fault: string;
  readonly howOften: HowOften;
}

const forGood = (nth: number, faults: readonly string[]): readonly Strike[] =>
  faults.map((fault): Strike => ({ nth, fault, howOften: 'from then on' }));

const once = (nth: number, faults: readonly string[]): readonly Strike[] =>
  faults.map((fault): Strike => ({ nth, fault, howOften: 'once' }));

/** Every fault at every call, and for good from every write on. */
const everyStrike = (called: readonly Called[], faults: readonly string[]): readonly Strike[] =>
  called.flatMap(({ isWrite }, index) => [
    ...once(index + 1, faults),
    ...(isWrite ? forGood(index + 1, faults) : []),
  ]);

const strikesAtWrites = (
  called: readonly Called[],
  { faults, meanings }: Pick<FaultyWorld, 'faults' | 'meanings'>,
): readonly Strike[] =>
  besideWrites(called).flatMap((nth) =>
    called[nth - 1]?.isWrite
      ? [...once(nth, meanings), ...forGood(nth, meanings)]
      : once(nth, [faults[nth % faults.length] ?? '']),
  );

const allOf = (called: readonly Called[]): readonly number[] => called.map((_, index) => index + 1);

/** Writes, the call behind each, and the last of all, by number. */
const besideWrites = (called: readonly Called[]): readonly number[] =>
  allOf(called).filter(
    (nth) => nth === called.length || [nth - 2, nth - 1].some((index) => called[index]?.isWrite === true),
  );

/** The first and the last of each kind of call between two writes, by number. */
function telling(called: readonly Called[]): readonly number[] {
  const kinds = kindsOf(called);
  return allOf(called).filter((nth) => {
    const kind = kinds[nth - 1] ?? '';
    return kinds.indexOf(kind) === nth - 1 || kinds.lastIndexOf(kind) === nth - 1;
  });
}

/** What each call is, and how many writes went before it. */
function kindsOf(called: readonly Called[]): readonly string[] {
  let writes = 0;
  return called.map(({ words, isWrite }) => `${isWrite ? ++writes : writes} ${words}`);
}

const refusals: ReadonlySet<string> = new Set([
  'LoadBalancerUnreachable',
  'CredentialRefused',
  'LoadBalancerChanged',
  'StagedEditsFound',
  'RefreshFailed',
  'TrafficNotMoved',
  'StateUnclear',
]);

/** What is wrong with a refusal: it has to be one of those that drivers promise, and to name what was found. */
function refusalTrouble(error: unknown, names: RegExp): string | undefined {
  if (!(error instanceof Failure)) return `it broke: ${String((error as Error).stack)}`;
  if (!refusals.has(error.failure)) return `it failed as ${error.failure}: ${error.message}`;
  return names.test(error.message) ? undefined : `it names nothing: ${error.message}`;
}
