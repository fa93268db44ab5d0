import type { Fault } from '../../../sandbox/ovh-api/faults.js';
import { paced, type EmulatedWorld, type Turn } from './emulation.js';
import type { FaultyWorld, HowOften } from './every-call.contract.js';

type Without<Kind, Key extends PropertyKey> = Kind extends unknown ? Omit<Kind, Key> : never;
type Effect = Without<Fault, 'method' | 'path' | 'times' | 'after'>;

/** Longer than anybody waits for the answer to a write. */
const lateMs = 200_000;

const effects: Readonly<Record<string, Effect>> = {
  'drop before': { action: 'drop-before' },
  'drop after': { action: 'drop-after' },
  'cut body': { action: 'cut-body' },
  silence: { action: 'hang' },
  'an answer after everybody has given up': { action: 'latency', latencyMs: lateMs },
  429: { action: '429' },
  '429 with Retry-After': { action: '429', retryAfterS: 3 },
  500: { action: '500' },
  '502 and a page': { action: '502-html' },
  '408 and a page': { action: '408-html' },
  460: { action: '460' },
  'expired credential': { action: 'expired-credential' },
  'skewed clock': { action: 'clock-skew', skewMs: 3_600_000 },
};

/** UUIDs, numbers and moments: what calls of a kind differ by. */
const particulars = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![\w-])\d{4}[\w.:%-]*/g;

/** Makes every call of a world in an emulation one that can go wrong. */
export function faulty(world: EmulatedWorld): FaultyWorld {
  const { emulation } = world;
  const { emulator, time } = emulation;
  let lateUntilMs = 0;
  const quiet = async (): Promise<void> => {
    // What arrives when everybody has given up is carried out all the same.
    await time.sleep(Math.max(0, lateUntilMs - time.nowMs()));
    await world.quiet();
  };
  return Object.assign(Object.create(world) as EmulatedWorld, {
    time,
    faults: Object.keys(effects),
    meanings: ['drop before', 'drop after', '500', '460', 'expired credential'],
    names:
      /(frontend|farm|server|route|listener|pool|member)s?\/|edits? in zone|task \d|(GET|PUT|POST|DELETE) \/|credential|consumer key|expired|(gra|sbg) sends|they send all/,
    tells: /(frontend\/#|listener\?)/,
    pacedDriver: (turn: Turn) => world.driverOver(paced(emulation.shared, turn)),
    journal: () =>
      emulator.journal.entries
        .filter(({ by }) => by === 'client')
        .map(({ method, path }) => ({
          words: `${method} ${path.replace(particulars, '#')}`,
          isWrite: method !== 'GET',
        })),
    strike(fault: string, nth: number, howOften: HowOften) {
      const effect = effects[fault];
      if (!effect) throw new Error(`Cannot make "${fault}" happen: the emulator does not know it`);
      emulator.faults.add({ ...effect, path: '*', after: nth - 1, ...(howOften === 'once' && { times: 1 }) });
    },
    mend() {
      if (emulator.faults.list().some(({ fault }) => fault.action === 'latency'))
        lateUntilMs = time.nowMs() + lateMs;
      emulator.faults.clear();
      emulator.journal.clear();
    },
    quiet,
    async published() {
      await quiet();
      return world.published();
    },
    state: () => emulation.state(),
    bookmark() {
      const goBack = emulation.bookmark();
      return async () => {
        await quiet();
        await goBack();
      };
    },
  });
}
