import { CancellationScope, workflowInfo } from '@temporalio/workflow';
import { colors, otherColor, type Color } from '../domain/color.js';
import type { Outcome } from '../domain/deployment.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import { describeHandSwitch, explains } from '../domain/hand-switch.js';
import type { Server } from '../domain/service.js';
import type { ServerName } from '../domain/names.js';
import { factsOf, leftOutOf, liveColor, type Observation } from '../domain/observation.js';
import { allTo } from '../domain/split.js';
import { asFailure, complaintOf, isTakenOver } from './complaint.js';
import type { RollbackRequest } from './messages.js';
import { moveTraffic } from './moving-traffic.js';
import { look, overAll } from './patience.js';
import { Run, askedFor } from './run.js';
import { complaintsUnsettled } from './unsettled.js';
import { confirmWayBack, seeThrough } from './way-back.js';

/**
 * Goes back to the environment that is idle now, when no deployment is open: compares both, switches, and proves it. Only
 * traffic moves; no server is changed. Reached by the same update as an open deployment, under the same workflow id.
 */
export async function rollback(request: RollbackRequest): Promise<Outcome> {
  const run = new RollbackRun({ kind: 'rollback', ...request });
  return await CancellationScope.nonCancellable(async () => {
    const outcome = await outcomeOf(run);
    await run.end({
      outcome,
      ...(outcome.kind === 'rolled back' ? { live: outcome.live, tally: outcome.tally } : {}),
    });
    return outcome;
  });
}

/** A run that goes back: what it finds left out by the load balancer says nothing of an environment. */
class RollbackRun extends Run {
  observation: Observation | undefined;

  override get leftOut(): readonly ServerName[] {
    const { loadBalancer } = this.observation ?? {};
    return loadBalancer ? colors.flatMap((color) => leftOutOf(loadBalancer, color)) : [];
  }
}

async function outcomeOf(run: RollbackRun): Promise<Outcome> {
  try {
    return await goBack(run);
  } catch (error) {
    if (isTakenOver(error)) throw error;
    return { kind: 'refused', complaints: [complaintOf(error)] };
  } finally {
    await run.traffic.stop();
  }
}

async function goBack(run: RollbackRun): Promise<Outcome> {
  const { service, board } = run;
  const [observation, unsettled] = await Promise.all([
    look.observe.executeWithOptions(
      { summary: `${service.id}: load balancer and servers`, ...overAll(service) },
      [{ service }],
    ),
    complaintsUnsettled(run, 'roll back'),
  ]);
  if (unsettled.length > 0) return { kind: 'refused', complaints: unsettled };
  run.observation = observation;
  const live = liveColor(observation.loadBalancer);
  if (!live) throw asFailure(unclear(run, observation));
  const old = otherColor(live);
  board.tell({ live, idle: old, split: allTo(live) });
  const complaints = [
    ...complaintsAboutHandSwitch(run, live, observation),
    ...complaintsAboutStored(run, observation),
    ...(await complaintsAboutRepeating(run, live)),
    ...complaintsAboutOld(run, old, observation),
  ];
  if (complaints.length > 0) return { kind: 'refused', complaints };
  await run.traffic.next('during the rollback');
  board.enter('switch', `all new traffic goes back to ${old}, and that is proved from outside`);
  await confirmWayBack(run, old, () => ({ needs: 'able', currentIsIll: false }));
  const [oldNames, newNames] = await Promise.all(
    [old, live].map((color) =>
      look.identities.executeWithOptions({ summary: `how ${color} names itself`, ...overAll(service) }, [
        { service, color },
      ]),
    ),
  );
  const because = asComplaint(
    'RollbackAsked',
    askedFor(run.rollback ?? { by: board.status.requestedBy, reason: '' }),
  );
  run.undo.push(`send the traffic back to ${old}`, () =>
    moveTraffic(
      run,
      old,
      { own: oldNames ?? [], others: newNames ?? [] },
      leftOutOf(observation.loadBalancer, old),
    ),
  );
  await seeThrough(run);
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

/** Whoever was on call has gone back already; the other way is what they went away from. */
function complaintsAboutHandSwitch(
  { service, rollback }: Run,
  live: Color,
  { handSwitch }: Observation,
): readonly Complaint[] {
  if (!handSwitch || !explains(handSwitch, live) || rollback?.force) return [];
  const message = `Cannot roll back "${service.id}": it was switched to ${live} by hand, without Temporal (${describeHandSwitch(handSwitch)}), and ${live} serves since; the other way is where that came from\n  if that is meant: verdigris rollback --force`;
  return [asComplaint('StateUnclear', message)];
}

/** No deployment is there to compare with: nobody can tell whose an edit is that is stored, and what it touches. */
function complaintsAboutStored(
  { service, rollback }: Run,
  { loadBalancer: { staged } }: Observation,
): readonly Complaint[] {
  if (staged.length === 0 || rollback?.force) return [];
  const message = `Cannot roll back "${service.id}": edits are stored on the load balancer and not published (${staged.join('; ')}), and going back publishes them too, whatever they touch\n  have them applied or taken back first, or go back all the same: verdigris rollback --force; not going back leaves the traffic where it is`;
  return [asComplaint('StagedEditsFound', message)];
}

/** Whoever asks twice at night wants to be where the first time led, not back again. */
async function complaintsAboutRepeating(run: Run, live: Color): Promise<readonly Complaint[]> {
  const last = await look.lastRollback.executeWithOptions({ summary: 'was it rolled back already' }, [
    { workflowId: workflowInfo().workflowId },
  ]);
  if (last?.live !== live || run.rollback?.force) return [];
  const message = `Cannot roll back "${run.service.id}" again: it was rolled back to ${live} at ${last.at}, and ${live} serves since; the other way is forward\n  if that is meant: verdigris rollback --force`;
  return [asComplaint('StateUnclear', message)];
}

/** Where nothing runs there is no way back. Where only some servers run, the comparison and a person decide. */
function complaintsAboutOld(
  { service, board, rollback }: Run,
  old: Color,
  observation: Observation,
): readonly Complaint[] {
  const out = leftOutOf(observation.loadBalancer, old);
  const stopped = service.environments[old].flatMap(({ name }) => {
    if (out.includes(name)) return [`${name} is left out by the load balancer`];
    const state = factsOf(observation, name)?.unit.state ?? 'unreachable';
    return state === 'active' || state === 'unreachable' ? [] : [`${name} does not run (${state})`];
  });
  if (stopped.length === service.environments[old].length) {
    const message = `Cannot roll back "${service.id}" to ${old}: ${stopped.join(', ')}\n  release the earlier version again: verdigris deploy`;
    return [asComplaint('StateUnclear', message)];
  }
  const unfit = unfitOn(service.environments[old], observation);
  if (unfit.length > 0 && !rollback?.force) {
    const message = `Cannot roll back "${service.id}" to ${old}: ${unfit.join(', ')}\n  if that is meant: verdigris rollback --force; else release a version that is fit: verdigris deploy`;
    return [asComplaint('ReleaseUnfit', message)];
  }
  for (const what of unfit) board.note(`Gone back all the same: ${what}`);
  if (stopped.length > 0) board.note(`The way back carries less: ${stopped.join(', ')}`);
  return [];
}

/** What is active there and must not run again. */
const unfitOn = (servers: readonly Server[], observation: Observation): readonly string[] =>
  servers.flatMap(({ name }) => {
    const { activeRelease, unfitReleases } = factsOf(observation, name) ?? {};
    const unfit = activeRelease && unfitReleases?.[activeRelease];
    return unfit ? [`${name} runs ${activeRelease}, marked unfit on ${unfit.at} (${unfit.because})`] : [];
  });

function unclear({ service }: Run, { loadBalancer: { traffic } }: Observation): Complaint {
  const found = traffic.kind === 'split' ? 'traffic is divided' : traffic.detail;
  return asComplaint(
    'StateUnclear',
    `Cannot roll back "${service.id}": ${found}, needs one live environment\n  settle it: verdigris repair`,
  );
}
