import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import { otherColor, type Color } from '../../domain/color.js';
import { asComplaint, type Complaint } from '../../domain/failures.js';
import { objectsToKeep } from '../../domain/observation.js';
import { oursOf, type Plan } from '../../domain/plan.js';
import {
  addTallies,
  emptyTally,
  judgeTraffic,
  type Tally,
  type TrafficReport,
} from '../../domain/traffic.js';
import {
  addUnwatched,
  describeUnwatched,
  longestUnwatched,
  msOf,
  type Unwatched,
} from '../../domain/unwatched.js';
import { asFailure, complaintOf, isMendable } from '../complaint.js';
import { confirmPlan, expectedColor } from '../confirmation.js';
import type { EnvironmentReport, EnvironmentWatch } from '../../activities/environment-watch.js';
import type { DeploymentRun } from '../deployment-run.js';
import { proveNew } from '../moving-traffic.js';
import { look, overAll, restMs, watch } from '../patience.js';

/** Share of the bake that must have been watched: what nobody saw is not good. */
const neededCoverage = 0.8;

/** Watches the new environment under all the traffic, with the way back armed. Throws what speaks against it. */
export async function bake(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, inbox } = run;
  const clock: Clock = { leftMs: service.bake.durationMs, early: false, ...nothingSeen };
  inbox.on('advance', () => (clock.early = true));
  inbox.on('extend', (said) => (clock.leftMs += said.byMs));
  let objects = plan.objects;
  await judgeSwitch(run, plan);
  while (clock.leftMs > 0 && !clock.early) {
    const { trouble, ...seen } = await stretch(run, plan, objects, clock);
    if (trouble && isForPeople(trouble)) {
      await run.askPerson(trouble);
      objects = await asItIsNow(run);
      beginAgain(run, clock);
      continue;
    }
    if (trouble) throw asFailure(trouble);
    await judge(run, plan, seen, clock);
    if (clock.leftMs > 0 && !clock.early) continue;
    await lookOnceMore(run, plan, objects);
    // The API tells what was published, and not that each process of the load balancer still runs it.
    await proveNew(run, plan, `${plan.idle} still answers`);
  }
}

/**
 * The watch over the load balancer may have been blind for a while: what it would have found is looked for once more. A load
 * balancer that cannot be asked says nothing against the release: it is told, and asked again.
 */
async function lookOnceMore(run: DeploymentRun, plan: Plan, objects: Plan['objects']): Promise<void> {
  let expected = objects;
  for (let timesFailed = 0; ;) {
    try {
      await confirmPlan(run, { ...plan, objects: expected }, 'new');
      return;
    } catch (error) {
      const complaint = complaintOf(error);
      if (isForPeople(complaint)) {
        await run.askPerson(complaint);
        expected = await asItIsNow(run);
      } else if (isMendable(complaint)) {
        await run.askPerson(complaint, restMs(++timesFailed));
      } else throw error;
    }
  }
}

/** What was lost while the traffic moved counts like what is lost under it. */
async function judgeSwitch(run: DeploymentRun, plan: Plan): Promise<void> {
  const { traffic, service, baseline } = run;
  const during = await traffic.next(`to ${plan.idle} under all the traffic`, {
    baseline,
    policy: service.bake,
  });
  if (!during || plan.live === 'nothing') return; // before a first deployment every request failed
  const verdict = judgeTraffic(during, baseline, service.bake, false);
  if (verdict.kind === 'fail') throw asFailure(ill(run, plan, verdict.because));
}

interface Clock {
  leftMs: number;
  early: boolean;
  /** How long this bake has lasted so far. */
  bakedMs: number;
  /** What was seen of it: a stretch that was made longer is judged with what came before it. */
  seen: Tally;
  /** Servers of the new environment that were out of sight meanwhile. */
  unwatched: readonly Unwatched[];
}

const nothingSeen = { bakedMs: 0, seen: emptyTally, unwatched: [] } as const;

/**
 * A person let it go on: what was seen before that does not count, and what they started anew meanwhile is no illness. Whoever has ended
 * it early at the same moment did not know what was found.
 */
function beginAgain(run: DeploymentRun, clock: Clock): void {
  clock.leftMs = run.service.bake.durationMs;
  clock.early = false;
  Object.assign(clock, nothingSeen);
  run.verified = {};
}

/** Somebody is at work on the load balancer: whether to go on is not ours to say. */
const isForPeople = ({ failure }: Complaint): boolean =>
  failure === 'TrafficMoved' || failure === 'LoadBalancerChanged';

/** What one stretch of the bake brought. */
interface Seen {
  readonly report: TrafficReport | undefined;
  readonly unwatched: readonly Unwatched[];
  /** Whether the watch over the servers has told what it saw: it does not when its worker was lost. */
  readonly isTold: boolean;
  readonly lastedMs: number;
}

/** One watched stretch of the bake: until its time is over, until it is ended early, or until something is wrong. */
async function stretch(
  run: DeploymentRun,
  plan: Plan,
  objects: Plan['objects'],
  clock: Clock,
): Promise<Seen & { readonly trouble: Complaint | undefined }> {
  const { board, traffic } = run;
  const beganAt = Date.now();
  const found: { trouble?: Complaint } = {};
  const watchers = watchAll(run, plan, objects, (trouble) => (found.trouble ??= trouble));
  let lastedMs = 0;
  try {
    for (let isOver = false; !isOver && found.trouble === undefined && !clock.early;) {
      const { leftMs } = clock;
      const deadline = beganAt + leftMs;
      board.enter('bake', `${plan.idle} is watched under all the traffic; then it is promoted`, {
        what: 'the end of the bake',
        deadline,
      });
      const changed = () => found.trouble !== undefined || clock.early || clock.leftMs !== leftMs;
      // Told by the timer, never by the clock: that one may show another time when this is replayed after a lost task.
      isOver = !(await condition(changed, Math.max(1, deadline - Date.now()), { summary: 'bake' }));
      if (!isOver) continue;
      clock.leftMs -= leftMs; // what is added from here on is baked, too
      lastedMs = leftMs;
    }
  } finally {
    watchers.scope.cancel();
    await CancellationScope.nonCancellable(() => watchers.ended);
  }
  const report = await traffic.next('after the bake', { baseline: run.baseline, policy: run.service.bake });
  board.tell({ tally: traffic.tally });
  const told = watchers.unwatched();
  return {
    report,
    trouble: found.trouble,
    lastedMs,
    unwatched: within(lastedMs, told ?? nobody(run, lastedMs)),
    isTold: told !== undefined,
  };
}

/** Workers tell it by clocks of their own, which may differ by hours: nothing was out of sight for longer than was to be seen. */
const within = (lastedMs: number, unwatched: readonly Unwatched[]): readonly Unwatched[] =>
  lastedMs === 0 ? unwatched : unwatched.map((each) => ({ ...each, ms: Math.min(each.ms, lastedMs) }));

/** Where no watch has told anything at its end. */
const nobody = ({ fleet }: DeploymentRun, ms: number): readonly Unwatched[] =>
  fleet.going.map(({ name }) => ({ server: name, ms, because: 'no worker watched it' }));

/** What is watched side by side. A rollback ends it: the scope belongs to the forward steps. */
function watchAll(
  run: DeploymentRun,
  plan: Plan,
  objects: Plan['objects'],
  onTrouble: (trouble: Complaint) => void,
) {
  const { service, traffic } = run;
  const scope = new CancellationScope();
  let told: readonly Unwatched[] | undefined;
  const asTrouble = (error: unknown) => {
    // Once it is ended, a watch whose worker was lost meanwhile fails and says nothing.
    if (!isCancellation(error) && !scope.consideredCancelled) onTrouble(complaintOf(error));
  };
  const requests = traffic.ended().then(({ verdict }) => {
    if (verdict.kind === 'fail') onTrouble(ill(run, plan, verdict.because));
  });
  const ended = scope.run(async () => {
    const proved = { program: plan.release.executable, processes: run.verified };
    const servers = watchUntil(run, plan.idle, 'ill', proved).then(({ because, unwatched }) => {
      told = unwatched;
      if (because === '') return;
      run.newIsIll = true;
      onTrouble(ill(run, plan, because));
    });
    const loadBalancer = watch.watchLoadBalancer.executeWithOptions(
      { summary: `is all traffic still at ${plan.idle}` },
      [{ service, plan: { objects }, live: expectedColor(plan, 'new'), everyMs: service.bake.watchEveryMs }],
    );
    const wayBack = plan.live === 'nothing' ? Promise.resolve() : watchWayBack(run, otherColor(plan.idle));
    await Promise.all([servers, loadBalancer, wayBack].map((watching) => watching.catch(asTrouble)));
  });
  requests.catch(asTrouble);
  return { scope, ended, unwatched: () => told };
}

const watchUntil = (
  run: DeploymentRun,
  color: Color,
  until: 'ill' | 'well',
  proved?: EnvironmentWatch['proved'],
): Promise<EnvironmentReport> =>
  watch.watchEnvironment.executeWithOptions({ summary: `${color} until ${until}` }, [
    { service: run.service, color, until, except: run.leftOut, ...(proved ? { proved } : {}) },
  ]);

/**
 * A way back that decays is told at once, and so is its recovery. One that comes and goes is looked at less and less often: each turn
 * costs events, and a history has an end.
 */
async function watchWayBack(run: DeploymentRun, color: Color): Promise<void> {
  const isOver = () => CancellationScope.current().consideredCancelled;
  for (let timesWell = 0; ;) {
    const { because, unwatched } = await watchUntil(run, color, 'ill');
    tellUnwatched(run, unwatched);
    if (because === '') return;
    run.board.note(`The way back decays: ${because}`);
    run.board.publish();
    await watchUntil(run, color, 'well');
    if (isOver()) return;
    run.board.note(`The way back is well again: ${color}`);
    await sleep(restMs(++timesWell), { summary: `${color} is well again` });
  }
}

const tellUnwatched = ({ board }: DeploymentRun, unwatched: readonly Unwatched[]): void => {
  for (const each of unwatched) board.note(`In the bake ${describeUnwatched(each)}`);
};

const ill = (run: DeploymentRun, plan: Plan, because: string): Complaint =>
  asComplaint(
    'IllUnderTraffic',
    `Cannot keep "${run.service.id}" on ${plan.idle}: under all the traffic ${because}`,
  );

/** Judges the stretch that has ended, and says in `clock` whether more is needed. */
async function judge(
  run: DeploymentRun,
  plan: Plan,
  { report, unwatched, isTold, lastedMs }: Seen,
  clock: Clock,
): Promise<void> {
  const { board, service, baseline } = run;
  clock.bakedMs += lastedMs;
  clock.unwatched = addUnwatched(clock.unwatched, unwatched);
  tellUnwatched(run, unwatched);
  if (report) clock.seen = addTallies(clock.seen, report.tally);
  const verdict =
    report?.verdict.kind === 'fail'
      ? report.verdict
      : judgeTraffic({ tally: clock.seen, windows: report?.windows ?? [] }, baseline, service.bake, true);
  if (verdict.kind === 'fail') throw asFailure(ill(run, plan, verdict.because));
  if (clock.early) {
    board.note('The bake was ended early by a person');
    return;
  }
  const neededMs = service.bake.durationMs * neededCoverage;
  const longest = longestUnwatched(clock.unwatched, run.fleet.mayStillFail);
  const watchedMs = Math.min(clock.seen.observedMs, clock.bakedMs - (longest?.ms ?? 0));
  const missingMs = Math.ceil(neededMs - watchedMs);
  if (clock.leftMs > 0) return; // made longer while it ended
  // A worker that was lost has a successor, or nobody would be here: what it did not see is baked once more.
  const isOutOfSight = isTold && longest && msOf(unwatched, longest.server) >= lastedMs * neededCoverage;
  if (missingMs > 0 && isOutOfSight) {
    await askWhetherToPromote(run, describeUnwatched(longest));
    beginAgain(run, clock);
  } else if (missingMs > 0) {
    board.note(`${Math.round(missingMs / 1000)} s of the bake were not watched; it lasts that much longer`);
    clock.leftMs = Math.max(missingMs, 1_000);
  } else if (verdict.kind === 'inconclusive') {
    await askWhetherToPromote(run, verdict.because);
    beginAgain(run, clock);
  }
}

const askWhetherToPromote = (run: DeploymentRun, because: string): Promise<void> =>
  run.askPerson({
    failure: 'EvidenceMissing',
    message: `Cannot promote "${run.service.id}": ${because}\n  bake once more: verdigris retry; go back: verdigris rollback`,
  });

/** A person let it go on: the load balancer as it is now is what the rest of the bake is held against. */
async function asItIsNow(run: DeploymentRun): Promise<Plan['objects']> {
  const observation = await look.observe.executeWithOptions(
    { summary: 'as a person left it', ...overAll(run.service) },
    [{ service: run.service }],
  );
  run.objects = objectsToKeep(observation.loadBalancer, run.objects);
  return oursOf(observation);
}
