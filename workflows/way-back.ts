import { otherColor } from '../domain/color.js';
import type { Complaint } from '../domain/failures.js';
import { judgeWayBack, type Verdict } from '../domain/health.js';
import { complaintOf, isPassing } from './complaint.js';
import type { DeploymentRun } from './deployment-run.js';
import { look, undoPauseMs } from './patience.js';
import type { Undo } from './undo.js';

/** Puts everything back, traffic first. Never gives up; what cannot succeed by itself waits for a person. */
export async function takeBack(run: DeploymentRun, because: Complaint): Promise<void> {
  const { board, undo, traffic } = run;
  board.tell({ problem: because });
  board.enter('rolling back', nextOf(run));
  if (run.switched) await confirmWayBack(run);
  await undo.unwind(
    (failed, error, times) => askAbout(run, failed, error, times),
    () => board.tell({ next: nextOf(run) }),
  );
  await traffic.stop();
}

const nextOf = ({ undo }: DeploymentRun): string => undo.left.join(', then ') || 'nothing was changed';

/**
 * Just before the traffic goes back, old and new are asked in the same window. Where the old one would not be better, nothing
 * moves until a person decides.
 */
async function confirmWayBack(run: DeploymentRun): Promise<void> {
  const { plan } = run.board.status;
  if (!plan || plan.live === 'nothing') return;
  while (!run.rollback?.force) {
    const verdict = await compare(run, plan.idle);
    if (verdict.kind === 'pass') return;
    const because = verdict.kind === 'undecided' ? 'nothing is proved' : verdict.because;
    await run.askPerson({
      failure: 'RollbackBlind',
      message: `Cannot roll back "${run.service.id}" by itself: ${because}; nothing was moved\n  go back all the same: verdigris rollback --force; compare again: verdigris retry`,
    });
  }
}

async function compare(run: DeploymentRun, current: 'blue' | 'green'): Promise<Verdict> {
  const { service, newIsIll, rollback } = run;
  const machineFoundIllness = run.board.status.phase === 'bake' && !rollback;
  try {
    const samples = await look.compareEnvironments.executeWithOptions({ summary: 'is the old one better' }, [
      { service },
    ]);
    return judgeWayBack(samples[otherColor(current)], samples[current], {
      needs: machineFoundIllness ? 'better' : 'able',
      currentIsIll: newIsIll,
      latencyFloorMs: service.bake.latencyFloorMs,
    });
  } catch (error) {
    return { kind: 'inconclusive', because: complaintOf(error).message };
  }
}

/** A step of the way back failed: it is told, and tried again by itself where that may help. */
async function askAbout(
  run: DeploymentRun,
  failed: Undo,
  error: unknown,
  timesFailed: number,
): Promise<void> {
  const complaint = complaintOf(error);
  if (complaint.failure === 'TakenOver') throw error;
  const problem = { ...complaint, message: `Cannot ${failed.name}: ${complaint.message}` };
  await run.askPerson(problem, isPassing(complaint) ? undoPauseMs(timesFailed) : undefined);
}
