import { Failure } from '../../../domain/failures.js';
import { ServerName } from '../../../domain/names.js';
import type { BackendState } from '../../../domain/observation.js';
import { allTo, sameSplit } from '../../../domain/split.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import {
  createInMemoryLoadBalancer,
  InMemoryLoadBalancer,
  type InMemoryLink,
} from '../../../drivers/load-balancers/in-memory.js';
import { severalLoadBalancers } from '../../../drivers/load-balancers/several.js';
import type { Time } from '../../../ovh/time.js';
import { VirtualTime } from '../../support/virtual-time.js';
import type { Called, FaultyWorld, HowOften } from './every-call.contract.js';
import type { Turn } from './emulation.js';
import { lifeOf } from './load-balancer.contract.js';

/** One question or order on its way to a load balancer. */
interface Step<Answer> extends Called {
  readonly act: () => Promise<Answer>;
}

type Encounter = <Answer>(step: Step<Answer>, way: Way) => Promise<Answer>;

/** A driver that hears nothing gives up after this long, and hears nothing of what arrives later. */
const patienceMs = 180_000;
const lateMs = 20_000;
const publishingMs = 90_000;

const unheard = ({ words, isWrite }: Called, because: string): Failure =>
  new Failure('LoadBalancerUnreachable', `Cannot ${words}: ${because}, needs an answer`, {
    ambiguous: isWrite,
  });

const cut = 'the connection was cut';
const silent = `nothing was heard for ${patienceMs / 1_000} s`;

/** What a step may meet on its way. */
const encounters: Readonly<Record<string, Encounter>> = {
  'drop before': async (step) => {
    throw unheard(step, cut);
  },
  'drop after': async (step) => {
    await step.act();
    throw unheard(step, cut);
  },
  silence: async (step, { time }) => {
    await time.sleep(patienceMs);
    throw unheard(step, silent);
  },
  'an answer after everybody has given up': async (step, way) => {
    way.later(patienceMs + lateMs, step.act);
    await way.time.sleep(patienceMs);
    throw unheard(step, silent);
  },
  'a slow answer': async (step, { time }) => {
    await time.sleep(patienceMs / 2);
    return step.act();
  },
  'too many requests': async ({ words }) => {
    throw new Failure('LoadBalancerUnreachable', `Cannot ${words}: too many requests, needs an answer`);
  },
  'expired credential': async ({ words }) => {
    throw new Failure('CredentialRefused', `Cannot ${words}: the credential has expired, needs another`);
  },
  'expired service': async ({ words }) => {
    throw new Failure('StateUnclear', `Cannot ${words}: the service has expired, needs to be renewed`);
  },
};

/** The way that every step of every driver takes: counted, written down, and met there by what was planned. */
class Way {
  readonly time: Time = new VirtualTime();
  readonly journal: Called[] = [];
  calls = 0;
  writes = 0;
  #planned: Planned[] = [];
  readonly #late = new Set<Promise<unknown>>();

  plan(fault: string, nth: number, howOften: HowOften, of: (step: Called) => boolean = () => true): void {
    this.#planned.push({ fault, skip: nth - 1, times: howOften === 'once' ? 1 : Infinity, of });
  }

  clear(): void {
    this.#planned = [];
  }

  async take<Answer>(step: Step<Answer>): Promise<Answer> {
    const { words, isWrite } = step;
    this.calls++;
    if (isWrite) this.writes++;
    this.journal.push({ words, isWrite });
    const meeting = encounters[this.#due(step) ?? ''];
    return meeting ? meeting(step, this) : step.act();
  }

  later(ms: number, act: () => Promise<unknown>): void {
    const late = this.time.sleep(ms).then(act);
    this.#late.add(late);
    void late.finally(() => this.#late.delete(late));
  }

  async quiet(): Promise<void> {
    await Promise.all(this.#late);
  }

  #due(step: Called): string | undefined {
    const due = this.#planned.filter(
      (planned) => planned.of(step) && planned.skip-- <= 0 && planned.times-- > 0,
    );
    return due[0]?.fault;
  }
}

interface Planned {
  readonly fault: string;
  skip: number;
  times: number;
  readonly of: (step: Called) => boolean;
}

const named = (...names: string[]) => names.map((name) => ServerName(name));
const servers = { blue: named('blue-1', 'blue-2'), green: named('green-1', 'green-2') };
const members = (['blue', 'green'] as const).flatMap((color) =>
  servers[color].map((name) => ({ name, color })),
);

/** A load balancer in memory, or several that follow one change together, in virtual time. */
export async function aWorldInMemory(regions: readonly string[] = ['gra']): Promise<FaultyWorld> {
  const way = new Way();
  const backends = new Map<ServerName, BackendState>();
  const balancers = regions.map((region) => new InMemoryLoadBalancer(region));
  for (const balancer of balancers) balancer.backendState = (server) => backends.get(server) ?? 'up';
  const [first = never()] = balancers;
  const last = balancers.at(-1) ?? first;

  const linkTo = (
    balancer: InMemoryLoadBalancer,
    before: (isWrite: boolean) => Promise<void>,
  ): InMemoryLink => {
    const take = async <Answer>(what: string, act: () => Promise<Answer>): Promise<Answer> => {
      const isWrite = what !== 'read';
      await before(isWrite);
      return way.take({ words: `${what} on ${balancer.name}`, isWrite, act });
    };
    return {
      read: () => take('read', () => balancer.read()),
      store: (object, values) => take(`store ${object}`, () => balancer.store(object, values)),
      publish: () =>
        take('publish', async () => {
          await way.time.sleep(publishingMs);
          await balancer.publish();
        }),
    };
  };
  const driverOver = (before: (isWrite: boolean) => Promise<void>): LoadBalancerDriver => {
    const drivers = balancers.map((balancer) => ({
      name: balancer.name,
      driver: createInMemoryLoadBalancer(balancer, members, linkTo(balancer, before)),
    }));
    const [only = never(), ...others] = drivers;
    return others.length === 0 ? only.driver : severalLoadBalancers(drivers, way.time.nowMs);
  };
  const bookmark = () => {
    const marks = balancers.map((balancer) => balancer.bookmark());
    return async (): Promise<void> => {
      way.clear();
      await way.quiet();
      for (const goBack of marks) goBack();
    };
  };
  const atFirst = bookmark();
  const union = <Item>(of: (balancer: InMemoryLoadBalancer) => readonly Item[]): readonly Item[] => [
    ...new Set(balancers.flatMap(of)),
  ];

  return {
    servers,
    time: way.time,
    faults: Object.keys(encounters),
    meanings: Object.keys(encounters),
    names: /Cannot (read|store|publish) |frontend|farm\/|server\/|(gra|sbg) sends|they send all/,
    tells: /^read/,
    stages: true,
    refuseLast: () =>
      way.plan(
        'expired service',
        1,
        'from then on',
        (step) => step.isWrite && step.words.endsWith(last.name),
      ),
    driver: (callsToLive = Infinity) => {
      const life = lifeOf(callsToLive);
      return driverOver(async () => {
        if (life.left-- <= 0) throw new Error('killed');
      });
    },
    pacedDriver(turn: Turn) {
      let nth = 0;
      return driverOver((isWrite) => turn(++nth, isWrite));
    },
    get calls() {
      return way.calls;
    },
    get writes() {
      return way.writes;
    },
    journal: () => [...way.journal],
    strike: (fault, nth, howOften) => way.plan(fault, nth, howOften),
    mend() {
      way.clear();
      way.journal.length = 0;
    },
    loseAnswer: (nth, moment) => way.plan(`drop ${moment}`, nth, 'once', ({ isWrite }) => isWrite),
    published: async () =>
      balancers.every(({ split }) => sameSplit(split, first.split)) ? first.split : 'torn',
    backups: async () => union(({ backups }) => backups),
    testersReach: async () => first.testersReach,
    inactive: async () => union(({ inactive }) => inactive),
    quiet: () => way.quiet(),
    async edit(whose, how) {
      const object = whose === 'ours' ? 'farm/blue' : 'farm/other';
      if (how === 'published') last.editAsSomebodyElse(object);
      else last.stageAsSomebodyElse(object);
      return object;
    },
    async move(to) {
      for (const balancer of balancers) balancer.moveInPanel(allTo(to));
    },
    stray: async (to) => last.stageAsSomebodyElse('frontend', { split: allTo(to) }),
    async refresh() {
      for (const balancer of balancers) balancer.publishAsSomebodyElse();
    },
    async setBackend(server, state) {
      backends.set(server, state);
    },
    state: () => JSON.stringify(balancers.map((balancer) => balancer.state())),
    bookmark,
    async reset() {
      backends.clear();
      way.journal.length = 0;
      await atFirst();
    },
    close: async () => undefined,
  };
}

const never = (): never => {
  throw new Error('Cannot make a world without a load balancer');
};
