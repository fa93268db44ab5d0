import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { otherColor, type Color } from '../../../domain/color.js';
import { Failure } from '../../../domain/failures.js';
import { allTo, sameSplit } from '../../../domain/split.js';
import type { LoadBalancerDriver, RouteChange } from '../../../drivers/load-balancers/driver.js';
import { endless } from '../../../drivers/patience.js';
import type { Time } from '../../../ovh/time.js';
import type { LoadBalancerWorld } from './load-balancer.contract.js';

/** Called before each call of a driver, which waits for it. `nth` is 1 with the first. */
export type Turn = (nth: number, isWrite: boolean) => Promise<void>;

/** A world whose every call can be made to go wrong. Time in it jumps over waiting. */
export interface FaultyWorld extends LoadBalancerWorld {
  readonly time: Time;
  pacedDriver(turn: Turn): LoadBalancerDriver;
  /** What drivers have called since the last `mend`, oldest first: of each call its kind, without names and numbers. */
  journal(): readonly string[];
  /** What can be made to happen to a call. */
  readonly faults: readonly string[];
  /** Makes it happen to the n-th call from now (1 is the next), or to that one and all that follow. */
  strike(fault: string, nth: number, howOften: 'once' | 'from then on'): void;
  /** Ends all faults. */
  mend(): void;
  /** Somebody publishes whatever is stored. */
  refresh(): Promise<void>;
  /** Somebody points a part of our traffic at an environment, and stores that. */
  stray(to: Color): Promise<void>;
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
  },
];

async function crashedBehindFirstWrite(world: FaultyWorld): Promise<void> {
  let hasWritten = false;
  const dying = world.pacedDriver(async (_nth, isWrite) => {
    if (hasWritten) throw new Error('killed');
    hasWritten = isWrite;
  });
  await expect(route(dying, 'green', {})).rejects.toThrow('killed');
}

const foreigners: Readonly<Record<string, (world: FaultyWorld, live: Color) => Promise<unknown>>> = {
  'an edit of ours is stored': (world) => world.edit('ours', 'stored'),
  'an edit of ours is published': (world) => world.edit('ours', 'published'),
  'an edit of theirs is stored': (world) => world.edit('theirs', 'stored'),
  'an edit of theirs is published': (world) => world.edit('theirs', 'published'),
  'everything is published': (world) => world.refresh(),
  'traffic is moved by hand': (world, live) => world.move(otherColor(live)),
  'a part of our traffic is moved and stored': (world, live) => world.stray(live),
};

/**
 * What is promised at every call, generated from the journal of an undisturbed run: whatever happens to any of them, and
 * whoever interferes between two of them, it ends in the asked split or in a refusal that names what was found, and never in a
 * split that nobody asked for; and the next driver gets through.
 */
export function keepsPromisesAtEveryCall(
  name: string,
  aWorld: () => Promise<FaultyWorld>,
  /** Procedures in which this one calls what it does in others. */
  alike: readonly string[] = [],
): void {
  describe(name, () => {
    let world: FaultyWorld;
    let expected: Expected;
    /** What a driver that has died since had begun was in effect at once. */
    let foundTorn = false;
    beforeAll(async () => {
      world = await aWorld();
      await world.reset();
      expected = (await world.driver().observe(endless)).objects;
    });
    afterAll(() => world.close());

    /** Everything to run a procedure again and again from the same beginning. */
    const rehearsed = async (procedure: Procedure) => {
      await world.reset();
      await procedure.prepare(world);
      await world.quiet();
      foundTorn = (await world.published()) === 'torn';
      const again = world.bookmark();
      world.mend();
      const before = world.calls;
      await procedure.run(world.driver(), expected);
      const calls = world.journal();
      expect(calls.length).toBeGreaterThan(2);
      // The client asks for the time now and then, which is no call of the driver's.
      return { again, calls, length: world.calls - before };
    };

    /** Why a run did not end well, or `undefined`. */
    const trouble = async (
      { live, asked }: Procedure,
      ended: PromiseSettledResult<unknown>,
      allowed: readonly Color[] = [],
    ): Promise<string | undefined> => {
      await world.quiet();
      const published = await world.published();
      if (ended.status === 'rejected' && published === 'torn' && foundTorn) {
        return refusalTrouble(ended.reason); // as the dead one has left it
      }
      const is = (color: Color | undefined): boolean =>
        color !== undefined && published !== 'torn' && sameSplit(published, allTo(color));
      if (ended.status === 'fulfilled') {
        if (is(asked ?? live) || allowed.some(is)) return undefined;
        return `it worked, and traffic is ${JSON.stringify(published)}`;
      }
      const refused = refusalTrouble(ended.reason);
      if (refused !== undefined) return refused;
      if (is(live) || is(asked) || allowed.some(is)) return undefined;
      // What a dead driver has stored, somebody has published before this one could do anything about it.
      if (published === 'torn' && /different environments/.test(String(ended.reason))) return undefined;
      return `traffic is ${JSON.stringify(published)} after: ${(ended.reason as Error).message}`;
    };

    /** Why whoever comes next does not get through, or `undefined`. */
    const troubleOfTheNext = async ({ live, asked = live }: Procedure): Promise<string | undefined> => {
      world.mend();
      const [forward] = await Promise.allSettled([route(world.driver(), asked, { expected })]);
      if (forward.status === 'rejected') {
        const refused = refusalTrouble(forward.reason);
        if (refused !== undefined) return `the next driver: ${refused}`;
        const [back] = await Promise.allSettled([route(world.driver(), live, { purpose: 'rollback' })]);
        if (back.status === 'rejected') return `there is no way back: ${String(back.reason)}`;
      }
      const published = await world.published();
      const reached = forward.status === 'fulfilled' ? asked : live;
      if (published !== 'torn' && sameSplit(published, allTo(reached))) return undefined;
      return `the next driver leaves ${JSON.stringify(published)}`;
    };

    const settled = async (promise: Promise<unknown>): Promise<PromiseSettledResult<unknown>> => {
      const [ended] = await Promise.allSettled([promise]);
      return ended;
    };

    for (const procedure of procedures.filter((one) => !alike.includes(one.name))) {
      test(`${procedure.name}: goes on, or is gone on with, after a crash behind every call`, async () => {
        const { again, calls, length } = await rehearsed(procedure);
        const troubles: string[] = [];
        for (let lived = 0; lived < length; lived++) {
          await again();
          const ended = await settled(procedure.run(world.driver(lived), expected));
          if (ended.status === 'fulfilled') troubles.push(`${lived}: outlived its death`);
          await world.quiet();
          const found = await troubleOfTheNext(procedure);
          if (found !== undefined) troubles.push(`dead behind ${lived} (${calls[lived - 1]}): ${found}`);
        }
        expect(troubles).toEqual([]);
      });

      test(`${procedure.name}: lives through every fault at every call`, async () => {
        const { again, calls } = await rehearsed(procedure);
        const troubles: string[] = [];
        for (const { nth, fault, howOften } of strikes(calls, world.faults)) {
          await again();
          world.mend();
          world.strike(fault, nth, howOften);
          const ended = await settled(procedure.run(world.driver(), expected));
          world.mend();
          const found = (await trouble(procedure, ended)) ?? (await troubleOfTheNext(procedure));
          if (found !== undefined)
            troubles.push(`${fault} ${howOften} at ${nth} (${calls[nth - 1]}): ${found}`);
        }
        expect(troubles).toEqual([]);
      });

      test(`${procedure.name}: bears whoever interferes before any call`, async () => {
        const { again, calls, length } = await rehearsed(procedure);
        const troubles: string[] = [];
        for (const [what, interfere] of Object.entries(foreigners)) {
          const byHand = what === 'traffic is moved by hand' ? [otherColor(procedure.live)] : [];
          for (const at of procedure.name === 'switch' ? allOf(length) : telling(calls)) {
            await again();
            world.mend();
            const driver = world.pacedDriver(async (nth) => {
              if (nth === at) await interfere(world, procedure.live);
            });
            const ended = await settled(procedure.run(driver, expected));
            const found = (await trouble(procedure, ended, byHand)) ?? (await troubleOfTheNext(procedure));
            if (found !== undefined) troubles.push(`${what} before ${at} (${calls[at - 1]}): ${found}`);
          }
        }
        expect(troubles).toEqual([]);
      });
    }

    const pairs: readonly (readonly [Color, Color])[] = [
      ['green', 'blue'],
      ['blue', 'green'],
      ['green', 'green'],
    ];
    /** A change was begun: whether they finish it or take it back, both have something to write. */
    const halfWay = async (): Promise<() => Promise<void>> => {
      await world.reset();
      await crashedBehindFirstWrite(world);
      const again = world.bookmark();
      world.mend();
      return again;
    };
    const asking = (to: Color) => (turn: Turn) => route(world.pacedDriver(turn), to, { purpose: 'rollback' });
    const oneOfTheAsked = async (...asked: readonly Color[]): Promise<string | undefined> => {
      await world.quiet();
      const published = await world.published();
      const isAsked = asked.some((color) => published !== 'torn' && sameSplit(published, allTo(color)));
      return isAsked ? undefined : `ends in ${JSON.stringify(published)}`;
    };

    test('two who route at once: one in the middle of the other, at every call', async () => {
      const again = await halfWay();
      await asking('green')(nothing);
      const { length } = world.journal();
      const troubles: string[] = [];
      for (const [outer, inner] of pairs) {
        for (let at = 1; at <= length; at++) {
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
              .map((one) => one?.status === 'rejected' && refusalTrouble(one.reason))
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
            world.time.sleep(pace[nth % pace.length] ?? 0);
          const ended = await Promise.all([
            settled(asking(one)(paced(hers))),
            settled(asking(other)(paced(his))),
          ]);
          expect(await oneOfTheAsked(one, other), JSON.stringify(ended, shown)).toBeUndefined();
        }),
        { numRuns: 150, seed: 20_260_101, interruptAfterTimeLimit: 150_000 },
      );
    });
  });
}

const shown = (_key: string, value: unknown): unknown => (value instanceof Error ? value.message : value);

interface Strike {
  readonly nth: number;
  readonly fault: string;
  readonly howOften: 'once' | 'from then on';
}

const allOf = (length: number): readonly number[] => Array.from({ length }, (_, index) => index + 1);

/** The first and the last of each kind of call between two writes, by number. */
function telling(calls: readonly string[]): readonly number[] {
  const kinds = kindsOf(calls);
  return allOf(calls.length).filter(
    (nth) =>
      kinds.indexOf(kinds[nth - 1] ?? '') === nth - 1 || kinds.lastIndexOf(kinds[nth - 1] ?? '') === nth - 1,
  );
}

/** What each call is, and how many writes went before it. */
function kindsOf(calls: readonly string[]): readonly string[] {
  let writes = 0;
  return calls.map((call) => `${call.startsWith('GET') ? writes : ++writes} ${call}`);
}

/**
 * Every fault at every kind of call between two writes, and one of the faults, in turn, at each call that repeats such a one;
 * and all faults for good from every write on.
 */
function strikes(calls: readonly string[], faults: readonly string[]): readonly Strike[] {
  const kinds = kindsOf(calls);
  let turn = 0;
  return calls.flatMap((call, index) => {
    const nth = index + 1;
    const isWrite = !call.startsWith('GET');
    const isFirst = kinds.indexOf(kinds[index] ?? '') === index;
    const some = isFirst ? faults : [faults[turn++ % faults.length] ?? ''];
    const once = some.map((fault): Strike => ({ nth, fault, howOften: 'once' }));
    const forGood = isWrite ? faults.map((fault): Strike => ({ nth, fault, howOften: 'from then on' })) : [];
    return [...once, ...forGood];
  });
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
function refusalTrouble(error: unknown): string | undefined {
  if (!(error instanceof Failure)) return `it broke: ${String((error as Error).stack)}`;
  if (!refusals.has(error.failure)) return `it failed as ${error.failure}: ${error.message}`;
  const names =
    /(frontend|farm|server|route|listener|pool|member)s?\/|edits? in zone|task \d|(GET|PUT|POST|DELETE) \/|credential|consumer key|expired/;
  return names.test(error.message) ? undefined : `it names nothing: ${error.message}`;
}
