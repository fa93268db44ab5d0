import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { allTo } from '../../../domain/split.js';
import type { RouteChange } from '../../../drivers/load-balancers/driver.js';
import { endless } from '../../../drivers/patience.js';
import type { OvhApi } from '../../../ovh/api.js';
import { asTheRealOne, type OvhApiBehaviour } from '../../../sandbox/ovh-api/behaviour.js';
import { failureOf } from './load-balancer.contract.js';
import { aSlowIplb, type IplbWorld } from './ovh-iplb-world.js';

/** What nobody can know of the real API without an account: either way a switch ends as it was asked for. */
const habits: readonly (readonly [string, Partial<OvhApiBehaviour>])[] = [
  ['queues a refresh that is ordered while one runs', { whileBusy: 'queue' }],
  ['refuses a refresh that is ordered while one runs', { whileBusy: 'reject409' }],
  ['merges a refresh that is ordered while one runs', { whileBusy: 'merge' }],
  ['publishes what was stored at the order of a refresh', { snapshotAt: 'order' }],
  ['publishes what is stored at the start of a refresh', { snapshotAt: 'start' }],
  ['counts edits as pending', { pendingCounts: 'edits' }],
  ['counts differences as pending', { pendingCounts: 'differences' }],
  ['tells of zones in which nothing is pending', { pendingZones: 'all' }],
  ['stores a weight of 0', { weightZero: 'keep' }],
  ['takes a weight of 0 for none', { weightZero: 'drop' }],
  ['answers writes with 201 and 204', { successStatus: { POST: 201, PUT: 204, DELETE: 204 } }],
  ['answers an order with 204 and no task', { successStatus: { POST: 204 } }],
  ['ignores keys that it does not know', { unknownKeys: 'ignore' }],
  ['ignores null in an edit', { nullInPut: 'ignore' }],
];

const pace = { todoMs: 5_000, doingMs: 90_000, instanceStaggerMs: 10_000 };

let world: IplbWorld;
beforeAll(async () => {
  world = await aSlowIplb();
});
beforeEach(async () => {
  world.emulator.admin.behave({ ...asTheRealOne, ...pace });
  await world.reset();
});
afterAll(() => world.close());

const route = (options: Partial<RouteChange> = {}, driver = world.driver()) =>
  driver.route(
    { to: allTo('green'), expected: undefined, purpose: 'forward', leaveOut: [], ...options },
    endless,
  );
const observe = () => world.driver().observe(endless);
const behave = (habit: Partial<OvhApiBehaviour>): void => world.emulator.admin.behave(habit);

/** The shared client, with something that happens right after each write. */
const afterEachWrite = (act: (method: 'PUT' | 'POST') => Promise<unknown>): OvhApi => {
  const { shared } = world;
  return {
    host: shared.host,
    get: (path, options) => shared.get(path, options),
    put: async (path, body, options) => {
      const answer = await shared.put(path, body, options);
      await act('PUT');
      return answer;
    },
    post: async (path, body, options) => {
      const answer = await shared.post(path, body, options);
      await act('POST');
      return answer;
    },
    delete: (path, options) => shared.delete(path, options),
    time: (options) => shared.time(options),
  };
};

describe.each(habits)('an API that %s', (_, habit) => {
  test('is switched there and back, each with one refresh', async () => {
    behave(habit);
    const { objects } = await observe();
    const before = world.orders();
    await route({ expected: objects });
    expect(await world.published()).toEqual(allTo('green'));
    expect(await observe()).toMatchObject({ staged: [], traffic: { kind: 'split', split: allTo('green') } });
    await route({ to: allTo('blue'), purpose: 'rollback' });
    expect(await world.published()).toEqual(allTo('blue'));
    expect(world.orders() - before).toBe(2);
  });

  test('is switched by the next worker when one crashes behind any write', async () => {
    const { objects } = await observe();
    const countedFrom = world.writes;
    await route({ expected: objects });
    const writes = world.writes - countedFrom;
    expect(writes).toBe(4);
    for (let lived = 1; lived <= writes; lived++) {
      behave({ ...asTheRealOne, ...pace });
      await world.reset();
      behave(habit);
      let left = lived;
      const dying = world.driverOver(
        afterEachWrite(async () => {
          if (--left === 0) throw new Error('killed');
        }),
      );
      await expect(route({ expected: objects }, dying), `write ${lived}`).rejects.toThrow();
      await route({ expected: objects });
      expect(await world.published(), `write ${lived}`).toEqual(allTo('green'));
      expect((await observe()).staged, `write ${lived}`).toEqual([]);
    }
  });

  test('is not made to publish what somebody else has stored, whether before or meanwhile', async () => {
    behave(habit);
    const { objects } = await observe();
    await world.edit('theirs', 'stored');
    const before = world.orders();
    expect(await failureOf(route({ expected: objects }))).toMatchObject({ failure: 'StagedEditsFound' });
    expect([world.orders() - before, await world.published()]).toEqual([0, allTo('blue')]);

    behave({ ...asTheRealOne, ...pace });
    await world.reset();
    behave(habit);
    let edited = false;
    const racing = world.driverOver(
      afterEachWrite(async (method) => {
        if (method === 'PUT' && !edited) await world.edit('theirs', 'stored');
        edited = true;
      }),
    );
    expect(await failureOf(route({ expected: objects }, racing))).toMatchObject({
      failure: 'StagedEditsFound',
    });
    expect([world.orders() - before, await world.published()]).toEqual([0, allTo('blue')]);
  });

  test('tells what somebody else stored while the refresh ran, published or not', async () => {
    behave(habit);
    const { objects } = await observe();
    const slipping = world.driverOver(
      afterEachWrite(async (method) => {
        if (method === 'POST') await world.edit('theirs', 'stored');
      }),
    );
    const { published } = await route({ expected: objects }, slipping);
    expect(published.join()).toContain(`http/farm/${world.otherFarm} was changed while this was published`);
    expect(await world.published()).toEqual(allTo('green'));
  });

  test('may hold an edit that was made and unmade', async () => {
    behave(habit);
    const { objects } = await observe();
    const farm = `${world.root}/http/farm/${world.otherFarm}`;
    for (const balance of ['leastconn', 'roundrobin'])
      await world.emulator.admin.editAsSomebodyElse('PUT', farm, { balance });
    await route({ expected: objects });
    expect(await world.published()).toEqual(allTo('green'));
    expect((await observe()).staged).toEqual([]);
  });
});

describe('an edit that leaves keys out', () => {
  test('may be refused: then nothing moves, and the words of the API are told', async () => {
    const { objects } = await observe();
    behave({ partialPut: 'refuse' });
    const before = world.orders();
    const failure = await failureOf(route({ expected: objects }));
    expect(failure).toMatchObject({ failure: 'StateUnclear', ambiguous: false });
    expect(failure.message).toMatch(/the API refuses the call \(PUT .*\/http\/frontend\/\d+: HTTP 400/);
    expect(world.orders() - before).toBe(0);
    expect(await observe()).toMatchObject({ staged: [], traffic: { split: allTo('blue') } });
  });
});

describe('a frontend that pointed at nothing', () => {
  const giveUpBeforePublishing = async () => {
    const staging = `http/frontend/${world.settings.stagingFrontend}`;
    await world.emulator.admin.editAsSomebodyElse('PUT', `${world.root}/${staging}`, { defaultFarmId: null });
    await world.emulator.admin.refreshAsSomebodyElse();
    await world.quiet();
    const { objects } = await observe();
    const gone = new AbortController();
    let puts = 0;
    const driver = world.driverOver(
      afterEachWrite(async (method) => {
        if (method === 'PUT' && ++puts === 3) gone.abort(new Error('gave up'));
      }),
    );
    return {
      objects,
      routing: driver.route(
        { to: allTo('green'), expected: objects, purpose: 'forward', leaveOut: [] },
        { signal: gone.signal, progress: () => undefined },
      ),
      staging,
    };
  };

  test('is cleared again with null where the API takes it', async () => {
    const { routing, staging } = await giveUpBeforePublishing();
    await expect(routing).rejects.toThrow('gave up');
    expect(await world.shared.get(`${world.root}/${staging}`)).toMatchObject({ defaultFarmId: null });
  });

  test('is told where the API ignores null, and the next try finishes the switch', async () => {
    behave({ nullInPut: 'clear' });
    const { routing, objects } = await giveUpBeforePublishing();
    behave({ nullInPut: 'ignore' });
    const failure = await failureOf(routing);
    expect(failure).toMatchObject({ failure: 'LoadBalancerUnreachable', ambiguous: true });
    expect(failure.message).toMatch(
      /Cannot put back what was stored[\s\S]*the next try finishes it or puts it back/,
    );
    await route({ expected: objects });
    expect(await world.published()).toEqual(allTo('green'));
  });
});
