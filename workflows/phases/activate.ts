import type { Plan } from '../../domain/plan.js';
import {
  askingAboutLingering,
  leaveRunning,
  lingeringBack,
  lingeringForward,
  noteStop,
} from '../draining.js';
import type { DeploymentRun } from '../deployment-run.js';
import { batches, lanes } from '../fan-out.js';
import { beside, fleetStep, step } from '../patience.js';
import { undoOnServers } from '../server-undo.js';
import { confirmOnce, confirmPlan } from '../confirmation.js';

/** Makes the release the one that runs on the idle servers. */
export async function activate(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, board, fleet } = run;
  const { release, idle } = plan;
  board.enter('activate', `${idle} is stopped, switched to the release and started; ${plan.live} serves`);
  const { going } = fleet;
  const putBack = undoOnServers(run, idle, going, async ({ name }) => {
    const previous = plan.servers.find(({ server }) => server === name)?.restores ?? 'nothing';
    const report = await step.restoreRelease.executeWithOptions(
      { summary: `${previous} on ${name}`, ...beside(service.drain.atMostMs) },
      [{ service, server: name, release: previous, lingering: lingeringBack(run), token: run.token() }],
    );
    noteStop(run, name, report);
    board.tellServer(name, previous === 'nothing' ? 'stopped' : 'restored', previous);
  });
  run.undo.push(`put back what ran on ${idle}`, async () => {
    await leaveRunning(run, idle);
    await putBack();
  });
  for (const batch of batches(going, lanes)) {
    await askingAboutLingering(run, batch, async (servers, onLinger) => {
      await confirmPlan(run, plan, 'live');
      await fleet.each(servers, service.drain.atMostMs, async (server, isAgain) => {
        const { name } = server;
        if (isAgain) await confirmOnce(run, plan, 'live');
        board.tellServer(name, 'activating', release.id);
        const activated = fleetStep.activateRelease.executeWithOptions(
          { summary: `${release.id} on ${name}`, ...beside(service.drain.atMostMs) },
          [
            {
              service,
              server: name,
              release: release.id,
              lingering: lingeringForward(run),
              token: run.token(),
            },
          ],
        );
        try {
          noteStop(run, name, await activated);
          board.tellServer(name, 'active', release.id);
        } catch (error) {
          onLinger(server, error);
        }
      });
    });
  }
}
