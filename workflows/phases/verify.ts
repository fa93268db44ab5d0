import { CancellationScope } from '@temporalio/workflow';
import { hashOf } from '../../domain/hash.js';
import type { Plan } from '../../domain/plan.js';
import type { Evidence } from '../../domain/deployment.js';
import { otherColor } from '../../domain/color.js';
import type { ServerEvidence } from '../../activities/health.js';
import type { DeploymentRun } from '../deployment-run.js';
import { fanOut, lanes } from '../fan-out.js';
import { beside, look, step } from '../patience.js';

/** Every idle server proves itself, to us and to the load balancer. */
export async function verify(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, board } = run;
  board.enter('verify', `every server of ${plan.idle} has to prove itself; ${plan.live} serves`);
  board.tell({ evidence: await prove(run, plan, service.verify.minimumMs) });
}

/** The same again after the approval, shorter: an approval may take a weekend. */
export function verifyAgain(run: DeploymentRun, plan: Plan): Promise<Evidence> {
  return prove(run, plan, Math.min(run.service.verify.minimumMs, 2 * run.service.verify.everyMs));
}

async function prove(run: DeploymentRun, plan: Plan, minimumMs: number): Promise<Evidence> {
  const { service, board } = run;
  const { idle, release } = plan;
  const servers = () =>
    fanOut(service.environments[idle], lanes, async ({ name }) => {
      board.tellServer(name, 'verifying', release.id);
      const evidence = await step.verifyServer.executeWithOptions(
        { summary: `${release.id} on ${name}`, ...beside(service.verify.deadlineMs) },
        [{ service, server: name, release, minimumMs }],
      );
      board.tellServer(name, 'verified', release.id);
      return evidence;
    });
  const backends = () =>
    look.awaitBackendsUp.executeWithOptions(
      {
        summary: `${idle} up in the load balancer's own eyes`,
        ...beside(service.verify.loadBalancerDeadlineMs),
      },
      [{ service, color: idle }],
    );
  const proved = await bothOrNeither(servers, backends);
  const live = await look.identities.executeWithOptions({ summary: `how ${plan.live} names itself` }, [
    { service, color: otherColor(idle) },
  ]);
  run.identities = {
    idle: [...new Set(proved.map(({ identity }) => identity).filter(Boolean))].sort(),
    live,
  };
  run.verified = Object.fromEntries(proved.map(({ server, process }) => [server, process]));
  return evidenceOf(run, plan, proved);
}

/** The first that fails ends the other, whose end is waited for: nothing goes on behind the undo. */
async function bothOrNeither<T>(first: () => Promise<T>, second: () => Promise<unknown>): Promise<T> {
  const scope = new CancellationScope();
  const failures: unknown[] = [];
  const note = (error: unknown): never => {
    failures.push(error);
    scope.cancel();
    throw error;
  };
  const [one] = await scope.run(() => Promise.allSettled([first().catch(note), second().catch(note)]));
  if (one.status === 'rejected' || failures.length > 0) throw failures[0];
  return one.value;
}

function evidenceOf(
  { service, identities }: DeploymentRun,
  plan: Plan,
  proved: readonly ServerEvidence[],
): Evidence {
  const seconds = service.verify.minimumMs / 1000;
  const lines = [
    ...proved.map(
      ({ server, program, identity }) =>
        `${server} runs ${program.slice(0, 12)}${identity ? ` as "${identity}"` : ''}: ${service.health.path} answered ${service.health.status} ${service.verify.passes} times in a row, same process for ${seconds} s`,
    ),
    `the load balancer finds all ${proved.length} servers of ${plan.idle} up`,
    identities.idle.some((name) => identities.live.includes(name))
      ? `blue and green cannot be told apart from outside: both name themselves "${identities.idle.join(', ')}"`
      : `from outside, ${plan.idle} is told by "${identities.idle.join(', ')}"`,
  ];
  // What was started again since is not what was approved, though it may read the same.
  return {
    lines,
    hash: hashOf({ lines, processes: proved.map(({ process }) => [process.pid, process.startedAtUs]) }),
  };
}
