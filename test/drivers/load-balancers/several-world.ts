import { severalLoadBalancers } from '../../../drivers/load-balancers/several.js';
import { hashOf } from '../../../domain/hash.js';
import type { OvhApi } from '../../../ovh/api.js';
import { anEmulation, type EmulatedWorld, type Emulation } from './emulation.js';
import { aSlowIplb } from './ovh-iplb-world.js';
import { aPublicCloud } from './ovh-public-cloud-world.js';

/** Its path in the API is known. */
type Rooted = EmulatedWorld & { readonly root: string };

const products = {
  'ovh-iplb': (beside: Emulation): Promise<Rooted> => aSlowIplb('http', { beside }),
  'ovh-public-cloud': (beside: Emulation): Promise<Rooted> => aPublicCloud({ beside }),
};

/** One of these products, with how many writes a switch of it takes. */
export type Product = keyof typeof products;

/**
 * Two load balancers of one account that follow one change together. What somebody else does to a part of it, is done to the
 * second: the first may not be touched for that.
 */
export async function aPair(one: Product, other: Product, writesOfFirst = 4): Promise<EmulatedWorld> {
  const emulation = await anEmulation({ isVirtual: true });
  const first = await products[one](emulation);
  const second = await products[other](emulation);
  const members = [first, second] as const;
  const each = async <T>(act: (world: EmulatedWorld) => Promise<T>): Promise<readonly T[]> => {
    const results: T[] = [];
    for (const member of members) results.push(await act(member));
    return results;
  };
  const driverOver = (api: OvhApi) =>
    severalLoadBalancers(
      [
        { name: 'gra', driver: first.driverOver(api) },
        { name: 'sbg', driver: second.driverOver(api) },
      ],
      emulation.time.nowMs,
    );
  return {
    emulation,
    stages: second.stages,
    servers: first.servers,
    driverOver,
    driver: (callsToLive = Infinity) => driverOver(emulation.mortal(callsToLive)),
    get calls() {
      return emulation.calls;
    },
    get writes() {
      return emulation.writes;
    },
    async published() {
      const [split = 'torn', ...others] = await each((world) => world.published());
      return others.every((found) => hashOf(found) === hashOf(split)) ? split : 'torn';
    },
    inactive: async () => [...new Set((await each((world) => world.inactive())).flat())],
    quiet: () => emulation.quiet(),
    edit: (whose, how) => second.edit(whose, how),
    stray: (to) => second.stray(to),
    refuseLast: () =>
      void emulation.emulator.faults.add({ method: 'PUT', path: `${second.root}/*`, action: '460' }),
    move: async (to) => void (await each((world) => world.move(to))),
    refresh: async () => void (await each((world) => world.refresh())),
    loseAnswer(nth, moment) {
      if (nth <= writesOfFirst) first.loseAnswer(nth, moment);
      else second.loseAnswer(nth - writesOfFirst, moment);
    },
    setBackend: async (server, state) => void (await each((world) => world.setBackend(server, state))),
    reset: async () => void (await each((world) => world.reset())),
    close: () => emulation.close(),
  };
}
