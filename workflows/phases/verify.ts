import { CancellationScope, condition } from '@temporalio/workflow';
import { describeLeftBehind } from '../../domain/fleet.js';
import { hashOf } from '../../domain/hash.js';
import type { Plan } from '../../domain/plan.js';
import type { Server } from '../../domain/service.js';
import type { Evidence } from '../../domain/deployment.js';
import { otherColor } from '../../domain/color.js';
import { allTo } from '../../domain/split.js';
import type { ServerEvidence } from '../../activities/health.js';
import { asFailure } from '../complaint.js';
import { confirmNoTraffic, confirmOnce, confirmPlan } from '../confirmation.js';
import type { DeploymentRun } from '../deployment-run.js';
import { routeInTurn } from '../moving-traffic.js';
import { beside, fleetStep, look, overAll } from '../patience.js';

/** Every idle server proves itself, to us and to the load balancer. */
export async function verify(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, board } = run;
  board.enter('verify', `every server of ${plan.idle} has to prove itself; ${plan.live} serves`);
  await takeIn(run, plan);
  board.tell({ evidence: await prove(run, plan, service.verify.minimumMs) });
}

/** The same again after the approval, shorter: an approval may take a weekend. */
export function verifyAgain(run: DeploymentRun, plan: Plan): Promise<Evidence> {
  return prove(run, plan, shortMs(run));
}

/** A server that an earlier deployment has left behind is not probed by the load balancer until it is active there again. */
async function takeIn(run: DeploymentRun, plan: Plan): Promise<void> {
  const { fleet, leftOutOfLive } = run;
  const back = fleet.going.map(({ name }) => name).filter((name) => plan.leftOut.includes(name));
  if (back.length === 0) return;
  const change = { to: allTo(otherColor(plan.idle)), expected: run.objects } as const;
  await confirmPlan(run, plan, 'live');
  run.undo.push(`leave ${back.join(', ')} out of the load balancer again`, async () => {
    await routeInTurn(run, `without ${back.join(', ')}`, 'rollback', async () => {
      await confirmNoTraffic(run, plan.idle);
      return { ...change, leaveOut: [...leftOutOfLive, ...back] };
    });
  });
  await routeInTurn(run, `${back.join(', ')} is probed again`, 'forward', async (hasWaited) => {
    if (hasWaited) await confirmOnce(run, plan, 'live');
    return { ...change, leaveOut: leftOutOfLive, takeIn: back };
  });
}

async function prove(run: DeploymentRun, plan: Plan, minimumMs: number): Promise<Evidence> {
  const { service, fleet } = run;
  const { idle } = plan;
  const proved = await bothOrNeither(
    () => proveServers(run, plan, minimumMs),
    () => proveToLoadBalancer(run, plan),
  );
  const live = await look.identities.executeWithOptions(
    { summary: `how ${plan.live} names itself`, ...overAll(service) },
    [{ service, color: otherColor(idle) }],
  );
  const kept = proved.filter(({ server }) => !fleet.isLeftBehind(server));
  run.identities = {
    idle: [...new Set(kept.map(({ identity }) => identity).filter(Boolean))].sort(),
    live,
  };
  run.verified = Object.fromEntries(kept.map(({ server, process }) => [server, process]));
  return evidenceOf(run, plan, kept);
}

/**
 * Just before the switch, where it had to be waited for: the processes that were proved still serve. Quick, since others wait now:
 * the load balancer's own eyes would take as long as its probes do.
 */
export async function confirmStillProved(run: DeploymentRun, plan: Plan): Promise<void> {
  const before = run.verified;
  const proved = await proveServers(run, plan, shortMs(run), 'a few');
  const isAsApproved = (server: string): boolean => {
    const process = proved.find((each) => each.server === server)?.process;
    return process?.pid === before[server]?.pid && process?.startedAtUs === before[server]?.startedAtUs;
  };
  // One that is left behind only now counts, too: it was approved with it, and nobody has stopped it.
  const others = Object.keys(before).filter((server) => !isAsApproved(server));
  if (others.length === 0) return;
  throw asFailure({
    failure: 'PlanDrifted',
    message: `Cannot switch "${run.service.id}": ${others.join(', ')} was started again, or failed, while it waited for its turn at the load balancer, needs what was approved\n  look why, and deploy again: verdigris deploy`,
  });
}

const shortMs = ({ service: { verify: settings } }: DeploymentRun): number =>
  Math.min(settings.minimumMs, 2 * settings.everyMs);

function proveServers(
  run: DeploymentRun,
  plan: Plan,
  minimumMs: number,
  tries?: 'a few',
): Promise<readonly ServerEvidence[]> {
  const { service, board, fleet } = run;
  const { release } = plan;
  const proveOne = async ({ name }: Server): Promise<ServerEvidence> => {
    board.tellServer(name, 'verifying', release.id);
    const evidence = await fleetStep.verifyServer.executeWithOptions(
      { summary: `${release.id} on ${name}`, ...beside(service.verify.deadlineMs) },
      [{ service, server: name, release, minimumMs }],
    );
    board.tellServer(name, 'verified', release.id);
    return evidence;
  };
  return fleet.each(fleet.going, service.verify.deadlineMs, proveOne, tries);
}

/** Waits until the load balancer itself finds every server up that is not left behind, whoever is left behind meanwhile. */
async function proveToLoadBalancer(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, fleet } = run;
  for (;;) {
    const asked = fleet.going.map(({ name }) => name);
    const isSmaller = () => fleet.going.length < asked.length;
    const scope = new CancellationScope();
    const shrinking = scope
      .run(() => condition(isSmaller))
      .then(
        () => scope.cancel(),
        () => undefined,
      );
    try {
      const notUp = await scope.run(() =>
        look.awaitBackendsUp.executeWithOptions(
          {
            summary: `${plan.idle} up in the load balancer's own eyes`,
            ...beside(service.verify.loadBalancerDeadlineMs),
          },
          [{ service, servers: asked, mayMiss: fleet.mayStillFail }],
        ),
      );
      for (const { server, because } of notUp) {
        if (!fleet.isLeftBehind(server))
          fleet.leave(server, asFailure({ failure: 'IdleNotUp', message: because }));
      }
      return;
    } catch (error) {
      if (!isSmaller() || CancellationScope.current().consideredCancelled) throw error;
    } finally {
      scope.cancel();
      await shrinking;
    }
  }
}

/** The first that fails ends the other, whose end is waited for: nothing goes on behind the undo. */
async function bothOrNeither<T>(first: () => Promise<T>, second: () => Promise<unknown>): Promise<T> {
  const scope = new CancellationScope();
  const failures: unknown[] = [];
  const note = (error: unknown): never => {
    failures.push(error);
    scope.cancel();
    throw error;
  };
  const [one] = await scope.run(() => Promise.allSettled([first().catch(note), second().catch(note)]));
  if (one.status === 'rejected' || failures.length > 0) throw failures[0];
  return one.value;
}

function evidenceOf(
  { service, identities, fleet }: DeploymentRun,
  plan: Plan,
  proved: readonly ServerEvidence[],
): Evidence {
  const seconds = service.verify.minimumMs / 1000;
  const lines = [
    ...(plan.program ?? []),
    ...(plan.machines ?? []),
    ...proved.map(
      ({ server, program, identity }) =>
        `${server} runs ${program.slice(0, 12)}${identity ? ` as "${identity}"` : ''}: ${service.health.path} answered ${service.health.status} ${service.verify.passes} times in a row, same process for ${seconds} s`,
    ),
    `the load balancer finds all ${proved.length} servers of ${plan.idle} up`,
    ...fleet.leftBehind.map((left) => `left behind, and gets no traffic: ${describeLeftBehind(left)}`),
    identities.idle.some((name) => identities.live.includes(name))
      ? `blue and green cannot be told apart from outside: both name themselves "${identities.idle.join(', ')}"`
      : `from outside, ${plan.idle} is told by "${identities.idle.join(', ')}"`,
  ];
  // What was started again since is not what was approved, though it may read the same.
  return {
    lines,
    hash: hashOf({ lines, processes: proved.map(({ process }) => [process.pid, process.startedAtUs]) }),
  };
}
