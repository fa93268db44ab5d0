import { describe, expect, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import { ServerName } from '../../../domain/names.js';
import type { BackendState } from '../../../domain/observation.js';
import { allTo } from '../../../domain/split.js';
import {
  createInMemoryLoadBalancer,
  InMemoryLoadBalancers,
  type InMemoryLink,
} from '../../../drivers/load-balancers/in-memory.js';
import { endless } from '../../../drivers/patience.js';
import { keepsLoadBalancerPromises, type LoadBalancerWorld } from './load-balancer.contract.js';

async function aWorld(): Promise<LoadBalancerWorld> {
  const named = (...names: string[]) => names.map((name) => ServerName(name));
  const servers = { blue: named('blue-1', 'blue-2'), green: named('green-1', 'green-2') };
  const members = (['blue', 'green'] as const).flatMap((color) =>
    servers[color].map((name) => ({ name, color })),
  );
  const backends = new Map<ServerName, BackendState>();
  let rounds = 0;
  let writes = 0;
  let losing: { nth: number; moment: 'before' | 'after' } | undefined;
  let calls = 0;
  const aBalancer = () => {
    const balancer = new InMemoryLoadBalancers().world(`lb-${rounds++}`);
    balancer.backendState = (server) => backends.get(server) ?? 'up';
    balancer.delayMs = 1;
    return balancer;
  };
  let balancer = aBalancer();

  const write = async (act: () => Promise<void>): Promise<void> => {
    writes++;
    const lost = losing && --losing.nth === 0 ? losing.moment : undefined;
    if (lost !== 'before') await act();
    if (lost) throw new Failure('LoadBalancerUnreachable', 'Cannot hear: cut', { ambiguous: true });
  };
  const link = (callsToLive: number): InMemoryLink => {
    let left = callsToLive;
    const call = async <Answer>(act: () => Promise<Answer>): Promise<Answer> => {
      if (left-- <= 0) throw new Error('killed');
      calls++;
      return act();
    };
    return {
      read: () => call(() => balancer.read()),
      store: (object, values) => call(() => write(() => balancer.store(object, values))),
      publish: () => call(() => write(() => balancer.publish())),
    };
  };

  return {
    servers,
    driver: (callsToLive = Infinity) => createInMemoryLoadBalancer(balancer, members, link(callsToLive)),
    get calls() {
      return calls;
    },
    get writes() {
      return writes;
    },
    offers: ['division', 'fallback', 'testers'],
    published: async () => balancer.split,
    backups: async () => balancer.backups,
    testersReach: async () => balancer.testersReach,
    inactive: async () => balancer.inactive,
    quiet: async () => undefined,
    async edit(whose, how) {
      const object = whose === 'ours' ? 'farm/blue' : 'farm/other';
      if (how === 'published') balancer.editAsSomebodyElse(object);
      else balancer.stageAsSomebodyElse(object);
      return object;
    },
    move: async (to) => balancer.moveInPanel(allTo(to)),
    loseAnswer: (nth, moment) => (losing = { nth, moment }),
    async setBackend(server, state) {
      backends.set(server, state);
    },
    async reset() {
      backends.clear();
      losing = undefined;
      balancer = aBalancer();
      balancer.moveInPanel(allTo('blue'));
    },
    close: async () => undefined,
  };
}

keepsLoadBalancerPromises('a load balancer in memory', aWorld);

describe('a load balancer in memory, for tests', () => {
  const to = allTo('green');
  const change = { to, expected: undefined, purpose: 'rollback', leaveOut: [] } as const;
  const aBalancer = () => new InMemoryLoadBalancers().world('lb');

  test('is the same one under the same name', () => {
    const balancers = new InMemoryLoadBalancers();
    expect(balancers.world('one')).toBe(balancers.world('one'));
    expect(balancers.world('one')).not.toBe(balancers.world('other'));
  });

  test('fails as it is told, once, before or after it has done what was asked', async () => {
    for (const [effect, split] of [
      ['none', allTo('blue')],
      ['done', to],
    ] as const) {
      const balancer = aBalancer();
      const driver = createInMemoryLoadBalancer(balancer, []);
      balancer.failNext(new Failure('RefreshFailed', 'Cannot publish'), { operation: 'publish', effect });
      await expect(driver.route(change, endless)).rejects.toMatchObject({ failure: 'RefreshFailed' });
      expect(balancer.split).toEqual(split);
      await driver.route(change, endless);
      expect(balancer.split).toEqual(to);
    }
  });

  test('is confused as it is told until traffic is routed', async () => {
    const balancer = aBalancer();
    const driver = createInMemoryLoadBalancer(balancer, []);
    const confusion = { kind: 'torn', detail: 'two frontends disagree' } as const;
    balancer.confuse(confusion);
    expect((await driver.observe(endless)).traffic).toEqual(confusion);
    await driver.route({ ...change, to: allTo('blue') }, endless);
    expect((await driver.observe(endless)).traffic).toEqual({ kind: 'split', split: allTo('blue') });
  });
});
