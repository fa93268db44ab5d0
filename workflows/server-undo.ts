import type { Color } from '../domain/color.js';
import type { Server } from '../domain/service.js';
import { fanOut, batches, lanes } from './fan-out.js';
import { confirmNoTraffic } from './confirmation.js';
import type { DeploymentRun } from './deployment-run.js';

/**
 * How something is undone on servers of an environment, each batch only after another look that the environment gets no traffic.
 * One server that fails does not keep the others from being tried, and one that was left behind keeps nobody waiting. Tried again it
 * goes on with those that are left: each step costs events, and a history has an end.
 */
export function undoOnServers(
  run: DeploymentRun,
  color: Color,
  servers: readonly Server[],
  undo: (server: Server) => Promise<void>,
): () => Promise<void> {
  let left = servers;
  return async () => {
    const failures = new Map<Server, unknown>();
    for (const batch of batches(left, lanes)) {
      await confirmNoTraffic(run, color);
      await fanOut(batch, lanes, async (server) => {
        try {
          await undo(server).catch((error: unknown) => run.fleet.leaveAsItIs(server.name, error));
        } catch (error) {
          failures.set(server, error);
        }
      });
      left = left.filter((server) => failures.has(server) || !batch.includes(server));
    }
    const [first] = failures.values();
    if (failures.size > 0) throw first;
  };
}
