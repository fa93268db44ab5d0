import { CancellationScope } from '@temporalio/workflow';
import type { Color } from '../domain/color.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import type { ReleaseId } from '../domain/names.js';
import { idleOf } from '../domain/plan.js';
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
    }
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] };

/** Takes over what runs on the idle environment in flat directories under its own units: files kept, nothing restarted. */
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
  for (const batch of batches(service.environments[idle], lanes)) {
    await confirmNoTraffic(run, idle);
    await fanOut(batch, lanes, async ({ name }) => {
      releases[name] = await step.adoptServer.executeWithOptions({ summary: name }, [
        { service, server: name, token: run.token() },
      ]);
      board.tellServer(name, 'adopted', releases[name]);
    });
  }
  return { kind: 'adopted', color: idle, releases };
}

const notIdle = ({ service }: Run, asked: Color | undefined, idle: Color | undefined): Complaint =>
  asComplaint(
    'EnvironmentHasTraffic',
    idle
      ? `Cannot adopt ${asked} of "${service.id}": it is live, and ${idle} is idle\n  only what is idle is touched: verdigris adopt --environment ${idle}`
      : `Cannot adopt "${service.id}": the load balancer does not send all traffic to one environment\n  settle it: verdigris repair`,
  );
