import { CancellationScope } from '@temporalio/workflow';
import type { Color } from '../domain/color.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import type { LeftBehind } from '../domain/fleet.js';
import type { ReleaseId, ServerName } from '../domain/names.js';
import { idleOf } from '../domain/plan.js';
import type { Server } from '../domain/service.js';
import { asFailure, complaintOf } from './complaint.js';
import { confirmNoTraffic } from './confirmation.js';
import { batches, fanOut, lanes } from './fan-out.js';
import type { AdoptionRequest } from './messages.js';
import { look, overAll, step } from './patience.js';
import { Run } from './run.js';
import { complaintsUnsettled } from './unsettled.js';

export type Adopted =
  | {
      readonly kind: 'adopted';
      readonly color: Color;
      readonly releases: Readonly<Record<string, ReleaseId | 'nothing'>>;
      /** Servers that are as they were, and why. */
      readonly notAdopted: readonly LeftBehind[];
    }
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] };

/**
 * Takes over what runs on the idle environment in flat directories under its own units: files kept, nothing restarted. A server that
 * fails keeps no other from it.
 */
export async function adopt(request: AdoptionRequest): Promise<Adopted> {
  const run = new Run({ kind: 'adoption', ...request });
  return await CancellationScope.nonCancellable(async () => {
    const result = await takeOver(run, request.color).catch((error: unknown): Adopted => ({
      kind: 'refused',
      complaints: [complaintOf(error)],
    }));
    await run.end({});
    return result;
  });
}

async function takeOver(run: Run, asked: Color | undefined): Promise<Adopted> {
  const { service, board } = run;
  const [unsettled] = await complaintsUnsettled(run, 'adopt');
  if (unsettled) throw asFailure(unsettled);
  const observation = await look.observe.executeWithOptions(
    { summary: `${service.id}: load balancer and servers`, ...overAll(service) },
    [{ service }],
  );
  const idle = idleOf(observation);
  if (!idle || (asked && asked !== idle)) throw asFailure(notIdle(run, asked, idle));
  board.enter('install', `what runs on ${idle} becomes a release; nothing is restarted`);
  const releases: Record<string, ReleaseId | 'nothing'> = {};
  const complaints = new Map<ServerName, Complaint>();
  for (const batch of batches(service.environments[idle], lanes)) {
    const leave = (server: Server, error: unknown) => {
      complaints.set(server.name, complaintOf(error));
      board.tellServer(server.name, 'not adopted', complaintOf(error).message);
    };
    try {
      await confirmNoTraffic(run, idle);
    } catch (error) {
      for (const server of batch) leave(server, error);
      continue;
    }
    await fanOut(batch, lanes, (server) =>
      step.adoptServer
        .executeWithOptions({ summary: server.name }, [{ service, server: server.name, token: run.token() }])
        .then((release) => {
          releases[server.name] = release;
          board.tellServer(server.name, 'adopted', release);
        })
        .catch((error: unknown) => leave(server, error)),
    );
  }
  if (Object.keys(releases).length === 0) return { kind: 'refused', complaints: [...complaints.values()] };
  const notAdopted = [...complaints].map(([server, { message }]) => ({ server, because: message }));
  return { kind: 'adopted', color: idle, releases, notAdopted };
}

const notIdle = ({ service }: Run, asked: Color | undefined, idle: Color | undefined): Complaint =>
  asComplaint(
    'EnvironmentHasTraffic',
    idle
      ? `Cannot adopt ${asked} of "${service.id}": it is live, and ${idle} is idle\n  only what is idle is touched: verdigris adopt --environment ${idle}`
      : `Cannot adopt "${service.id}": the load balancer does not send all traffic to one environment\n  settle it: verdigris repair`,
  );
