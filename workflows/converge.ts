import { CancellationScope, workflowInfo } from '@temporalio/workflow';
import { factsOf, leftOutOf, liveColor, type Observation } from '../domain/observation.js';
import { otherColor, type Color } from '../domain/color.js';
import type { Release } from '../domain/deployment.js';
import { inOneLine, type Complaint, type FailureName } from '../domain/failures.js';
import { describeLeftBehind, type LeftBehind } from '../domain/fleet.js';
import type { ReleaseId, ServerName } from '../domain/names.js';
import { releaseIdOf } from '../domain/plan.js';
import type { Server } from '../domain/service.js';
import { allTo } from '../domain/split.js';
import { asFailure, complaintOf, isTakenOver } from './complaint.js';
import { confirmNoTraffic } from './confirmation.js';
import { lingeringForward, noteStop, noteTold } from './draining.js';
import { fanOut, lanes } from './fan-out.js';
import type { ConvergenceRequest } from './messages.js';
import { routeInTurn } from './moving-traffic.js';
import { beside, look, overAll, step } from './patience.js';
import { Run } from './run.js';
import { complaintsUnsettled } from './unsettled.js';
import { takeBack } from './way-back.js';

export type Converged =
  | {
      readonly kind: 'converged';
      readonly release: ReleaseId;
      readonly live: Color;
      readonly broughtBack: readonly ServerName[];
      readonly leftBehind: readonly LeftBehind[];
      readonly notes: readonly string[];
    }
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] };

/**
 * Brings the servers of the live environment that were left behind to the release that is live: installed, started, verified, and
 * only then active in the load balancer again, in one change. Servers that get traffic are not touched.
 */
export async function converge(request: ConvergenceRequest): Promise<Converged> {
  const run = new Run({ kind: 'convergence', ...request });
  return await CancellationScope.nonCancellable(async () => {
    const result = await bringBack(run).catch((error: unknown): Converged => {
      if (isTakenOver(error)) throw error;
      return { kind: 'refused', complaints: [complaintOf(error)] };
    });
    await run.end(result.kind === 'converged' ? { live: result.live } : {});
    return result;
  });
}

async function bringBack(run: Run): Promise<Converged> {
  const { service, board } = run;
  board.enter('inspect', 'it looks at load balancer and servers; nothing is changed');
  const [unsettled] = await complaintsUnsettled(run, 'converge');
  if (unsettled) throw asFailure(unsettled);
  const observation = await look.observe.executeWithOptions(
    { summary: `${service.id}: load balancer and servers`, ...overAll(service) },
    [{ service }],
  );
  const live = liveOf(run, observation);
  const leftOut = leftOutOf(observation.loadBalancer, live);
  const servers = service.environments[live].filter(({ name }) => leftOut.includes(name));
  board.tell({ live, split: allTo(live) });
  const id = liveRelease(run, live, leftOut, observation);
  const release = await look.lastPromoted.executeWithOptions({ summary: `where ${id} came from` }, [
    { workflowId: workflowInfo().workflowId, release: id },
  ]);
  if (!release) {
    throw refusal(
      run,
      'StateUnclear',
      `no deployment that Temporal remembers has promoted ${id}, needs to know its artifact\n  deploy once more: verdigris deploy`,
    );
  }
  board.tell({ release });
  await confirmArtifact(run, release);

  const failed: LeftBehind[] = [];
  board.enter('install', `${id} is put on what was left behind, started and verified; ${live} serves`);
  await fanOut(servers, lanes, (server) =>
    bringToRelease(run, server, release).catch((error: unknown) =>
      leaveStopped(run, server, complaintOf(error), failed),
    ),
  );
  const broughtBack = servers
    .map(({ name }) => name)
    .filter((name) => !failed.some(({ server }) => server === name));
  const active =
    broughtBack.length === 0 ? [] : await giveTraffic(run, live, observation, broughtBack, failed);
  return {
    kind: 'converged',
    release: id,
    live,
    broughtBack: active,
    leftBehind: failed,
    notes: board.status.notes,
  };
}

/** Throws for a state in which nobody can say what is live, or in which a change would publish what is not ours. */
function liveOf(run: Run, { loadBalancer }: Observation): Color {
  const live = liveColor(loadBalancer);
  if (!live) {
    throw refusal(
      run,
      'StateUnclear',
      'the load balancer does not send all traffic to one environment\n  settle it: verdigris repair',
    );
  }
  if (loadBalancer.staged.length > 0) {
    throw refusal(
      run,
      'StagedEditsFound',
      `the load balancer holds edits that are not published (${loadBalancer.staged.join('; ')})\n  apply or take them back in the control panel`,
    );
  }
  return live;
}

/** The one release that all servers with traffic run. Where they do not agree, or one cannot be seen, nobody knows what is live. */
function liveRelease(
  run: Run,
  live: Color,
  leftOut: readonly ServerName[],
  observation: Observation,
): ReleaseId {
  if (leftOut.length === 0) {
    throw refusal(
      run,
      'StateUnclear',
      `the load balancer leaves out no server of ${live}, needs one that was left behind\n  nothing is to be brought back; what is there: verdigris check`,
    );
  }
  const serving = run.service.environments[live].filter(({ name }) => !leftOut.includes(name));
  const found = serving.map(({ name }) => {
    const facts = factsOf(observation, name);
    if (!facts) return `${name} is unreachable`;
    if (facts.foreign || facts.activeRelease === undefined) return `${name} runs a release that is not ours`;
    return facts.unit.state === 'active' ? facts.activeRelease : `${name} does not run (${facts.unit.state})`;
  });
  const [id, ...others] = [...new Set(found)];
  const active = serving
    .map(({ name }) => factsOf(observation, name)?.activeRelease)
    .find((one) => one === id);
  if (active === undefined || others.length > 0) {
    throw refusal(
      run,
      'StateUnclear',
      `what is live is not one release of ours (${[...new Set(found)].join('; ')})\n  make it one: verdigris deploy`,
    );
  }
  return active;
}

/** Templates, values and secrets may have changed since: then it would be another release. */
async function confirmArtifact({ service }: Run, release: Release): Promise<void> {
  const facts = await step.fetchArtifact.executeWithOptions(
    { summary: `artifact ${release.artifact.sha256.slice(0, 12)}`, ...beside(service.artifact.timeoutMs) },
    [{ service, artifact: release.artifact }],
  );
  const now = releaseIdOf(release.artifact.sha256, facts.settings);
  if (now === release.id) return;
  throw asFailure({
    failure: 'PlanDrifted',
    message: `Cannot converge "${service.id}": with today's configuration its artifact makes ${now}, and ${release.id} is live\n  deploy the change: verdigris deploy`,
  });
}

async function bringToRelease(run: Run, { name }: Server, release: Release): Promise<void> {
  const { service, board } = run;
  board.tellServer(name, 'installing', release.id);
  const told = await step.installRelease.executeWithOptions(
    { summary: `${release.id} on ${name}`, ...beside(service.artifact.timeoutMs) },
    [{ service, server: name, release, token: run.token() }],
  );
  board.tellServer(name, 'activating', release.id);
  noteTold(run, name, told);
  const report = await step.activateRelease.executeWithOptions(
    { summary: `${release.id} on ${name}`, ...beside(service.drain.atMostMs) },
    [
      {
        service,
        server: name,
        release: release.id,
        lingering: lingeringForward(run),
        token: run.token(),
        leftOut: true,
      },
    ],
  );
  noteStop(run, name, report);
  board.tellServer(name, 'verifying', release.id);
  await step.verifyServer.executeWithOptions(
    { summary: `${release.id} on ${name}`, ...beside(service.verify.deadlineMs) },
    [{ service, server: name, release, minimumMs: service.verify.minimumMs }],
  );
  board.tellServer(name, 'verified', release.id);
}

/** What did not come back is as it was: stopped, and out of the load balancer. */
async function leaveStopped(
  run: Run,
  { name }: Server,
  because: Complaint,
  failed: LeftBehind[],
): Promise<void> {
  const { service, board } = run;
  const left = { server: name, because: because.message };
  failed.push(left);
  board.tellServer(name, 'left behind', because.message);
  board.note(`Still left behind: ${describeLeftBehind(left)}`);
  await step.stopServer
    .executeWithOptions({ summary: `${name}, left behind` }, [
      { service, server: name, token: run.token(), leftOut: true },
    ])
    .catch((error: unknown) =>
      board.note(`${name} was not stopped: ${inOneLine(complaintOf(error).message)}`),
    );
}

/**
 * One change for all that came back. When the load balancer then does not find them up they are left out again, which is not given
 * up. Either change sends all traffic to what was live when it began: whoever has moved it since is not overruled.
 */
async function giveTraffic(
  run: Run,
  live: Color,
  observation: Observation,
  broughtBack: readonly ServerName[],
  failed: LeftBehind[],
): Promise<readonly ServerName[]> {
  const { service, board } = run;
  board.enter('switch', `${broughtBack.join(', ')} get their share of the traffic again`);
  const leaveOut = failed.map(({ server }) => server);
  const names = broughtBack.join(', ');
  const without = async (out: readonly ServerName[]) => {
    await confirmLive(run, live, names);
    return { to: allTo(live), expected: observation.loadBalancer.objects, leaveOut: out };
  };
  run.undo.push(`leave ${names} out of the load balancer again`, () =>
    leaveOutAgain(run, names, () => without([...leaveOut, ...broughtBack])),
  );
  try {
    await routeInTurn(run, `${names} active again`, 'forward', () => without(leaveOut));
    await look.awaitBackendsUp.executeWithOptions(
      { summary: "up in the load balancer's own eyes", ...beside(service.verify.loadBalancerDeadlineMs) },
      [{ service, servers: broughtBack, mayMiss: 0 }],
    );
  } catch (error) {
    const complaint = complaintOf(error);
    failed.push(...broughtBack.map((server) => ({ server, because: complaint.message })));
    await takeBack(run, complaint);
    return [];
  }
  for (const name of broughtBack) board.tellServer(name, 'active', 'gets its share of the traffic');
  return broughtBack;
}

/** Where the traffic was moved meanwhile, nobody needs them left out, and nothing is changed for it. */
async function leaveOutAgain(
  run: Run,
  names: string,
  change: Parameters<typeof routeInTurn>[3],
): Promise<void> {
  const { board, because } = run;
  try {
    await routeInTurn(run, `without ${names}`, 'rollback', change);
    if (because) board.note(`Left out again: ${inOneLine(because.message)}`);
  } catch (error) {
    const { failure, message } = complaintOf(error);
    if (failure !== 'TrafficMoved') throw error;
    board.note(`The load balancer was left as it is: ${inOneLine(message)}`);
  }
}

/** Bringing servers back takes minutes: what is live is looked at again just before each change. */
async function confirmLive(run: Run, live: Color, names: string): Promise<void> {
  try {
    await confirmNoTraffic(run, otherColor(live));
  } catch (error) {
    if (complaintOf(error).failure !== 'EnvironmentHasTraffic') throw error;
    const message = `Cannot give ${names} of "${run.service.id}" traffic: somebody has moved it away from ${live} meanwhile, needs all of it there\n  when it is settled: verdigris converge`;
    throw asFailure({ failure: 'TrafficMoved', message });
  }
}

const refusal = ({ service }: Run, failure: FailureName, because: string): Error =>
  asFailure({ failure, message: `Cannot converge "${service.id}": ${because}` });
