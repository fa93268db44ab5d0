import { CancellationScope } from '@temporalio/workflow';
import { otherColor, type Color } from '../domain/color.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import { leftOutOf } from '../domain/observation.js';
import { complaintOf, isTakenOver } from './complaint.js';
import type { RepairRequest } from './messages.js';
import { moveTraffic } from './moving-traffic.js';
import { look, overAll } from './patience.js';
import { Run } from './run.js';
import { seeThrough } from './way-back.js';

export type Repaired =
  | { readonly kind: 'repaired'; readonly live: Color; readonly notes: readonly string[] }
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] };

/**
 * Settles a state that no deployment may start from: all traffic goes to the environment that a person chose, which is proved
 * from outside. Settles a take-over, too. No server is changed.
 */
export async function repair(request: RepairRequest): Promise<Repaired> {
  const run = new Run({ kind: 'repair', ...request });
  return await CancellationScope.nonCancellable(async () => {
    const result = await settle(run, request.live).catch((error: unknown): Repaired => {
      if (isTakenOver(error)) throw error;
      return { kind: 'refused', complaints: [complaintOf(error)] };
    });
    await run.end(result.kind === 'repaired' ? { live: result.live } : {});
    return result;
  });
}

async function settle(run: Run, live: Color): Promise<Repaired> {
  const { service, board } = run;
  const [names, others] = await Promise.all(
    [live, otherColor(live)].map((color) =>
      look.identities.executeWithOptions({ summary: `how ${color} names itself`, ...overAll(service) }, [
        { service, color },
      ]),
    ),
  );
  if (!names || names.length === 0) {
    const message = `Cannot repair "${service.id}": no server of ${live} answers ${service.publicAddress.identify.path}\n  choose the environment that works: verdigris repair --live ${otherColor(live)}`;
    return { kind: 'refused', complaints: [asComplaint('StateUnclear', message)] };
  }
  const { loadBalancer } = await look.observe.executeWithOptions(
    { summary: 'who is left out', ...overAll(service) },
    [{ service }],
  );
  const leaveOut = leftOutOf(loadBalancer, live);
  board.enter('switch', `all new traffic goes to ${live}, and that is proved from outside`);
  run.undo.push(`send all traffic to ${live}`, () =>
    moveTraffic(run, live, { own: names, others: others ?? [] }, leaveOut),
  );
  await seeThrough(run);
  return { kind: 'repaired', live, notes: board.status.notes };
}
