import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Color } from '../../../domain/color.js';
import type { Failure } from '../../../domain/failures.js';
import type { ServerName } from '../../../domain/names.js';
import type { BackendState, LoadBalancerObservation } from '../../../domain/observation.js';
import { allTo, sameSplit, type Split } from '../../../domain/split.js';
import type { LoadBalancerDriver, RouteChange } from '../../../drivers/load-balancers/driver.js';
import { endless } from '../../../drivers/patience.js';

/** One load balancer with a service of two blue and two green servers, and objects of somebody else beside it. */
export interface LoadBalancerWorld {
  readonly servers: Readonly<Record<Color, readonly ServerName[]>>;
  /** A driver as a worker makes it. After `callsToLive` calls it never reaches the load balancer again. Those with one life end together. */
  driver(callsToLive?: number | Life): LoadBalancerDriver;
  /** Calls that drivers have made so far, and those of them that change something. */
  readonly calls: number;
  readonly writes: number;
  /** Where the load balancer really sends traffic, by what it runs. */
  published(): Promise<Split | 'torn'>;
  /** Servers that really get no traffic because they were set inactive. */
  inactive(): Promise<readonly ServerName[]>;
  /** Settles when nothing is being published. */
  quiet(): Promise<void>;
  /** Somebody changes an object, of ours or not, and publishes it or not. Tells its name. */
  edit(whose: 'ours' | 'theirs', how: 'published' | 'stored'): Promise<string>;
  /** Somebody moves the traffic by hand. */
  move(to: Color): Promise<void>;
  /** The answer to the n-th write from now (1 is the next) is lost; `after` it was carried out or before. */
  loseAnswer(nth: number, moment: 'before' | 'after'): void;
  setBackend(server: ServerName, state: Exclude<BackendState, 'absent'>): Promise<void>;
  /** Servers that really are backups of the other environment. */
  backups?(): Promise<readonly ServerName[]>;
  /** The environment that testers really reach while everybody else does not. */
  testersReach?(): Promise<Color | undefined>;
  /** Puts it back: all on blue, nothing stored. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** The calls that are left to a worker that will be killed. */
export interface Life {
  left: number;
}

export const lifeOf = (callsToLive: number | Life): Life =>
  typeof callsToLive === 'number' ? { left: callsToLive } : callsToLive;

export interface ContractOptions {
  /** Nobody else uses it at the same time: what workflows see to. */
  readonly inTurns?: boolean;
  /** Where each call costs time: crashes are tried behind every so many of them. */
  readonly crashesBehindEvery?: number;
  /** Whether edits are stored first and published later. Where they are not, one that is `stored` is in effect at once. */
  readonly stages?: boolean;
  /** What it can do beside moving all traffic; what it cannot it refuses. */
  readonly offers?: readonly Offer[];
}

type Offer = 'division' | 'fallback' | 'testers';

/** All that a load balancer can have. */
export const everyOffer: readonly Offer[] = ['division', 'fallback', 'testers'];

/** What every load balancer driver promises, whatever it is made of. */
export function keepsLoadBalancerPromises(
  name: string,
  aWorld: () => Promise<LoadBalancerWorld>,
  { inTurns = false, crashesBehindEvery = 1, stages = true, offers = [] }: ContractOptions = {},
): void {
  describe(name, () => {
    let world: LoadBalancerWorld;
    let driver: LoadBalancerDriver;
    beforeAll(async () => {
      world = await aWorld();
    });
    const reset = async (): Promise<void> => {
      await world.reset();
      driver = world.driver();
    };
    beforeEach(reset);
    afterAll(() => world.close());

    const observe = (): Promise<LoadBalancerObservation> => driver.observe(endless);
    const route = (to: Color, options: Partial<RouteChange> = {}, by = driver) =>
      by.route({ to: allTo(to), expected: undefined, purpose: 'forward', leaveOut: [], ...options }, endless);
    const expectation = async (): Promise<Readonly<Record<string, string>>> => {
      const { objects, ours } = await observe();
      return Object.fromEntries(ours.map((object) => [object, objects[object] ?? 'absent']));
    };

    test('says what is live, without changing anything', async () => {
      const before = world.writes;
      const seen = await observe();
      expect(seen.traffic).toEqual({ kind: 'split', split: allTo('blue') });
      expect(seen.staged).toEqual([]);
      expect(seen.targets.join()).toContain('blue');
      expect(seen.ours.length).toBeGreaterThan(0);
      expect(world.writes).toBe(before);
    });

    test('says the same of an unchanged load balancer, whatever is live', async () => {
      const before = await expectation();
      await route('green', { leaveOut: world.servers.green.slice(0, 1) });
      expect(await expectation()).toEqual(before);
      expect((await observe()).recentSwitchesMs.length).toBeGreaterThan(0);
    });

    test('moves all traffic and reads it back', async () => {
      const report = await route('green', { expected: await expectation() });
      expect(report).toMatchObject({ changed: true, split: allTo('green'), published: [] });
      expect(await world.published()).toEqual(allTo('green'));
      const seen = await observe();
      expect(seen.traffic).toEqual({ kind: 'split', split: allTo('green') });
      expect(seen.staged).toEqual([]);
    });

    test('changes nothing and writes nothing when traffic is there already', async () => {
      await route('green');
      const before = world.writes;
      expect(await route('green', { expected: await expectation() })).toMatchObject({ changed: false });
      expect(world.writes).toBe(before);
    });

    test('leaves servers out in the same change, and takes them in with the next', async () => {
      const [left = never()] = world.servers.green;
      await route('green', { leaveOut: [left] });
      expect(await world.inactive()).toEqual([left]);
      expect((await observe()).backends.find(({ server }) => server === left)?.state).toBe('inactive');
      await route('green');
      expect(await world.inactive()).toEqual([]);
    });

    test('sets servers of the other environment active and inactive without moving traffic', async () => {
      const [left = never(), other = never()] = world.servers.green;
      for (const expected of [await expectation(), undefined]) {
        await route('blue', { expected, leaveOut: [left, other] });
        expect([...(await world.inactive())].sort()).toEqual([left, other].sort());
        await route('blue', { expected, leaveOut: [left], takeIn: [other] });
        expect(await world.inactive()).toEqual([left]);
        await route('blue', { expected });
        expect(await world.inactive(), 'what is not named stays as it is').toEqual([left]);
        expect(await world.published()).toEqual(allTo('blue'));
        await route('blue', { expected, takeIn: [left] });
        expect(await world.inactive()).toEqual([]);
      }
    });

    test('refuses when an object of ours has changed, and names it', async () => {
      const expected = await expectation();
      const object = await world.edit('ours', 'published');
      const before = world.writes;
      const failure = await failureOf(route('green', { expected }));
      expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
      expect(failure.message).toContain(object);
      expect(world.writes).toBe(before);
      expect(await world.published()).toEqual(allTo('blue'));
    });

    test('does not mind changes of somebody else that were published', async () => {
      const expected = await expectation();
      await world.edit('theirs', 'published');
      await route('green', { expected });
      expect(await world.published()).toEqual(allTo('green'));
    });

    if (stages)
      test('says that somebody has stored edits', async () => {
        await world.edit('theirs', 'stored');
        expect((await observe()).staged.length).toBeGreaterThan(0);
      });

    if (stages)
      test('refuses to publish stored edits of somebody else on the way forward', async () => {
        const expected = await expectation();
        await world.edit('theirs', 'stored');
        const before = world.writes;
        const failure = await failureOf(route('green', { expected }));
        expect(failure).toMatchObject({ failure: 'StagedEditsFound' });
        expect(world.writes).toBe(before);
        expect(await world.published()).toEqual(allTo('blue'));
      });

    if (stages)
      test('goes back although somebody has stored edits elsewhere, and lists them', async () => {
        await route('green');
        const expected = (await observe()).objects;
        const object = await world.edit('theirs', 'stored');
        const report = await route('blue', { expected, purpose: 'rollback' });
        expect(report.published.join()).toContain(object);
        expect(await world.published()).toEqual(allTo('blue'));
      });

    if (stages)
      test('does not go back over stored edits of our objects, and says what either way means', async () => {
        await route('green');
        const expected = await expectation();
        const object = await world.edit('ours', 'stored');
        const failure = await failureOf(route('blue', { expected, purpose: 'rollback' }));
        expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
        expect(failure.message).toContain(object);
        expect(failure.message).toContain('not going back');
        expect(await world.published()).toEqual(allTo('green'));
      });

    test('goes back although an object of ours was changed, once that is published', async () => {
      await route('green');
      const expected = await expectation();
      await world.edit('ours', 'published');
      await route('blue', { expected, purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('blue'));
    });

    test('goes back over anything when nothing is expected', async () => {
      await route('green');
      await world.edit('ours', 'stored');
      await route('blue', { purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('blue'));
    });

    test('tells that somebody has moved the traffic', async () => {
      await world.move('green');
      expect((await observe()).traffic).toEqual({ kind: 'split', split: allTo('green') });
    });

    test('sees servers up, down and unchecked', async () => {
      const [up, down] = world.servers.blue;
      await world.setBackend(down ?? never(), 'down');
      const states = async () =>
        Object.fromEntries((await observe()).backends.map(({ server, state }) => [server, state]));
      expect(await states()).toMatchObject({ [up ?? never()]: 'up', [down ?? never()]: 'down' });
      await world.setBackend(down ?? never(), 'unchecked');
      expect(await states()).toMatchObject({ [up ?? never()]: 'up', [down ?? never()]: 'unchecked' });
      const checked = (await observe()).backends.find(({ server }) => server === up);
      expect(checked?.checkedAtMs ?? checked?.checkedWithinMs).toBeGreaterThan(0);
    });

    /** Has a worker die behind its first call, its second, and so on, until one lives to the end. */
    const crashBehindEveryCall = async (
      act: (by: LoadBalancerDriver) => Promise<unknown>,
      goOn: (moment: string) => Promise<void>,
    ): Promise<void> => {
      for (let lived = 0, touched = true; ; lived += crashesBehindEvery) {
        if (touched) await reset();
        const writes = world.writes;
        const failure = await act(world.driver(lived)).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure === undefined) return expect(lived).toBeGreaterThan(2);
        // Where nothing was written, the next worker starts as the first did.
        touched = world.writes > writes || lived === 0;
        if (touched) await goOn(`crash behind call ${lived}`);
      }
    };

    test('ends in the asked split when another worker goes on after a crash behind any call', async () => {
      const change = { expected: await expectation(), leaveOut: world.servers.green.slice(0, 1) };
      const act = (by: LoadBalancerDriver) => route('green', change, by);
      await crashBehindEveryCall(act, async (moment) => {
        await act(world.driver());
        expect(await world.published(), moment).toEqual(allTo('green'));
        expect(await world.inactive(), moment).toEqual(change.leaveOut);
        expect((await observe()).staged, moment).toEqual([]);
      });
    }, 180_000);

    test('goes back after a crash behind any call of the way forward', async () => {
      const expected = await expectation();
      const act = (by: LoadBalancerDriver) => route('green', { expected }, by);
      await crashBehindEveryCall(act, async (moment) => {
        await route('blue', { purpose: 'rollback' }, world.driver());
        expect(await world.published(), moment).toEqual(allTo('blue'));
        expect((await observe()).staged, moment).toEqual([]);
      });
    }, 180_000);

    for (const moment of ['before', 'after'] as const) {
      test(`moves traffic although the connection breaks ${moment} any write`, async () => {
        const expected = await expectation();
        const before = world.writes;
        await route('green', { expected });
        const writes = world.writes - before;
        for (let nth = 1; nth <= writes; nth++) {
          await reset();
          world.loseAnswer(nth, moment);
          await route('green', { expected });
          expect(await world.published(), `write ${nth}`).toEqual(allTo('green'));
          expect((await observe()).staged).toEqual([]);
        }
      }, 120_000);
    }

    const divide = (green: number, options: Partial<RouteChange> = {}, by = driver) =>
      by.route(
        {
          to: { blue: 100 - green, green },
          expected: undefined,
          purpose: 'forward',
          leaveOut: [],
          ...options,
        },
        endless,
      );

    test('refuses what it cannot', async () => {
      const before = world.writes;
      const asked = {
        division: () => divide(10),
        fallback: () => route('green', { fallback: true }),
        testers: () => route('blue', { testers: true }),
      };
      for (const [offer, ask] of Object.entries(asked)) {
        if (offers.some((offered) => offered === offer)) continue;
        expect(await failureOf(ask())).toMatchObject({ failure: 'RequestInvalid' });
      }
      expect(world.writes).toBe(before);
    });

    if (offers.includes('division'))
      describe('that divides traffic', () => {
        test('divides new traffic, step by step, and says so', async () => {
          const before = await expectation();
          for (const green of [10, 50]) {
            const { objects } = await observe();
            const split = { blue: 100 - green, green };
            expect(await divide(green, { expected: objects })).toMatchObject({ changed: true, split });
            expect(await world.published()).toEqual(split);
            expect((await observe()).traffic).toEqual({ kind: 'split', split });
            expect(await expectation(), 'no edit of an object of ours').toEqual(before);
            const writes = world.writes;
            expect(await divide(green)).toMatchObject({ changed: false });
            expect(world.writes).toBe(writes);
          }
          await route('green', { expected: (await observe()).objects });
          expect(await world.published()).toEqual(allTo('green'));
        });

        test('divides between the servers that are not left out', async () => {
          const leaveOut = world.servers.green.slice(0, 1);
          await divide(25, { leaveOut });
          expect(await world.published()).toEqual({ blue: 75, green: 25 });
          expect(await world.inactive()).toEqual(leaveOut);
        });

        test('goes back from a divided split to one environment', async () => {
          await divide(10);
          await route('blue', { purpose: 'rollback' });
          expect(await world.published()).toEqual(allTo('blue'));
          expect((await observe()).staged).toEqual([]);
        });

        test('ends in the asked division when another worker goes on after a crash behind any call', async () => {
          const { objects: expected } = await observe();
          const act = (by: LoadBalancerDriver) => divide(10, { expected }, by);
          await crashBehindEveryCall(act, async (moment) => {
            await act(world.driver());
            expect(await world.published(), moment).toEqual({ blue: 90, green: 10 });
            expect((await observe()).staged, moment).toEqual([]);
          });
        }, 180_000);
      });

    if (offers.includes('fallback'))
      describe('that has a fallback', () => {
        test('lets the old servers stand by, those that are left out apart, until a change says nothing of it', async () => {
          const before = await expectation();
          const [left = never(), other = never()] = world.servers.blue;
          await route('green', { expected: before, fallback: true, leaveOut: [left] });
          expect(await world.backups?.()).toEqual([other]);
          expect((await observe()).backups).toEqual([other]);
          expect(await expectation()).toEqual(before);
          await route('green', { expected: before, takeIn: [left] });
          expect(await world.backups?.()).toEqual([]);
          expect((await observe()).backups ?? []).toEqual([]);
          expect(await world.published()).toEqual(allTo('green'));
        });

        test('takes the standing by back on the way back', async () => {
          await route('green', { fallback: true });
          expect([...((await world.backups?.()) ?? [])].sort()).toEqual([...world.servers.blue].sort());
          await route('blue', { purpose: 'rollback' });
          expect(await world.backups?.()).toEqual([]);
          expect(await world.published()).toEqual(allTo('blue'));
        });

        test.each(['forward', 'rollback'] as const)(
          'takes it back where the traffic stays (%s), whatever is expected',
          async (purpose) => {
            await route('green', { fallback: true });
            await route('green', { purpose });
            expect(await world.backups?.()).toEqual([]);
            expect((await observe()).backups ?? []).toEqual([]);
            expect(await world.published()).toEqual(allTo('green'));
          },
        );
      });

    if (offers.includes('testers'))
      describe('that knows testers', () => {
        test('lets testers reach the other environment before anybody else, until the next change', async () => {
          const before = await expectation();
          await route('blue', { expected: before, testers: true });
          expect(await world.testersReach?.()).toBe('green');
          const seen = await observe();
          expect(seen.testersReach).toBe('green');
          expect(seen.traffic).toEqual({ kind: 'split', split: allTo('blue') });
          expect(await expectation()).toEqual(before);
          await route('green', { expected: before });
          expect(await world.testersReach?.()).toBeUndefined();
          await route('green', { testers: true });
          expect(await world.testersReach?.()).toBe('blue');
          await route('green', { purpose: 'rollback' });
          expect(await world.testersReach?.()).toBeUndefined();
          expect((await observe()).testersReach).toBeUndefined();
        });
      });

    if (!inTurns)
      test('ends in one of two asked splits when two workers ask at once', async () => {
        for (let round = 0; round < 5; round++) {
          await reset();
          await route('green');
          const [one, other] = [world.driver(), world.driver()];
          await Promise.allSettled([
            route('blue', { purpose: 'rollback' }, one),
            route('green', { purpose: 'rollback', leaveOut: [] }, other),
          ]);
          await world.quiet();
          const ended = await world.published();
          expect(
            ended === 'torn' ? ended : sameSplit(ended, allTo('blue')) || sameSplit(ended, allTo('green')),
          ).toBe(true);
        }
      }, 120_000);

    test('takes back what it stored when the caller gives up before publishing', async () => {
      const gone = new AbortController();
      const progress = (what: string): void => {
        if (what.startsWith('storing')) gone.abort(new Error('cancelled'));
      };
      const change: RouteChange = {
        to: allTo('green'),
        expected: await expectation(),
        purpose: 'forward',
        leaveOut: world.servers.green.slice(0, 1),
      };
      await expect(driver.route(change, { signal: gone.signal, progress })).rejects.toThrow('cancelled');
      expect(await world.published()).toEqual(allTo('blue'));
      expect(await world.inactive()).toEqual([]);
      expect((await observe()).traffic).toEqual({ kind: 'split', split: allTo('blue') });
    });

    test('sees publishing through when the caller gives up meanwhile', async () => {
      const gone = new AbortController();
      const progress = (what: string): void => {
        if (what.startsWith('publishing')) gone.abort(new Error('cancelled'));
      };
      const change: RouteChange = {
        to: allTo('green'),
        expected: undefined,
        purpose: 'rollback',
        leaveOut: [],
      };
      const report = await driver.route(change, { signal: gone.signal, progress });
      expect(report).toMatchObject({ changed: true });
      expect(await world.published()).toEqual(allTo('green'));
    });

    test('does nothing for a caller who has given up', async () => {
      const gone = { signal: AbortSignal.abort(new Error('cancelled')), progress: () => undefined };
      const before = world.calls;
      await expect(driver.observe(gone)).rejects.toThrow('cancelled');
      expect(world.calls).toBe(before);
    });
  });
}

export async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  return promise.then(
    () => {
      throw new Error('Cannot find a failure: it worked');
    },
    (error: unknown) => error as Failure,
  );
}

const never = (): never => {
  throw new Error('Cannot go on: the world has too few servers');
};
