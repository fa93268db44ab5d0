import { otherColor, type Color } from '../../domain/color.js';
import type { Status } from '../../domain/deployment.js';
import type { Plan } from '../../domain/plan.js';
import { allTo } from '../../domain/split.js';
import type { TrafficProved } from '../../activities/public-proof.js';
import { confirmForSwitchOnce } from '../confirmation.js';
import type { DeploymentRun } from '../deployment-run.js';
import { hasFallback } from '../fallback.js';
import { moveTraffic, proveNew, routeInTurn } from '../moving-traffic.js';
import { confirmStillProved } from './verify.js';
import { stopLeftBehind } from '../leaving-behind.js';
import { baselineFrom } from '../traffic-watch.js';
import { confirmWayBack } from '../way-back.js';

/** Gives all new traffic to the new environment, and proves it from outside. */
export async function switchTraffic(run: DeploymentRun, plan: Plan, objects: Plan['objects']): Promise<void> {
  const { board, fleet } = run;
  const { idle } = plan;
  board.enter('switch', `all new traffic goes to ${idle}, and that is proved from outside`);
  run.objects = objects;
  run.baseline = baselineFrom(await run.traffic.next('during the switch'));
  const old = otherColor(idle);
  const hasStopped = await stopLeftBehind(run, plan);
  const stands = hasFallback(run, plan);
  const { tookMs } = await routeInTurn(run, `all to ${idle}`, 'forward', async (hasWaited) => {
    if (hasWaited) {
      run.objects = await lookOnceMore(run, plan);
      run.baseline = baselineFrom(await run.traffic.next('during the switch'));
    } else if (hasStopped) run.objects = await confirmForSwitchOnce(run, plan);
    run.undo.push(`send the traffic back to ${old}`, () => sendBack(run, plan));
    if (plan.live !== 'nothing')
      run.undo.push(`see that ${old} can serve`, () => seeThatItCanServe(run, old));
    return {
      to: allTo(idle),
      expected: run.objects,
      leaveOut: [...fleet.leftBehind.map(({ server }) => server), ...(stands ? run.leftOutOfLive : [])],
      ...(stands ? { fallback: true } : {}),
    };
  });
  run.lostTrafficAt[old] = Date.now();
  board.tell({ live: idle, idle: otherColor(idle), split: allTo(idle) });
  board.note(`The switch to ${idle} took ${(tookMs / 1000).toFixed(1)} s`);
  if (stands) board.note(`${old} stands by: it gets all traffic when every server of ${idle} is down`);
  const { toldApart, instances = [] } = await proveNew(run, plan, `${idle} answers`);
  if (instances.length > 0) board.note(instanceWords(idle, instances));
  if (!toldApart)
    board.note(
      `Blue and green name themselves alike: that ${idle} serves is known from the load balancer only`,
    );
}

/**
 * Another service has published while this one waited for its turn: everything that the approval rests on is looked at again. Whoever
 * moved the traffic meanwhile is not waited for here, where others wait for us: what was done is undone.
 */
async function lookOnceMore(run: DeploymentRun, plan: Plan): Promise<Plan['objects']> {
  await confirmStillProved(run, plan);
  return confirmForSwitchOnce(run, plan);
}

/** Instances and zones of a load balancer change at different moments. */
const instanceWords = (color: Color, instances: NonNullable<TrafficProved['instances']>): string =>
  `${color} answers through ${instances.map(({ name, afterMs }) => `instance ${name} (${(afterMs / 1000).toFixed(1)} s after the switch)`).join(', ')}`;

/** Where a machine found the new environment ill, the old one has to be better; where a person asked, or the switch failed, able. */
const seeThatItCanServe = (run: DeploymentRun, old: Color): Promise<void> =>
  confirmWayBack(run, old, () => ({
    needs: isFoundIll(run.board.status) && !run.rollback ? 'better' : 'able',
    currentIsIll: run.newIsIll,
  }));

/**
 * What was lost while the traffic moved is found ill before the bake has begun. A load balancer that has left the new environment in
 * part says nothing against it.
 */
const isFoundIll = ({ phase, problem }: Status): boolean =>
  (phase === 'bake' && problem?.failure !== 'TrafficNotMoved') || problem?.failure === 'IllUnderTraffic';

async function sendBack(run: DeploymentRun, plan: Plan): Promise<void> {
  const { board, identities } = run;
  const nobody = plan.live === 'nothing';
  const names = { own: identities.live, others: identities.idle };
  const expected = run.rollback?.force ? undefined : run.objects;
  const old = otherColor(plan.idle);
  await moveTraffic(run, old, nobody ? 'nobody answers there' : names, run.leftOutOfLive, expected);
  run.lostTrafficAt[plan.idle] = Date.now();
  if (nobody) board.tell({ live: 'nothing' });
}
