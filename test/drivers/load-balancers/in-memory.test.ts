import { describe, expect, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import { allTo } from '../../../domain/split.js';
import {
  createInMemoryLoadBalancer,
  InMemoryLoadBalancers,
} from '../../../drivers/load-balancers/in-memory.js';
import { endless } from '../../../drivers/patience.js';
import { aWorldInMemory } from './in-memory-world.js';
import { everyOffer, keepsLoadBalancerPromises } from './load-balancer.contract.js';

keepsLoadBalancerPromises('a load balancer in memory', () => aWorldInMemory(), { offers: everyOffer });

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
