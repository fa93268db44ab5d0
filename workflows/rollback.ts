import { CancellationScope } from '@temporalio/workflow';
import { otherColor, type Color } from '../domain/color.js';
import type { Outcome } from '../domain/deployment.js';
import type { Complaint } from '../domain/failures.js';
import { judgeWayBack } from '../domain/health.js';
import { factsOf, liveColor, type Observation } from '../domain/observation.js';
import { allTo } from '../domain/split.js';
import { asFailure, complaintOf } from './complaint.js';
import type { RollbackRequest } from './messages.js';
import { look, route } from './patience.js';
import { Run } from './run.js';

/**
 * Goes back to the environment that is idle now, when no deployment is open: compares both, switches, and proves it. Only
 * traffic moves; no server is changed. Reached by the same update as an open deployment, under the same workflow id.
 */
export async function rollback(request: RollbackRequest): Promise<Outcome> {
  const run = new Run({ kind: 'rollback', ...request });
  return await CancellationScope.nonCancellable(async () => {
    const outcome = await goBack(run).catch((error: unknown): Outcome => {
      const complaint = complaintOf(error);
      if (complaint.failure === 'TakenOver') throw error;
      return { kind: 'refused', complaints: [complaint] };
    });
    await run.end({
      outcome,
      ...(outcome.kind === 'rolled back' ? { live: outcome.live, tally: outcome.tally } : {}),
    });
    return outcome;
  });
}

async function goBack(run: Run): Promise<Outcome> {
  const { service, board } = run;
  const observation = await look.observe.executeWithOptions(
    { summary: `${service.id}: load balancer and servers` },
    [{ service }],
  );
  const live = liveColor(observation.loadBalancer);
  if (!live) throw asFailure(unclear(run, observation));
  const old = otherColor(live);
  board.tell({ live, idle: old, split: allTo(live) });
  const complaints = complaintsAboutOld(run, old, observation);
  if (complaints.length > 0) return { kind: 'refused', complaints };
  await run.traffic.next('during the rollback');
  board.enter('switch', `all new traffic goes back to ${old}, and that is proved from outside`);
  await confirmAble(run, old);
  const [oldNames, newNames] = await Promise.all(
    [old, live].map((color) => look.identities({ service, color })),
  );
  const because: Complaint = {
    failure: 'RollbackAsked',
    message: `Rollback asked for by ${run.rollback?.by ?? board.status.requestedBy}${run.rollback?.reason ? `: ${run.rollback.reason}` : ''}`,
  };
  const { tookMs, published } = await route.routeTraffic.executeWithOptions(
    { summary: `all back to ${old}` },
    [{ service, to: allTo(old), purpose: 'rollback' }],
  );
  board.tell({ live: old, idle: live, split: allTo(old) });
  board.note(`The way back to ${old} took ${(tookMs / 1000).toFixed(1)} s`);
  if (published.length > 0)
    board.note(`Somebody else's edits were published with it: ${published.join('; ')}`);
  await route.proveTraffic.executeWithOptions({ summary: `${old} answers at ${service.publicAddress.url}` }, [
    { service, color: old, identities: oldNames ?? [], others: newNames ?? [], deadlineMs: 60_000 },
  ]);
  await run.traffic.stop();
  return {
    kind: 'rolled back',
    during: 'retire',
    because,
    live: old,
    notes: board.status.notes,
    tally: run.traffic.tally,
  };
}

/** The old environment must answer; when it does not, a person decides. */
async function confirmAble(run: Run, old: Color): Promise<void> {
  const { service } = run;
  while (!run.rollback?.force) {
    const samples = await look.compareEnvironments.executeWithOptions({ summary: 'is the old one able' }, [
      { service },
    ]);
    const verdict = judgeWayBack(samples[old], samples[otherColor(old)], {
      needs: 'able',
      currentIsIll: false,
      latencyFloorMs: service.bake.latencyFloorMs,
    });
    if (verdict.kind !== 'inconclusive') return;
    await run.askPerson({
      failure: 'RollbackBlind',
      message: `Cannot roll back "${service.id}": ${verdict.because}; nothing was moved\n  go back all the same: verdigris rollback --force; look again: verdigris retry`,
    });
  }
}

function complaintsAboutOld({ service }: Run, old: Color, observation: Observation): readonly Complaint[] {
  return service.environments[old].flatMap(({ name }): Complaint[] => {
    const state = factsOf(observation, name)?.unit.state ?? 'unreachable';
    if (state === 'active' || state === 'unreachable') return [];
    const message = `Cannot roll back "${service.id}" to ${old}: ${name} does not run (${state})\n  release the earlier version again: verdigris deploy`;
    return [{ failure: 'StateUnclear', message }];
  });
}

function unclear({ service }: Run, { loadBalancer: { traffic } }: Observation): Complaint {
  const found = traffic.kind === 'split' ? 'traffic is divided' : traffic.detail;
  return {
    failure: 'StateUnclear',
    message: `Cannot roll back "${service.id}": ${found}, needs one live environment\n  settle it: verdigris repair`,
  };
}
