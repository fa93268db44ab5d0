import type { Color } from '../../../domain/color.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import type { OvhApi } from '../../../ovh/api.js';
import type { Time } from '../../../ovh/time.js';
import type { Fault } from '../../../sandbox/ovh-api/faults.js';
import type { OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import type { FaultyWorld, Turn } from './every-call.contract.js';
import type { LoadBalancerWorld } from './load-balancer.contract.js';

/** A world over an emulated OVHcloud API, without a network and in virtual time. */
export interface EmulatedWorld extends LoadBalancerWorld {
  readonly time: Time;
  readonly emulator: Emulator;
  readonly shared: OvhApi;
  driverOver(api: OvhApi): LoadBalancerDriver;
  stray(to: Color): Promise<void>;
  /** Where it is not that of the first OVHcloud Load Balancer. */
  refresh?(): Promise<void>;
  bookmark?(): () => Promise<void>;
}

type Without<Kind, Key extends PropertyKey> = Kind extends unknown ? Omit<Kind, Key> : never;
type Effect = Without<Fault, 'method' | 'path' | 'times' | 'after'>;

const effects: Readonly<Record<string, Effect>> = {
  'drop before': { action: 'drop-before' },
  'drop after': { action: 'drop-after' },
  'cut body': { action: 'cut-body' },
  silence: { action: 'hang' },
  'an answer after everybody has given up': { action: 'latency', latencyMs: 200_000 },
  429: { action: '429' },
  '429 with Retry-After': { action: '429', retryAfterS: 3 },
  500: { action: '500' },
  '502 and a page': { action: '502-html' },
  '408 and a page': { action: '408-html' },
  460: { action: '460' },
  'expired credential': { action: 'expired-credential' },
  'skewed clock': { action: 'clock-skew', skewMs: 3_600_000 },
};

/** UUIDs, numbers, and names of load balancers. */
const names = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]*\d{4,}[\w.]*|loadbalancer-\w+/g;

export function faulty(world: EmulatedWorld): FaultyWorld {
  const { emulator, shared } = world;
  return Object.assign(Object.create(world) as EmulatedWorld, {
    pacedDriver: (turn: Turn) => world.driverOver(paced(shared, turn)),
    journal: () =>
      emulator.journal.entries
        .filter(({ by }) => by === 'client')
        .map(({ method, path }) => `${method} ${path.replace(names, '#')}`),
    faults: Object.keys(effects),
    strike(fault: string, nth: number, howOften: 'once' | 'from then on') {
      const effect = effects[fault];
      if (!effect) throw new Error(`Cannot make "${fault}" happen: the emulator does not know it`);
      emulator.faults.add({ ...effect, path: '*', after: nth - 1, ...(howOften === 'once' && { times: 1 }) });
    },
    mend() {
      emulator.faults.clear();
      emulator.journal.clear();
    },
    async refresh() {
      await (world.refresh?.() ?? emulator.admin.refreshAsSomebodyElse());
    },
    bookmark() {
      if (world.bookmark) return world.bookmark();
      const state = emulator.admin.state();
      return async () => {
        emulator.faults.clear();
        await world.quiet();
        await emulator.admin.restore(state);
      };
    },
  });
}

/** Lets `turn` wait before every call. */
export function paced(api: OvhApi, turn: Turn): OvhApi {
  let nth = 0;
  const after = async <Answer>(isWrite: boolean, call: () => Promise<Answer>): Promise<Answer> => {
    await turn(++nth, isWrite);
    return call();
  };
  return {
    host: api.host,
    get: (path, options) => after(false, () => api.get(path, options)),
    time: (options) => after(false, () => api.time(options)),
    put: (path, body, options) => after(true, () => api.put(path, body, options)),
    post: (path, body, options) => after(true, () => api.post(path, body, options)),
    delete: (path, options) => after(true, () => api.delete(path, options)),
  };
}
