import type { Color } from '../domain/color.js';
import type { Server } from '../domain/service.js';
import { fanOut, batches, lanes } from './fan-out.js';
import { look } from './patience.js';
import type { DeploymentRun } from './deployment-run.js';

/**
 * Undoes something on servers of an environment, each batch only after another look that the environment gets no traffic.
 * One server that fails does not keep the others from being tried, and one that was left behind keeps nobody waiting.
 */
export async function undoOnServers(
  { service, fleet }: DeploymentRun,
  color: Color,
  servers: readonly Server[],
  undo: (server: Server) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  for (const batch of batches(servers, lanes)) {
    await look.confirmIdle.executeWithOptions({ summary: `${color} gets no traffic` }, [{ service, color }]);
    await fanOut(batch, lanes, async (server) => {
      try {
        await undo(server).catch((error: unknown) => fleet.leaveAsItIs(server.name, error));
      } catch (error) {
        failures.push(error);
      }
    });
  }
  if (failures.length > 0) throw failures[0];
}
