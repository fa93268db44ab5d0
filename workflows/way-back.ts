import { otherColor, type Color } from '../domain/color.js';
import { inOneLine, type Complaint } from '../domain/failures.js';
import { judgeWayBack, type Verdict } from '../domain/health.js';
import { complaintOf, isMendable, isTakenOver } from './complaint.js';
import { look, restMs } from './patience.js';
import type { Run } from './run.js';
import type { Undo } from './undo.js';

/** Puts everything back, traffic first. Never gives up; what cannot succeed by itself waits for a person. */
export async function takeBack(run: Run, because: Complaint): Promise<void> {
  run.because = because;
  run.board.tell({ problem: because });
  run.board.enter('rolling back', nextOf(run));
  await seeThrough(run);
  await run.traffic.stop();
}

/** Takes every step that is left on the stack, each as often as it needs. A take-over ends it between two steps. */
export const seeThrough = (run: Run): Promise<void> =>
  run.undo.unwind(
    (failed, error, timesFailed) => askAbout(run, failed, error, timesFailed),
    () => {
      run.board.tell({ next: nextOf(run) });
      run.endIfTakenOver();
    },
  );

const nextOf = ({ undo }: Run): string => undo.left.join(', then ') || 'nothing is left to put back';

/** What has to be shown of the old environment before traffic goes back to it. */
export type Proof = Pick<Parameters<typeof judgeWayBack>[2], 'needs' | 'currentIsIll'>;

/**
 * Just before the traffic goes back, old and new are asked in the same window. Where the old one does not prove itself, nothing
 * moves until a person decides.
 */
export async function confirmWayBack(run: Run, old: Color, proof: () => Proof): Promise<void> {
  while (!run.rollback?.force) {
    const verdict = await compare(run, old, proof());
    if (verdict.kind === 'pass') return;
    const because = verdict.kind === 'undecided' ? 'nothing is proved' : verdict.because;
    await run.askPerson({
      failure: 'RollbackBlind',
      message: `Cannot roll back "${run.service.id}" by itself: ${because}; nothing was moved\n  go back all the same: verdigris rollback --force; compare again: verdigris retry`,
    });
  }
}

async function compare({ service, leftOut }: Run, old: Color, proof: Proof): Promise<Verdict> {
  try {
    const samples = await look.compareEnvironments.executeWithOptions(
      { summary: `is ${old} ${proof.needs}` },
      [{ service, except: leftOut }],
    );
    return judgeWayBack(samples[old], samples[otherColor(old)], {
      ...proof,
      latencyFloorMs: service.bake.latencyFloorMs,
    });
  } catch (error) {
    return { kind: 'inconclusive', because: inOneLine(complaintOf(error).message) };
  }
}

/** A step of the way back failed: it is told, and tried again by itself where that may help. */
async function askAbout(run: Run, failed: Undo, error: unknown, timesFailed: number): Promise<void> {
  if (isTakenOver(error)) throw error;
  const complaint = complaintOf(error);
  const problem = { ...complaint, message: `Cannot ${failed.name}: ${complaint.message}` };
  await run.askPerson(problem, isMendable(complaint) ? restMs(timesFailed) : undefined);
}
