import { CancellationScope } from '@temporalio/workflow';
import { otherColor, type Color } from '../domain/color.js';
import type { Complaint } from '../domain/failures.js';
import { allTo } from '../domain/split.js';
import { complaintOf } from './complaint.js';
import type { RepairRequest } from './messages.js';
import { look, route } from './patience.js';
import { Run } from './run.js';

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
      const complaint = complaintOf(error);
      if (complaint.failure === 'TakenOver') throw error;
      return { kind: 'refused', complaints: [complaint] };
    });
    await run.end(result.kind === 'repaired' ? { live: result.live } : {});
    return result;
  });
}

async function settle(run: Run, live: Color): Promise<Repaired> {
  const { service, board } = run;
  const [names, others] = await Promise.all(
    [live, otherColor(live)].map((color) => look.identities({ service, color })),
  );
  if (!names || names.length === 0) {
    const message = `Cannot repair "${service.id}": no server of ${live} answers ${service.publicAddress.identify.path}\n  choose the environment that works: verdigris repair --live ${otherColor(live)}`;
    return { kind: 'refused', complaints: [{ failure: 'StateUnclear', message }] };
  }
  board.enter('switch', `all new traffic goes to ${live}, and that is proved from outside`);
  const { published } = await route.routeTraffic.executeWithOptions({ summary: `all to ${live}` }, [
    { service, to: allTo(live), purpose: 'rollback' },
  ]);
  if (published.length > 0)
    board.note(`Somebody else's edits were published with it: ${published.join('; ')}`);
  await route.proveTraffic.executeWithOptions(
    { summary: `${live} answers at ${service.publicAddress.url}` },
    [{ service, color: live, identities: names, others: others ?? [], deadlineMs: 60_000 }],
  );
  board.tell({ live, idle: otherColor(live), split: allTo(live) });
  return { kind: 'repaired', live, notes: board.status.notes };
}
