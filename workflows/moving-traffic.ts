import { otherColor, type Color } from '../domain/color.js';
import type { ServerName } from '../domain/names.js';
import type { LoadBalancerObservation } from '../domain/observation.js';
import type { Plan } from '../domain/plan.js';
import { allTo } from '../domain/split.js';
import type { Activities } from '../activities/index.js';
import type { DeploymentRun } from './deployment-run.js';
import { route } from './patience.js';
import type { Run } from './run.js';

/** How long the public address may take to be served by an environment once the load balancer says so. */
export const proofDeadlineMs = 60_000;

/** How servers name themselves to visitors: those that shall answer, and those that shall not. */
export interface Names {
  readonly own: readonly string[];
  readonly others: readonly string[];
}

/** Proves from outside that everybody is answered by the new environment, whichever process of the load balancer they meet. */
export const proveNew = (
  { service, identities }: DeploymentRun,
  { idle }: Plan,
  summary: string,
): ReturnType<Activities['proveTraffic']> =>
  route.proveTraffic.executeWithOptions({ summary: `${summary} at ${service.publicAddress.url}` }, [
    {
      service,
      color: idle,
      identities: identities.idle,
      others: identities.live,
      deadlineMs: proofDeadlineMs,
    },
  ]);

/** A change of the load balancer, as its driver is asked for it, and what it tells of it. */
type Change = Omit<Parameters<Activities['routeTraffic']>[0], 'service'>;
type RouteReport = Awaited<ReturnType<Activities['routeTraffic']>>;

/**
 * Changes the load balancer, in a turn of this service. Every change goes through here. `change` is asked for once it is our
 * turn, and told whether it was waited for.
 */
export function routeInTurn(
  run: Run,
  summary: string,
  purpose: Change['purpose'],
  change: (hasWaited: boolean) => Promise<Omit<Change, 'purpose'>>,
): Promise<RouteReport> {
  const { service, board, turns } = run;
  return turns.hold(purpose, async (hasWaited) => {
    const asked = { service, purpose, ...(await change(hasWaited)) };
    const report = await route.routeTraffic.executeWithOptions({ summary }, [asked]);
    if (report.skewMs !== undefined) board.note(describeSkew(report.skewMs, report.order ?? []));
    if (report.published.length > 0)
      board.note(`Somebody else's edits were published with it: ${report.published.join('; ')}`);
    return report;
  });
}

/** Several load balancers cannot be moved at the same moment. */
const describeSkew = (skewMs: number, order: NonNullable<RouteReport['order']>): string =>
  `Its load balancers were moved one after the other (${order.map(({ name, tookMs }) => `${name} in ${(tookMs / 1000).toFixed(1)} s`).join(', ')}): visitors met both environments for ${(skewMs / 1000).toFixed(1)} s`;

/**
 * Sends all traffic to an environment whatever the load balancer did before, and proves it from outside. May be repeated. With
 * `expected`, somebody else's stored edits of our objects are not published by it: it fails, and a person decides.
 */
export async function moveTraffic(
  run: Run,
  to: Color,
  names: Names | 'nobody answers there',
  leaveOut: readonly ServerName[],
  expected?: LoadBalancerObservation['objects'],
): Promise<void> {
  const { service, board } = run;
  const { changed, tookMs } = await routeInTurn(run, `all to ${to}`, 'rollback', async () => ({
    to: allTo(to),
    leaveOut,
    ...(expected ? { expected } : {}),
  }));
  board.tell({ live: to, idle: otherColor(to), split: allTo(to) });
  if (changed) board.note(`Sending all traffic to ${to} took ${(tookMs / 1000).toFixed(1)} s`);
  if (names === 'nobody answers there') return;
  await route.proveTraffic.executeWithOptions({ summary: `${to} answers at ${service.publicAddress.url}` }, [
    { service, color: to, identities: names.own, others: names.others, deadlineMs: proofDeadlineMs },
  ]);
}
