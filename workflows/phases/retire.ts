import { otherColor } from '../../domain/color.js';
import { isAboutOneServer } from '../../domain/fleet.js';
import type { ServerName } from '../../domain/names.js';
import { factsOf, type Observation } from '../../domain/observation.js';
import type { Plan } from '../../domain/plan.js';
import { asFailure, complaintOf } from '../complaint.js';
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
import { beside, look, step } from '../patience.js';

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
      board.note(`${server} was not stopped: ${complaint.message}`);
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
      await look.confirmIdle.executeWithOptions({ summary: `${old} gets no traffic` }, [
        { service, color: old },
      ]);
      const drained = batch.filter(({ name }) => !left.has(name));
      await fanOut(drained, lanes, ({ name }) =>
        stop(run, observation, name).catch((error: unknown) => leave(name, error)),
      );
    }
  } catch (error) {
    const { failure, message } = complaintOf(error);
    if (failure === 'Cancelled' || failure === 'TakenOver') throw error;
    board.note(`${old} was not stopped: ${message}`);
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

/** Undone by starting it again: without that, the traffic would be sent back to nobody. */
async function stop(run: DeploymentRun, observation: Observation, server: ServerName): Promise<void> {
  const { service, board } = run;
  const release = factsOf(observation, server)?.activeRelease;
  if (release) {
    run.undo.push(`start ${server} again`, async () => {
      await step.activateRelease.executeWithOptions(
        { summary: `${release} on ${server} again`, ...beside(service.drain.atMostMs) },
        [{ service, server, release, lingering: lingeringBack(run), token: run.token() }],
      );
    });
  }
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
