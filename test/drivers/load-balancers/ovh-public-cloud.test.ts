import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { allTo, type Split } from '../../../domain/split.js';
import type { RouteChange } from '../../../drivers/load-balancers/driver.js';
import { endless } from '../../../drivers/patience.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import type { Fault } from '../../../sandbox/ovh-api/faults.js';
import { ask } from '../../sandbox/load.js';
import { failureOf, keepsLoadBalancerPromises } from './load-balancer.contract.js';
import { aCarryingPublicCloud, aPublicCloud, type PublicCloudWorld } from './ovh-public-cloud-world.js';

keepsLoadBalancerPromises(
  'a Public Cloud Load Balancer, as slow as the real one',
  () => aPublicCloud({ isVirtual: true, isDivisible: true }),
  { stages: false, offers: ['division'] },
);

keepsLoadBalancerPromises(
  'a Public Cloud Load Balancer that carries traffic',
  () => aCarryingPublicCloud(startDataPlane()),
  { stages: false },
);

describe('a Public Cloud Load Balancer on its API', () => {
  let world: PublicCloudWorld;
  beforeAll(async () => {
    world = await aPublicCloud();
  });
  beforeEach(async () => {
    world.emulator.admin.behave({
      updatingMs: 2,
      lockedAnswer: 'immutable 409',
      unreachedPools: 'offline',
      publicCloudEdits: 'merge',
      readLagMs: 0,
      publicCloudV2: 'absent',
    });
    await world.reset();
    world.emulator.journal.clear();
  });
  afterAll(() => world.close());

  const change = (options: Partial<RouteChange> = {}): RouteChange => ({
    to: allTo('green'),
    expected: undefined,
    purpose: 'forward',
    leaveOut: [],
    ...options,
  });
  const route = (options: Partial<RouteChange> = {}, driver = world.driver()) =>
    driver.route(change(options), endless);
  const observe = () => world.driver().observe(endless);
  const listenerPath = (index: number): string => `listener/${world.settings.listeners[index]}`;
  const poolOf = (index: number) =>
    world.balancer.applied.get('listener', world.settings.listeners[index])?.fields['defaultPoolId'];

  test('moves listeners in their order, the staging one last, each with one write that nothing precedes', async () => {
    await route({ expected: (await observe()).objects });
    const { listeners, stagingListener, pools } = world.settings;
    expect(world.written()).toEqual([...listeners, stagingListener].map((id) => `PUT listener/${id} 200`));
    expect((await observe()).targets).toEqual([
      `listener "web" ${listeners[0]} -> pool ${pools.green} (green)`,
      `listener "web-alt" ${listeners[1]} -> pool ${pools.green} (green)`,
      `listener "staging" ${stagingListener} -> pool ${pools.blue} (blue), for probes only`,
    ]);
  });

  test('tells before its first write what would refuse it', async () => {
    const driver = world.driver();
    const { objects } = await driver.observe(endless);
    await driver.prepare?.(change({ expected: objects }), endless);
    expect((await failureOf(driver.prepare!(change({ to: { blue: 95, green: 5 } }), endless))).failure).toBe(
      'RequestInvalid',
    );
    const object = await world.edit('ours', 'published');
    const failure = await failureOf(driver.prepare!(change({ expected: objects }), endless));
    expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
    expect(failure.message).toContain(object);
    expect(world.written()).toEqual([]);
    expect(await world.published()).toEqual(allTo('blue'));
  });

  test('tells in what the pools of blue and green are set up differently, and whether that breaks anything', async () => {
    const { pools } = world.settings;
    expect((await observe()).unequal).toBeUndefined();
    const edit = async (path: string, body: object) => {
      await world.emulator.admin.editAsSomebodyElse('PUT', `${world.root}/${path}`, body as never);
      await world.quiet();
    };
    await edit(`pool/${pools.green}`, { algorithm: 'sourceIP' });
    await edit(`pool/${pools.green}`, { sessionPersistence: { type: 'sourceIP' } });
    const [{ id: monitor }] = (await world.emulator.admin.editAsSomebodyElse(
      'GET',
      `${world.root}/healthMonitor?poolId=${pools.blue}`,
    )) as [{ id: string }];
    await edit(`healthMonitor/${monitor}`, { maxRetriesDown: 7 });
    expect((await observe()).unequal).toEqual([
      { words: expect.stringMatching(/\(blue\) has sessionPersistence none and /), breaks: true },
      { words: expect.stringMatching(/algorithm roundRobin and .* sourceIP$/), breaks: false },
      { words: expect.stringMatching(/^the monitor of pool .* has maxRetriesDown 7 and /), breaks: false },
    ]);
  });

  describe('while the load balancer is locked', () => {
    test.each(['immutable 409', 'pending 409', 'bare 409', 'immutable 400', 'immutable 500'] as const)(
      'waits until a change of somebody else is applied, though it is told by %s',
      async (lockedAnswer) => {
        world.emulator.admin.behave({ lockedAnswer });
        const api = world.api();
        let isFirst = true;
        const racing = {
          ...wrapped(api),
          put: async (path: string, body: Readonly<Record<string, unknown>>) => {
            if (!isFirst) return api.put(path, body);
            isFirst = false;
            // Just between the driver's look at the lock and its write, and for as long as that takes.
            world.balancer.endNext({ status: 'stuck' });
            await foreignEdit();
            return api.put(path, body).finally(() => world.balancer.recover());
          },
        };
        await route({}, world.driverOver(racing));
        expect(await world.published()).toEqual(allTo('green'));
        expect(world.written()[0]).toMatch(/ (400|409|500)$/);
      },
    );

    test('says that it is locked when it stays so past the deadline', async () => {
      world.balancer.endNext({ status: 'stuck' });
      await foreignEdit();
      const driver = world.driverOver(world.api(), { updateDeadlineMs: 300 });
      const failure = await failureOf(driver.route(change(), endless));
      expect(failure).toMatchObject({ failure: 'RefreshFailed' });
      expect(failure.message).toContain('it is still "updating" after 0 s');
      world.balancer.recover();
    });

    test('waits before it says what is', async () => {
      world.emulator.admin.behave({ updatingMs: 100 });
      await foreignEdit();
      const said: string[] = [];
      await world.driver().observe({ signal: endless.signal, progress: (what) => said.push(what) });
      expect(said.join()).toContain('which is updating');
    });

    const foreignEdit = () =>
      world.emulator.admin.editAsSomebodyElse('PUT', `${world.root}/pool/${world.otherPool}`, {
        algorithm: 'sourceIP',
      });
  });

  describe('in error', () => {
    test('needs a person, and says so at once', async () => {
      world.balancer.endNext({ status: 'error' });
      const failure = await failureOf(route());
      expect(failure).toMatchObject({ failure: 'StateUnclear' });
      expect(failure.message).toContain('needs a person');
      expect(failure.message).toContain("OVHcloud's support");
      for (const doing of [observe(), route({ to: allTo('blue'), purpose: 'rollback' })])
        expect((await failureOf(doing)).message).toContain('its last change has failed');
      world.balancer.recover();
      await route({ to: allTo('blue'), purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('blue'));
    });
  });

  describe('with several listeners', () => {
    test('puts the first one back when the second cannot be moved', async () => {
      world.emulator.faults.add({ method: 'PUT', path: `*/${listenerPath(1)}`, action: '460' });
      const failure = await failureOf(route({ leaveOut: world.servers.green.slice(0, 1) }));
      expect(failure).toMatchObject({ failure: 'StateUnclear' });
      expect(await world.published()).toEqual(allTo('blue'));
      expect(await world.inactive()).toEqual([]);
      expect(world.written().filter((write) => write.includes(listenerPath(0)))).toHaveLength(2);
    });

    test('leaves on the way back what has come back, and says how far', async () => {
      await route();
      world.emulator.faults.add({ method: 'PUT', path: `*/${listenerPath(1)}`, action: '460' });
      const failure = await failureOf(route({ to: allTo('blue'), purpose: 'rollback' }));
      expect(failure.message).toContain(`gone back so far, and left so: ${listenerPath(0)}`);
      expect(poolOf(0)).toBe(world.settings.pools.blue);
      world.emulator.faults.clear();
      await route({ to: allTo('blue'), purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('blue'));
    });

    test('says that they are torn, and joins them on the way back', async () => {
      const { pools } = world.settings;
      await world.call('PUT', listenerPath(1), { defaultPoolId: pools.green });
      expect((await observe()).traffic).toMatchObject({ kind: 'torn' });
      await route({ to: allTo('blue'), purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('blue'));
    });
  });

  describe('states that no deployment leaves', () => {
    test('says that a listener points elsewhere, and brings it home', async () => {
      await world.call('PUT', listenerPath(0), { defaultPoolId: world.otherPool });
      const { traffic } = await observe();
      expect(traffic).toMatchObject({ kind: 'elsewhere' });
      expect(JSON.stringify(traffic)).toContain(`pool ${world.otherPool}`);
      await route({ purpose: 'rollback' });
      expect(await world.published()).toEqual(allTo('green'));
    });

    test.each(['blue', 'other'] as const)(
      'says why nobody probes the idle environment where the staging listener points at pool %s, and mends it without moving traffic',
      async (where) => {
        const { pools, stagingListener } = world.settings;
        const listener = `listener/${stagingListener}`;
        await world.call('PUT', listener, {
          defaultPoolId: where === 'blue' ? pools.blue : world.otherPool,
        });
        const seen = await observe();
        expect(seen.unprobed).toEqual([
          expect.stringMatching(
            `^listener "staging" ${stagingListener} -> pool .*, for probes only, needs pool ${pools.green} \\(green\\): nobody probes green$`,
          ),
        ]);
        expect(seen.traffic).toEqual({ kind: 'split', split: allTo('blue') });
        world.emulator.journal.clear();
        expect(await route({ to: allTo('blue'), purpose: 'rollback' })).toMatchObject({ changed: true });
        expect(world.written()).toEqual([`PUT ${listener} 200`]);
        expect((await observe()).unprobed).toBeUndefined();
      },
    );

    test('minds no staging listener that points elsewhere where the idle environment is probed all the same', async () => {
      world.emulator.admin.behave({ unreachedPools: 'monitored' });
      await world.call('PUT', `listener/${world.settings.stagingListener}`, {
        defaultPoolId: world.otherPool,
      });
      expect((await observe()).unprobed).toBeUndefined();
    });

    test('sees a policy that holds traffic on one environment, and refuses to switch under one that was added', async () => {
      const { objects } = await observe();
      const made = (await world.call('POST', 'l7Policy', {
        listenerId: world.settings.listeners[0],
        action: 'redirectToPool',
        redirectPoolId: world.settings.pools.blue,
      })) as { id: string };
      try {
        expect((await observe()).traffic, 'without rules it matches nothing').toMatchObject({
          kind: 'split',
        });
        await world.call('POST', `l7Policy/${made.id}/l7Rule`, {
          ruleType: 'header',
          compareType: 'equalTo',
          key: 'x-tester',
          value: 'yes',
        });
        expect((await observe()).traffic).toMatchObject({ kind: 'elsewhere' });
        const failure = await failureOf(route({ expected: objects }));
        expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
        expect(failure.message).toContain(`l7Policy/${made.id} was added`);
      } finally {
        await world.call('DELETE', `l7Policy/${made.id}`);
      }
    });

    test('refuses when a member of ours has gone', async () => {
      const made = (await world.call('POST', `pool/${world.settings.pools.green}/member`, {
        members: [{ address: '127.0.0.9', protocolPort: 1 }],
      })) as readonly { id: string }[];
      const { objects } = await observe();
      const name = `pool/${world.settings.pools.green}/member/${made[0]?.id}`;
      await world.call('DELETE', name);
      const failure = await failureOf(route({ expected: objects }));
      expect(failure).toMatchObject({ failure: 'LoadBalancerChanged' });
      expect(failure.message).toContain(`${name} was removed`);
    });

    test('notices a weight, a monitor and a listener that somebody has changed', async () => {
      const { objects } = await observe();
      const monitor = Object.keys(objects).find((name) => name.startsWith('healthMonitor/')) ?? '';
      const member = Object.keys(objects).find((name) => name.includes('/member/')) ?? '';
      expect((await observe()).probeEveryMs).toBe(2_000);
      for (const [name, made, unmade] of [
        [member, { weight: 7 }, { weight: 1 }],
        [monitor, { delay: 9 }, { delay: 2 }],
        [listenerPath(1), { description: 'mine' }, { description: null }],
      ] as const) {
        await world.call('PUT', name, made);
        const failure = await failureOf(route({ expected: objects }));
        expect(failure.message).toContain(`${name} was changed`);
        if (name === monitor) expect((await observe()).probeEveryMs).toBe(9_000);
        await world.call('PUT', name, unmade);
      }
      await route({ expected: objects });
    });
  });

  describe('what is not known of the provider', () => {
    test('keeps what an edit does not name, though the API should clear it', async () => {
      world.emulator.admin.behave({ publicCloudEdits: 'replace' });
      const { objects } = await observe();
      await route({ expected: objects, leaveOut: world.servers.green.slice(0, 1) });
      expect((await observe()).objects).toEqual(objects);
      const listener = world.balancer.applied.get('listener', world.settings.listeners[0]);
      expect(listener?.fields['allowedCidrs']).toEqual(['192.0.2.0/24']);
    });

    test('believes a read that lags only after a while', async () => {
      world.emulator.admin.behave({ readLagMs: 300 });
      await route();
      expect(await world.published()).toEqual(allTo('green'));
      expect(world.written()).toHaveLength(3);
    });

    test.each(['offline', 'noMonitor', 'monitored'] as const)(
      'says of members in a pool that no listener uses only what was seen, when they are %s',
      async (unreachedPools) => {
        const bare = await aPublicCloud({ behaviour: { unreachedPools }, staging: false });
        try {
          const { backends } = await bare.driver().observe(endless);
          const states = (color: string) =>
            backends.filter((one) => one.color === color).map(({ state }) => state);
          expect(states('blue')).toEqual(['up', 'up']);
          expect(new Set(states('green'))).toEqual(
            new Set([unreachedPools === 'monitored' ? 'up' : 'unchecked']),
          );
          await bare.driver().route(change(), endless);
          expect(await bare.published()).toEqual(allTo('green'));
        } finally {
          await bare.close();
        }
      },
    );

    test('calls nothing of the declarative API, whether it is there or not', async () => {
      world.emulator.admin.behave({ publicCloudV2: 'readable' });
      await observe();
      await route();
      expect(world.emulator.journal.entries.filter(({ path }) => path.includes('publicCloud'))).toEqual([]);
    });
  });

  describe('traffic that is divided', () => {
    const mixedWith = async (
      weights: 'keep' | 'set',
      shares: readonly (readonly [number, number])[],
      more?: object,
    ) => {
      const pools: string[] = [];
      for (const [blue, green] of shares) pools.push(await world.aMixedPool({ blue, green }, more));
      return { mixed: { pools, weights } };
    };
    const split = (green: number): Split => ({ blue: 100 - green, green });

    test('goes to the mixed pool whose weights make the share, there and back', async () => {
      const settings = await mixedWith('keep', [
        [19, 1],
        [3, 1],
      ]);
      const driver = world.driverOver(world.api(), settings);
      const { objects } = await driver.observe(endless);
      for (const to of [split(5), split(25), allTo('green'), split(25), allTo('blue')]) {
        expect(await driver.route(change({ to, expected: objects }), endless)).toMatchObject({ split: to });
        const seen = await driver.observe(endless);
        expect(seen.traffic).toEqual({ kind: 'split', split: to });
        expect(seen.objects).toEqual(objects);
        expect(seen.backends.map(({ state }) => state)).toContain('up');
      }
      const failure = await failureOf(driver.route(change({ to: split(10) }), endless));
      expect(failure).toMatchObject({ failure: 'RequestInvalid' });
      expect(failure.message).toContain('blue 95 %, green 5 %');
    });

    test('sets the weights of a mixed pool, and never gives the smaller share more on the way', async () => {
      const settings = await mixedWith('set', [[1, 1]]);
      const [mixed = ''] = settings.mixed.pools;
      const api = wrapped(world.api());
      const seenGreen: number[] = [];
      const watched = {
        ...api,
        put: async (path: string, body: Readonly<Record<string, unknown>>) => {
          const answer = await api.put(path, body);
          seenGreen.push(greenOf(mixed));
          return answer;
        },
      };
      const driver = world.driverOver(watched, settings);
      const { objects } = await driver.observe(endless);
      let before = 0;
      for (const green of [5, 25, 30, 25, 10, 100, 50, 0]) {
        const to = split(green);
        seenGreen.length = 0;
        await driver.route(change({ to, expected: objects }), endless);
        const smaller = (share: number): number => (green <= 50 ? share : 100 - share);
        for (const share of seenGreen)
          expect(smaller(share)).toBeLessThanOrEqual(Math.max(smaller(before), smaller(green)) + 0.5);
        const seen = await driver.observe(endless);
        expect(seen.traffic).toEqual({ kind: 'split', split: to });
        expect(seen.objects).toEqual(objects);
        expect(await driver.route(change({ to, expected: objects }), endless)).toMatchObject({
          changed: false,
        });
        before = green;
      }
    });

    /** The share of green that visitors of the first listener meet, in percent. */
    const greenOf = (mixed: string): number => {
      const { pools, listeners } = world.settings;
      const pool = world.balancer.objects.get('listener', listeners[0])?.fields['defaultPoolId'];
      if (pool !== mixed) return pool === pools.green ? 100 : 0;
      const weights = { blue: 0, green: 0 };
      for (const { fields } of world.balancer.objects.list('member', mixed)) {
        const server = world.members.find(({ port }) => port === fields['protocolPort']);
        if (server) weights[server.color] += Number(fields['weight']);
      }
      return (100 * weights.green) / (weights.blue + weights.green);
    };

    test('leaves a server out of it too, where it may set weights', async () => {
      const leaveOut = world.servers.green.slice(0, 1);
      const kept = world.driverOver(world.api(), await mixedWith('keep', [[3, 1]]));
      const failure = await failureOf(kept.route(change({ to: split(25), leaveOut }), endless));
      expect(failure.message).toContain('needs loadBalancer.mixed.weights: set');
      const set = world.driverOver(world.api(), await mixedWith('set', [[3, 1]]));
      await set.route(change({ to: split(25), leaveOut }), endless);
      const seen = await set.observe(endless);
      expect(seen.traffic).toEqual({ kind: 'split', split: split(25) });
      expect(seen.backends.filter(({ state }) => state === 'inactive').map(({ server }) => server)).toEqual(
        leaveOut,
      );
    });

    test.each([
      [{ algorithm: 'leastConnections' }, 'needs roundRobin'],
      [{ sessionPersistence: { type: 'sourceIP' } }, 'needs no session persistence'],
      [{ protocol: 'proxy' }, 'speaks proxy, needs http'],
    ])('refuses a mixed pool with %o, and says why', async (more, why) => {
      const driver = world.driverOver(world.api(), await mixedWith('keep', [[3, 1]], more));
      const failure = await failureOf(driver.route(change({ to: split(25) }), endless));
      expect(failure).toMatchObject({ failure: 'RequestInvalid' });
      expect(failure.message).toContain(why);
    });

    test('reaches visitors in just these shares', async () => {
      const dataPlane = startDataPlane();
      const carrying = await aCarryingPublicCloud(dataPlane, { isDivisible: true });
      try {
        const [listener = ''] = carrying.settings.listeners;
        const port = dataPlane.portOf(carrying.balancer.numberOf(listener));
        for (const green of [10, 25, 50, 100]) {
          const to = split(green);
          const shares = green === 100 ? {} : { shares: 'of new connections' };
          const report = await carrying.driver().route(change({ to, purpose: 'rollback' }), endless);
          expect(report).toMatchObject({ split: to, ...shares });
          await carrying.quiet();
          const met = { blue: 0, green: 0 };
          for (let asked = 0; asked < 200; asked++) met[(await ask(port)).body as 'blue' | 'green']++;
          expect(Math.abs(met.green - 2 * green), JSON.stringify(met)).toBeLessThanOrEqual(2);
        }
      } finally {
        await carrying.close();
      }
    });

    test('is refused without a mixed pool', async () => {
      expect((await failureOf(route({ to: split(5) }))).message).toContain('needs loadBalancer.mixed');
    });
  });

  test('would not leave out a server that it could not take in as it was', async () => {
    const [left] = world.servers.green;
    const { objects } = await observe();
    const member = world.balancer.objects
      .list('member', world.settings.pools.green)
      .find(({ fields }) => fields['name'] === left);
    await world.call('PUT', `pool/${world.settings.pools.green}/member/${member?.id}`, { weight: 5 });
    const failure = await failureOf(route({ leaveOut: [left!] }));
    expect(failure).toMatchObject({ failure: 'RequestInvalid' });
    expect(failure.message).toContain(`needs loadBalancer.weights.${left}: 5`);

    const told = world.driverOver(world.api(), { weights: { [left!]: 5 } });
    await told.route(change({ leaveOut: [left!] }), endless);
    await told.route(change(), endless);
    const weights = world.balancer.applied
      .list('member', world.settings.pools.green)
      .map(({ fields }) => fields['weight']);
    expect(weights).toEqual([5, 1]);
    expect(Object.keys(objects).length).toBeGreaterThan(10);
  });

  describe('an API that answers badly', () => {
    test('never says that nothing was moved when it is silent behind the move', async () => {
      const { listeners, stagingListener } = world.settings;
      const staging = `*/listener/${stagingListener}`;
      world.emulator.faults.add({ method: 'GET', path: staging, action: '500' });
      const failure = await failureOf(route({}, world.driverOver(world.api({ readDeadlineMs: 300 }))));
      expect(failure).toMatchObject({ failure: 'LoadBalancerUnreachable', ambiguous: true });
      expect(listeners.map((_, index) => poolOf(index))).toEqual(
        listeners.map(() => world.settings.pools.green),
      );
    });

    test.each<Fault>([
      { path: '*', times: 3, after: 2, action: '429' },
      { path: '*', times: 2, after: 2, action: '500' },
      { path: '*', times: 2, after: 14, action: '502-html' },
      { path: '*', times: 2, after: 12, action: 'cut-body' },
      { path: '*', times: 1, after: 13, action: 'hang' },
      { method: 'PUT', path: '*', times: 2, action: '429' },
      { method: 'PUT', path: '*', times: 1, after: 1, action: 'hang' },
      { method: 'PUT', path: '*', times: 2, action: '502-html' },
      { method: 'PUT', path: '*', times: 1, action: '500' },
      { method: 'PUT', path: '*', times: 1, action: 'cut-body' },
      { method: 'PUT', path: '*', times: 1, action: 'drop-after' },
    ])('moves traffic through %o', async (fault) => {
      world.emulator.faults.add(fault);
      const api = world.api({ readDeadlineMs: fault.action === 'hang' ? 1_500 : 10_000 });
      await route({}, world.driverOver(api));
      expect(await world.published()).toEqual(allTo('green'));
    });

    test.each([201, 204])('takes %d for success', async (status) => {
      world.emulator.admin.behave({ successStatus: { PUT: status } });
      await route();
      world.emulator.admin.behave({ successStatus: {} });
      expect(await world.published()).toEqual(allTo('green'));
    });
  });
});

/** The same client, as an object of plain functions. */
function wrapped(api: ReturnType<PublicCloudWorld['api']>) {
  return {
    host: api.host,
    get: api.get.bind(api),
    time: api.time.bind(api),
    put: api.put.bind(api),
    post: api.post.bind(api),
    delete: api.delete.bind(api),
  };
}
