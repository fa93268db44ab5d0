import { Context, activityInfo, heartbeat } from '@temporalio/activity';
import type { Verdict } from '../domain/health.js';
import type { ServerName } from '../domain/names.js';
import { publicAddressesOf, type Service } from '../domain/service.js';
import type { Split } from '../domain/split.js';
import {
  addTallies,
  besideEachOther,
  emptyTally,
  judgeTraffic,
  type BakePolicy,
  type Baseline,
  type Tally,
  type TrafficReport,
  type TrafficWindow,
} from '../domain/traffic.js';
import type { Drivers } from '../drivers/drivers.js';
import type { RouteReport } from '../drivers/load-balancers/driver.js';
import type { RunningProber } from '../drivers/traffic/driver.js';
import { beats, lostMsSince, type Beat } from './lost-time.js';
import { endedByWorkflow, patiently } from './patience.js';
import { proveTraffic, type TrafficProof, type TrafficProved } from './public-proof.js';

export const createTrafficActivities = (drivers: Drivers) => ({
  /** Makes the load balancer send new traffic as `to` says, and proves it from the load balancer's own answers. */
  async routeTraffic(input: {
    readonly service: Service;
    readonly to: Split;
    readonly expected?: Readonly<Record<string, string>>;
    readonly purpose: 'forward' | 'rollback';
    /** Servers that must not get any traffic. */
    readonly leaveOut: readonly ServerName[];
    /** Servers of the other environment that are probed from then on. */
    readonly takeIn?: readonly ServerName[];
    /** The servers of the other environment stand by as backups. */
    readonly fallback?: boolean;
    /** Testers reach the other environment. */
    readonly testers?: boolean;
  }): Promise<RouteReport> {
    const { service, ...change } = input;
    return patiently(async (patience) =>
      (await drivers.loadBalancer(service)).route({ expected: undefined, ...change }, patience),
    );
  },

  /**
   * Asks the public address until new connections are answered by `color` only, `inARow` times, and by each process of the load
   * balancer that was met. Fails with `TrafficNotMoved` when that does not happen in time.
   */
  async proveTraffic(input: TrafficProof): Promise<TrafficProved> {
    return patiently((patience) => proveTraffic(drivers, input, patience));
  },

  /**
   * Sends requests to the public address, from outside the load balancer, until it is cancelled, and then gives the sum. With
   * `judge` it ends by itself as soon as the windows prove illness. What a lost worker saw since its last heartbeat, and the time
   * until another one went on, is unobserved.
   */
  async probeTraffic(input: {
    readonly service: Service;
    readonly judge?: { readonly baseline: Baseline; readonly policy: BakePolicy };
  }): Promise<TrafficReport> {
    return probeTraffic(drivers, input.service, input.judge);
  },
});

/** Windows that travel with the sum: enough for a baseline and for the last seconds. */
const keptWindows = 60;

/** What a heartbeat carries, so that the next attempt goes on from it. */
interface Carried extends Beat {
  readonly tally: Tally;
  readonly windows: readonly TrafficWindow[];
}

async function probeTraffic(
  drivers: Drivers,
  service: Service,
  judge: { readonly baseline: Baseline; readonly policy: BakePolicy } | undefined,
): Promise<TrafficReport> {
  const before = await resumed(activityInfo().heartbeatDetails as Carried | undefined);
  let windows = before.windows;
  let tally = before.tally;
  let verdict = { kind: 'undecided' } as Verdict;
  let decided: () => void = () => undefined;
  const decision = new Promise<void>((resolve) => (decided = resolve));
  const now = beats();
  const beat = () => heartbeat({ tally, windows, ...now() } satisfies Carried);

  const running = startProbers(drivers, service, (window, sum) => {
    windows = [...windows, window].slice(-keptWindows);
    tally = addTallies(before.tally, sum);
    beat();
    if (!judge) return;
    verdict = judgeTraffic({ tally, windows }, judge.baseline, judge.policy, false);
    if (verdict.kind === 'fail') decided();
  });
  const timer = setInterval(beat, 1_000);
  try {
    await Promise.race([decision, Context.current().cancelled]);
  } catch (error) {
    if (!endedByWorkflow(error)) throw error; // another worker goes on from the last heartbeat
  } finally {
    // With heartbeats: the last answers may take as long as the service lets them.
    tally = addTallies(before.tally, await running.stop());
    clearInterval(timer);
    beat();
  }
  if (judge && verdict.kind !== 'fail')
    verdict = judgeTraffic({ tally, windows }, judge.baseline, judge.policy, true);
  return { tally, windows, verdict };
}

/** One prober for each public address, which share the rate. What was watched is what all of them have watched. */
function startProbers(
  { prober }: Pick<Drivers, 'prober'>,
  service: Service,
  onWindow: (window: TrafficWindow, sum: Tally) => void,
): RunningProber {
  const addresses = publicAddressesOf(service);
  const requestsPerSecond = Math.ceil(service.prober.requestsPerSecond / addresses.length);
  const sums = addresses.map(() => emptyTally);
  const running = addresses.map(({ url }, index) =>
    prober.start({ ...service.prober, url, requestsPerSecond }, (window, sum) => {
      sums[index] = sum;
      onWindow(window, besideEachOther(sums));
    }),
  );
  return { stop: async () => besideEachOther(await Promise.all(running.map((each) => each.stop()))) };
}

/** What an earlier attempt had seen; the time since then is unobserved. */
async function resumed(carried: Carried | undefined): Promise<Pick<Carried, 'tally' | 'windows'>> {
  if (!carried) return { tally: emptyTally, windows: [] };
  const unobservedMs = carried.tally.unobservedMs + (await lostMsSince(carried));
  return { tally: { ...carried.tally, unobservedMs }, windows: carried.windows };
}
