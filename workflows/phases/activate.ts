import type { Plan } from '../../domain/plan.js';
import type { DeploymentRun } from '../deployment-run.js';
import { batches, lanes } from '../fan-out.js';
import { beside, step } from '../patience.js';
import { undoOnServers } from '../server-undo.js';
import { confirmPlan } from '../confirmation.js';

/** Makes the release the one that runs on the idle servers. */
export async function activate(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, board, fleet } = run;
  const { release, idle } = plan;
  board.enter('activate', `${idle} is stopped, switched to the release and started; ${plan.live} serves`);
  const { going } = fleet;
  run.undo.push(`put back what ran on ${idle}`, () =>
    undoOnServers(run, idle, going, async ({ name }) => {
      const previous = plan.servers.find(({ server }) => server === name)?.restores ?? 'nothing';
      const { cut } = await step.restoreRelease.executeWithOptions(
        { summary: `${previous} on ${name}`, ...beside(service.drain.atMostMs) },
        [{ service, server: name, release: previous, token: run.token() }],
      );
      if (cut > 0) board.note(`${cut} connections still lingered on ${name} when it was put back`);
      board.tellServer(name, previous === 'nothing' ? 'stopped' : 'restored', previous);
    }),
  );
  for (const batch of batches(going, lanes)) {
    await confirmPlan(run, plan, 'live');
    await fleet.each(batch, service.drain.atMostMs, async ({ name }) => {
      board.tellServer(name, 'activating', release.id);
      await step.activateRelease.executeWithOptions(
        { summary: `${release.id} on ${name}`, ...beside(service.drain.atMostMs) },
        [{ service, server: name, release: release.id, token: run.token() }],
      );
      board.tellServer(name, 'active', release.id);
    });
  }
}
