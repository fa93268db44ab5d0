import { otherColor, type Color } from '../../domain/color.js';
import { inOneLine } from '../../domain/failures.js';
import { isAboutOneServer } from '../../domain/fleet.js';
import type { ServerName } from '../../domain/names.js';
import { factsOf, type Observation } from '../../domain/observation.js';
import type { Plan } from '../../domain/plan.js';
import type { Server } from '../../domain/service.js';
import { asFailure, complaintOf } from '../complaint.js';
import { confirmNoTraffic } from '../confirmation.js';
import {
  askingAboutLingering,
  leaveRunning,
  lingeringBack,
  lingeringForward,
  noteStop,
} from '../draining.js';
import type { DeploymentRun } from '../deployment-run.js';
import { endFallback } from '../fallback.js';
import { batches, fanOut, lanes } from '../fan-out.js';
import { beside, step } from '../patience.js';
import { undoOnServers } from '../server-undo.js';

/** What becomes of the old environment: it keeps running as the warm way back, or it drains and stops. */
export async function retire(run: DeploymentRun, plan: Plan, observation: Observation): Promise<void> {
  const { service, board } = run;
  const old = otherColor(plan.idle);
  if (plan.live === 'nothing') return;
  await endFallback(run, plan);
  if (service.retire.old === 'keep running' || anyForeign(run, plan, observation)) {
    board.enter('retire', `${old} keeps running as the warm way back`);
    return;
  }
  board.enter('retire', `${old} drains and stops`);
  try {
    await leaveRunning(run, old);
    const left = new Set<ServerName>();
    // One that cannot be stopped keeps running; the others are stopped all the same.
    const leave = (server: ServerName, error: unknown) => {
      const complaint = complaintOf(error);
      if (!isAboutOneServer(complaint)) throw error;
      left.add(server);
      board.tellServer(server, 'not stopped', complaint.message);
      board.note(`${server} was not stopped: ${inOneLine(complaint.message)}`);
    };
    for (const batch of batches(service.environments[old], lanes)) {
      await askingAboutLingering(run, batch, async (servers, onLinger) => {
        await fanOut(servers, lanes, async (server) => {
          try {
            await drain(run, server.name);
          } catch (error) {
            if (complaintOf(error).failure === 'ConnectionsLinger') onLinger(server, error);
            else leave(server.name, error);
          }
        });
      });
      // Draining takes minutes: what gets traffic is looked at after it, just before anything is stopped.
      await confirmNoTraffic(run, old);
      const drained = batch.filter(({ name }) => !left.has(name));
      undoStopping(run, old, drained, observation);
      await fanOut(drained, lanes, ({ name }) =>
        stop(run, name).catch((error: unknown) => leave(name, error)),
      );
    }
  } catch (error) {
    const { failure, message } = complaintOf(error);
    if (failure === 'Cancelled' || failure === 'TakenOver') throw error;
    board.note(`${old} was not stopped: ${inOneLine(message)}`);
  }
}

async function drain(run: DeploymentRun, server: ServerName): Promise<void> {
  const { service } = run;
  const { cut } = await step.drainServer.executeWithOptions(
    { summary: server, ...beside(service.drain.atMostMs) },
    [{ service, server }],
  );
  if (cut > 0 && lingeringForward(run) === 'refuse') {
    const message = `${cut} connections still linger on ${server} after ${service.drain.atMostMs / 1000} s, needs none`;
    throw asFailure({ failure: 'ConnectionsLinger', message });
  }
  noteStop(run, server, { cut, killed: false });
}

/** What is stopped is started again on the way back: without that, the traffic would be sent back to nobody. */
function undoStopping(
  run: DeploymentRun,
  old: Color,
  servers: readonly Server[],
  observation: Observation,
): void {
  const { service } = run;
  const releases = new Map(servers.map(({ name }) => [name, factsOf(observation, name)?.activeRelease]));
  const ran = servers.filter(({ name }) => releases.get(name) !== undefined);
  if (ran.length === 0) return;
  run.undo.push(
    `start ${ran.map(({ name }) => name).join(', ')} again`,
    undoOnServers(run, old, ran, async ({ name: server }) => {
      const release = releases.get(server);
      if (release === undefined) return;
      await step.activateRelease.executeWithOptions(
        { summary: `${release} on ${server} again`, ...beside(service.drain.atMostMs) },
        [{ service, server, release, lingering: lingeringBack(run), token: run.token() }],
      );
    }),
  );
}

async function stop(run: DeploymentRun, server: ServerName): Promise<void> {
  const { service, board } = run;
  noteStop(
    run,
    server,
    await step.stopServer.executeWithOptions({ summary: server }, [{ service, server, token: run.token() }]),
  );
  board.tellServer(server, 'stopped');
}

/** What Verdigris did not install is not stopped by it either. */
const anyForeign = ({ service }: DeploymentRun, plan: Plan, observation: Observation): boolean =>
  service.environments[otherColor(plan.idle)].some(({ name }) => factsOf(observation, name)?.foreign);
