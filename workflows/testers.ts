import { otherColor } from '../domain/color.js';
import type { Plan } from '../domain/plan.js';
import type { TestersMark } from '../domain/service.js';
import { allTo } from '../domain/split.js';
import { confirmNoTraffic, confirmOnce, confirmPlan } from './confirmation.js';
import type { DeploymentRun } from './deployment-run.js';
import { proofDeadlineMs, routeInTurn } from './moving-traffic.js';
import { route } from './patience.js';

/**
 * Lets testers reach the new environment while everybody else stays where they are, and proves both from outside. The switch closes
 * it with the same change, and so does the way back.
 */
export async function letTestersIn(run: DeploymentRun, plan: Plan): Promise<void> {
  const { service, board } = run;
  const testers = 'testers' in service.loadBalancer ? service.loadBalancer.testers : undefined;
  if (!testers || plan.live === 'nothing') return;
  const { idle } = plan;
  const live = otherColor(idle);
  const change = { to: allTo(live), leaveOut: run.leftOutOfLive };
  await confirmPlan(run, plan, 'live');
  run.undo.push(`close ${idle} to testers`, async () => {
    const expected = run.rollback?.force ? {} : { expected: run.objects };
    await routeInTurn(run, `${idle} is closed to testers`, 'rollback', async () => {
      await confirmNoTraffic(run, idle, 'testers');
      return { ...change, ...expected };
    });
  });
  await routeInTurn(run, `${idle} is open to testers`, 'forward', async (hasWaited) => {
    if (hasWaited) await confirmOnce(run, plan, 'live');
    return { ...change, expected: run.objects, testers: true };
  });
  const who = markWords(testers.by);
  const headers = headersOf(testers.by);
  if (headers) await prove(run, plan, headers);
  board.note(
    headers
      ? `Testers, told by ${who}, reach ${idle}; everybody else reaches ${live}`
      : `Testers, told by ${who}, reach ${idle} as the load balancer says: from here it cannot be asked as one of them`,
  );
}

async function prove(
  { service, identities }: DeploymentRun,
  { idle }: Plan,
  headers: Headers,
): Promise<void> {
  const live = otherColor(idle);
  const { url } = service.publicAddress;
  await route.proveTraffic.executeWithOptions({ summary: `${idle} answers testers at ${url}` }, [
    {
      service,
      color: idle,
      identities: identities.idle,
      others: identities.live,
      deadlineMs: proofDeadlineMs,
      headers,
    },
  ]);
  await route.proveTraffic.executeWithOptions({ summary: `${live} answers everybody else at ${url}` }, [
    {
      service,
      color: live,
      identities: identities.live,
      others: identities.idle,
      deadlineMs: proofDeadlineMs,
    },
  ]);
}

type Headers = Readonly<Record<string, string>>;

/** What a tester's request says; `undefined` where it is not the request that tells. */
function headersOf(mark: TestersMark): Headers | undefined {
  if (mark.kind === 'source') return undefined;
  return mark.kind === 'header' ? { [mark.name]: mark.value } : { cookie: `${mark.name}=${mark.value}` };
}

const markWords = (mark: TestersMark): string =>
  mark.kind === 'source' ? mark.address : `${mark.kind} ${mark.name}`;
