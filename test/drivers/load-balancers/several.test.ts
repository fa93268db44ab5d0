import { describe, expect, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import { ServerName } from '../../../domain/names.js';
import { allTo } from '../../../domain/split.js';
import type { BackendObservation } from '../../../domain/observation.js';
import type { LoadBalancerDriver, RouteChange } from '../../../drivers/load-balancers/driver.js';
import {
  createInMemoryLoadBalancer,
  InMemoryLoadBalancers,
  type InMemoryLink,
  type InMemoryLoadBalancer,
} from '../../../drivers/load-balancers/in-memory.js';
import { severalLoadBalancers } from '../../../drivers/load-balancers/several.js';
import { endless } from '../../../drivers/patience.js';
import { failureOf, everyOffer, keepsLoadBalancerPromises } from './load-balancer.contract.js';
import { aWorldInMemory } from './in-memory-world.js';
import { aPair } from './several-world.js';

keepsLoadBalancerPromises('two load balancers in memory', () => aWorldInMemory(['gra', 'sbg']), {
  inTurns: true,
  offers: everyOffer,
});

keepsLoadBalancerPromises('two OVHcloud Load Balancers', () => aPair('ovh-iplb', 'ovh-iplb'), {
  inTurns: true,
  crashesBehindEvery: 25,
});

keepsLoadBalancerPromises(
  'an OVHcloud Load Balancer and a Public Cloud Load Balancer',
  () => aPair('ovh-iplb', 'ovh-public-cloud'),
  { inTurns: true, stages: false, crashesBehindEvery: 25 },
);

const change = (options: Partial<RouteChange> = {}): RouteChange => ({
  to: allTo('green'),
  expected: undefined,
  purpose: 'forward',
  leaveOut: [],
  ...options,
});

const servers = (['blue', 'green'] as const).flatMap((color) =>
  [1, 2].map((number) => ({ name: ServerName(`${color}-${number}`), color })),
);

function aTrio() {
  const worlds = ['gra', 'sbg', 'waw'].map((name) => new InMemoryLoadBalancers().world(name));
  const publications: string[] = [];
  const named = worlds.map((world) => {
    const link: InMemoryLink = {
      read: () => world.read(),
      store: (object, values) => world.store(object, values),
      async publish() {
        await world.publish();
        publications.push(`${world.name} ${world.split.green === 100 ? 'green' : 'blue'}`);
      },
    };
    return { name: world.name, driver: createInMemoryLoadBalancer(world, servers, link) };
  });
  return {
    worlds: worlds as [InMemoryLoadBalancer, InMemoryLoadBalancer, InMemoryLoadBalancer],
    named,
    publications,
  };
}

describe('several load balancers', () => {
  test('look at servers as seldom as the one that does so most seldom', async () => {
    const seen = async (...every: readonly (number | undefined)[]) => {
      const members = aTrio().named.map(({ name, driver }, index) => {
        const observe = async (): ReturnType<typeof driver.observe> => {
          const probeEveryMs = every[index];
          const seenByIt = await driver.observe(endless);
          return probeEveryMs === undefined ? seenByIt : { ...seenByIt, probeEveryMs };
        };
        return { name, driver: { name, observe, route: driver.route.bind(driver) } };
      });
      return (await severalLoadBalancers(members).observe(endless)).probeEveryMs;
    };
    expect(await seen(30_000, undefined, 45_000)).toBe(45_000);
    expect(await seen()).toBeUndefined();
  });

  test('are moved in order, and the report tells how long visitors met both environments', async () => {
    const { named, publications } = aTrio();
    let nowMs = 0;
    const report = await severalLoadBalancers(named, () => (nowMs += 1_000)).route(change(), endless);
    expect(publications).toEqual(['gra green', 'sbg green', 'waw green']);
    expect(report).toMatchObject({ changed: true, split: allTo('green'), skewMs: 2_000 });
    expect(report.order?.map(({ name }) => name)).toEqual(['gra', 'sbg', 'waw']);
  });

  test('are sent back in reverse order when one cannot be moved, servers included, and that is told', async () => {
    const { worlds, named, publications } = aTrio();
    await severalLoadBalancers(named).route(
      change({ to: allTo('blue'), leaveOut: [ServerName('green-2')] }),
      endless,
    );
    publications.length = 0;
    worlds[2].failNext(new Failure('CredentialRefused', 'Cannot store: not granted'), { operation: 'store' });
    const failure = await failureOf(severalLoadBalancers(named).route(change(), endless));

    expect(failure).toMatchObject({ failure: 'CredentialRefused' });
    expect(failure.message).toMatch(/at the load balancer "waw"\n {2}sbg was sent back; gra was sent back$/);
    expect(publications).toEqual(['gra green', 'sbg green', 'sbg blue', 'gra blue']);
    for (const world of worlds) {
      expect(world.split).toEqual(allTo('blue'));
      expect(world.inactive).toEqual(['green-2']);
    }
  });

  test('tell whose edits went out when they were sent back', async () => {
    const { worlds, named } = aTrio();
    const publish = worlds[0].publish.bind(worlds[0]);
    worlds[0].publish = async () => {
      await publish();
      worlds[0].stageAsSomebodyElse('farm/other');
    };
    worlds[1].failNext(new Failure('CredentialRefused', 'Cannot store: not granted'), { operation: 'store' });
    const failure = await failureOf(severalLoadBalancers(named).route(change(), endless));
    expect(failure.message).toContain('gra was sent back (with it went out: an edit of farm/other)');
  });

  test('are sent back with the one whose refresh failed: nobody knows what it has published', async () => {
    const { worlds, named } = aTrio();
    worlds[1].failNext(new Failure('RefreshFailed', 'Cannot publish'), {
      operation: 'publish',
      effect: 'done',
    });
    const failure = await failureOf(severalLoadBalancers(named).route(change(), endless));
    expect(failure.message).toContain('sbg was sent back; gra was sent back');
    expect(worlds.map(({ split }) => split.blue)).toEqual([100, 100, 100]);
  });

  test('say which of them could not be sent back', async () => {
    const { worlds, named } = aTrio();
    worlds[1].failNext(new Failure('CredentialRefused', 'Cannot store: not granted'), { operation: 'store' });
    const publish = worlds[0].publish.bind(worlds[0]);
    let times = 0;
    worlds[0].publish = async () => {
      if (++times > 1) throw new Failure('CredentialRefused', 'Cannot publish: not granted');
      await publish();
    };
    const failure = await failureOf(severalLoadBalancers(named).route(change(), endless));
    expect(failure.message).toMatch(/gra could not be sent back \(Cannot publish: not granted\)/);
    expect(failure.ambiguous, 'what runs is not as it was').toBe(true);
    expect((await severalLoadBalancers(named).observe(endless)).traffic).toEqual({
      kind: 'torn',
      detail:
        'its load balancers differ (gra sends all to green, sbg sends all to blue, waw sends all to blue)',
    });
  });

  test('go on where a worker has died between two of them', async () => {
    const { worlds, named } = aTrio();
    const [first] = named;
    await first?.driver.route(change(), endless);
    expect(await severalLoadBalancers(named).route(change(), endless)).toMatchObject({ changed: true });
    expect(worlds.map(({ split }) => split.green)).toEqual([100, 100, 100]);
  });

  test('are moved back as far as they can be, whatever fails', async () => {
    const { worlds, named } = aTrio();
    await severalLoadBalancers(named).route(change(), endless);
    worlds[0].failNext(new Failure('LoadBalancerUnreachable', 'Cannot store: silent'), {
      operation: 'store',
    });
    const back = change({ to: allTo('blue'), purpose: 'rollback' });
    await expect(severalLoadBalancers(named).route(back, endless)).rejects.toMatchObject({
      failure: 'LoadBalancerUnreachable',
      ambiguous: true,
    });
    expect(worlds.map(({ split }) => split.blue)).toEqual([0, 100, 100]);
    await severalLoadBalancers(named).route(back, endless);
    expect(worlds.map(({ split }) => split.blue)).toEqual([100, 100, 100]);
  });

  test('that two workers move at once tell at least one of them what they have come to', async () => {
    const { worlds, named } = aTrio();
    for (let round = 0; round < 20; round++) {
      const results = await Promise.allSettled([
        severalLoadBalancers(named).route(change({ purpose: 'rollback' }), endless),
        severalLoadBalancers(named).route(change({ to: allTo('blue'), purpose: 'rollback' }), endless),
      ]);
      const differ = new Set(worlds.map(({ split }) => split.blue)).size > 1;
      if (differ) expect(results.some(({ status }) => status === 'rejected')).toBe(true);
    }
  });

  test('find a server as ill as the worst of them does, and by the oldest check', async () => {
    const { worlds, named } = aTrio();
    worlds.forEach((world, index) => (world.checkedAtMs = () => 1_000 + index));
    worlds[1].backendState = (server) => (server === 'blue-1' ? 'down' : 'up');
    worlds[2].backendState = (server) => (server === 'blue-2' ? 'unchecked' : 'up');
    const { backends } = await severalLoadBalancers(named).observe(endless);
    expect(backends).toMatchObject([
      { server: 'blue-1', state: 'down', checkedAtMs: 1_000 },
      { server: 'blue-2', state: 'unchecked' },
      { server: 'green-1', state: 'up', checkedAtMs: 1_000 },
      { server: 'green-2', state: 'up' },
    ]);
  });

  test('tell of a check only what each of them tells, whether it is its moment or its age', async () => {
    const checked = (check: Partial<BackendObservation>): LoadBalancerDriver => {
      const [{ driver } = never()] = aTrio().named;
      return {
        name: 'one',
        route: (asked, patience) => driver.route(asked, patience),
        async observe(patience) {
          const { backends, ...rest } = await driver.observe(patience);
          return {
            ...rest,
            backends: backends.map(({ server, color, state }) => ({ server, color, state, ...check })),
          };
        },
      };
    };
    const told = async (...checks: readonly Partial<BackendObservation>[]) => {
      const all = checks.map((check, index) => ({ name: `${index}`, driver: checked(check) }));
      const [{ checkedAtMs, checkedWithinMs } = never()] = (await severalLoadBalancers(all).observe(endless))
        .backends;
      return { checkedAtMs, checkedWithinMs };
    };
    expect(await told({ checkedAtMs: 7 }, { checkedWithinMs: 30 })).toEqual({
      checkedAtMs: 7,
      checkedWithinMs: 30,
    });
    expect(await told({ checkedWithinMs: 10 }, { checkedWithinMs: 30 })).toEqual({ checkedWithinMs: 30 });
    expect(await told({ checkedAtMs: 7 }, { checkedAtMs: 5 })).toEqual({ checkedAtMs: 5 });
    expect(await told({ checkedAtMs: 7 }, {}, { checkedWithinMs: 30 })).toEqual({});
  });
});

const never = (): never => {
  throw new Error('Cannot go on: there is none');
};
