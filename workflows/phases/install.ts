import type { Plan } from '../../domain/plan.js';
import { factsOf, type Observation } from '../../domain/observation.js';
import type { DeploymentRun } from '../deployment-run.js';
import { noteTold } from '../draining.js';
import { beside, fleetStep, step } from '../patience.js';
import { undoOnServers } from '../server-undo.js';
import { markIfIll } from '../unfit-marks.js';

/** Puts the release on all idle servers, beside what runs there. */
export async function install(run: DeploymentRun, plan: Plan, observation: Observation): Promise<void> {
  const { service, board, fleet } = run;
  const { release, idle } = plan;
  board.enter('install', `the release is put on ${idle}, beside what runs there`);
  // A release that was there before belongs to an earlier deployment: it stays.
  const fresh = fleet.going.filter(
    ({ name }) => !factsOf(observation, name)?.installedReleases.includes(release.id),
  );
  run.undo.push(
    `remove ${release.id} from ${idle}`,
    undoOnServers(run, idle, service.environments[idle], async (server) => {
      const { name } = server;
      await markIfIll(run, release, name);
      if (!fresh.includes(server)) return;
      const because = run.because?.message ?? 'undone';
      await step.removeRelease.executeWithOptions({ summary: `${release.id} from ${name}` }, [
        { service, server: name, release: release.id, because, token: run.token() },
      ]);
      board.tellServer(name, 'removed', release.id);
    }),
  );
  await fleet.each(fleet.going, service.artifact.timeoutMs, async ({ name }) => {
    board.tellServer(name, 'installing', release.id);
    const told = await fleetStep.installRelease.executeWithOptions(
      { summary: `${release.id} on ${name}`, ...beside(service.artifact.timeoutMs) },
      [{ service, server: name, release, token: run.token() }],
    );
    noteTold(run, name, told);
    board.tellServer(name, 'installed', release.id);
  });
}
