import { otherColor } from '../domain/color.js';
import { describeLeftBehind } from '../domain/fleet.js';
import type { ServerName } from '../domain/names.js';
import type { Plan } from '../domain/plan.js';
import { allTo } from '../domain/split.js';
import { complaintOf } from './complaint.js';
import { confirmNoTraffic, confirmPlan } from './confirmation.js';
import type { DeploymentRun } from './deployment-run.js';
import { lingeringBack, noteStop } from './draining.js';
import { batches, fanOut, lanes } from './fan-out.js';
import { routeInTurn } from './moving-traffic.js';
import { step } from './patience.js';
import { undoOnServers } from './server-undo.js';

/**
 * Stops the servers that were left behind, just before the others get the traffic: what they run is not what was approved.
 * One that cannot be reached is left to the load balancer, which leaves it out in any case.
 * @returns whether there were any: stopping takes its time.
 */
export async function stopLeftBehind(run: DeploymentRun, plan: Plan): Promise<boolean> {
  const { service, fleet } = run;
  const left = fleet.leftBehind.map(({ server }) => server);
  if (left.length === 0) return false;
  const servers = service.environments[plan.idle].filter(({ name }) => left.includes(name));
  run.undo.push(
    `start ${left.join(', ')} again`,
    undoOnServers(run, plan.idle, servers, async ({ name }) => {
      const before = plan.servers.find(({ server }) => server === name)?.restores;
      if (before === undefined) {
        fleet.keepOut(name); // it was never seen: nobody knows what to start
        return;
      }
      await step.restoreRelease.executeWithOptions({ summary: `${before} on ${name}` }, [
        { service, server: name, release: before, lingering: lingeringBack(run), token: run.token() },
      ]);
    }),
  );
  for (const batch of batches(servers, lanes)) {
    await confirmPlan(run, plan, 'live');
    await fanOut(batch, lanes, ({ name }) => stop(run, name));
  }
  return true;
}

async function stop(run: DeploymentRun, server: ServerName): Promise<void> {
  const { service, board } = run;
  try {
    const report = await step.stopServer.executeWithOptions({ summary: `${server}, left behind` }, [
      { service, server, token: run.token() },
    ]);
    noteStop(run, server, report);
    board.tellServer(server, 'left behind', 'stopped');
  } catch (error) {
    const { failure, message } = complaintOf(error);
    if (failure === 'Cancelled' || failure === 'ExecutorFenced' || failure === 'EnvironmentHasTraffic')
      throw error;
    board.note(`${describeLeftBehind({ server, because: message })}; it was not stopped`);
  }
}

/**
 * Says how the load balancer's list of idle servers is put back, after everything else: a server that could not be put back
 * stays out of it, any other is as it was.
 */
export function undoLeavingBehind(run: DeploymentRun, plan: Plan): void {
  const { fleet } = run;
  run.undo.pushLast('leave out of the load balancer only what could not be put back', async () => {
    const out = fleet.notPutBack;
    const back = fleet.leftBehind
      .map(({ server }) => server)
      .filter((name) => !out.includes(name) && !plan.leftOut.includes(name));
    await routeInTurn(run, `${back.join(', ') || 'nobody'} is probed again`, 'rollback', async () => {
      await confirmNoTraffic(run, plan.idle);
      return {
        to: allTo(otherColor(plan.idle)),
        leaveOut: [...run.leftOutOfLive, ...out],
        takeIn: back,
        expected: run.objects,
      };
    });
  });
}
