import { Failure } from '../../../domain/failures.js';
import { ServerName } from '../../../domain/names.js';
import type { BackendState } from '../../../domain/observation.js';
import { allTo } from '../../../domain/split.js';
import {
  createInMemoryLoadBalancer,
  InMemoryLoadBalancers,
  type InMemoryLink,
} from '../../../drivers/load-balancers/in-memory.js';
import { lifeOf, type Life, type LoadBalancerWorld } from './load-balancer.contract.js';

export async function aWorldInMemory(): Promise<LoadBalancerWorld> {
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
  const link = (life: Life): InMemoryLink => {
    const call = async <Answer>(act: () => Promise<Answer>): Promise<Answer> => {
      if (life.left-- <= 0) throw new Error('killed');
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
    driver: (callsToLive = Infinity) =>
      createInMemoryLoadBalancer(balancer, members, link(lifeOf(callsToLive))),
    get calls() {
      return calls;
    },
    get writes() {
      return writes;
    },
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
