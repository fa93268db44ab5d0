import { CancellationScope, condition } from '@temporalio/workflow';
import { asFailure } from './complaint.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import type { ServerName } from '../domain/names.js';

export interface Limits {
  /** What one server may take. */
  readonly serverMs: number;
  /** How long none may get anywhere. */
  readonly progressMs: number;
}

interface Work {
  readonly scope: CancellationScope;
  readonly endsAt: number;
  /** Why it has not got anywhere so far. */
  away?: Complaint;
  late?: string;
}

/**
 * Ends work on servers that takes too long: each has its own deadline, and all together one that begins anew with every server
 * that got somewhere. One timer for all of them: it looks again when the earliest deadline known to it has come.
 */
export class Deadlines {
  readonly #limits: Limits;
  readonly #working = new Set<Work>();
  #progressAt = Date.now();
  #isOver = false;

  private constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Does `work` with deadlines over it. A rollback ends what is worked on, never the watch over it. */
  static async over<Result>(
    limits: Limits,
    work: (deadlines: Deadlines) => Promise<Result>,
  ): Promise<Result> {
    const deadlines = new Deadlines(limits);
    const watching = CancellationScope.nonCancellable(() => deadlines.#watch());
    try {
      return await work(deadlines);
    } finally {
      deadlines.#isOver = true;
      await watching;
    }
  }

  /**
   * Works on one server. What is ended for being late is waited for, and fails as `ServerTooSlow`, or as what kept it away if `work`
   * has said so.
   */
  async hold<Result>(
    server: ServerName,
    work: (isAway: (because: Complaint) => void) => Promise<Result>,
  ): Promise<Result> {
    const scope = new CancellationScope();
    const held: Work = { scope, endsAt: Date.now() + this.#limits.serverMs };
    this.#working.add(held);
    try {
      const result = await scope.run(() => work((because) => (held.away = because)));
      this.#progressAt = Date.now();
      return result;
    } catch (error) {
      if (held.late === undefined) throw error;
      throw asFailure(tooLate(server, held.late, held.away));
    } finally {
      this.#working.delete(held);
    }
  }

  async #watch(): Promise<void> {
    const { serverMs, progressMs } = this.#limits;
    // Only a timer that has fired tells that a deadline has come: the clock may show another time when this is replayed after a
    // lost task.
    let reached = 0;
    while (!this.#isOver) {
      const onTime = [...this.#working].filter(({ late }) => late === undefined);
      const progressBy = this.#progressAt + progressMs;
      const next = Math.min(progressBy, ...onTime.map(({ endsAt }) => endsAt));
      if (next > reached) {
        const leftMs = next - Date.now();
        // Whatever is begun meanwhile ends no sooner than after `serverMs`.
        const pauseMs = Math.max(1, Math.min(leftMs, serverMs));
        const hasCome = !(await condition(() => this.#isOver, pauseMs, { summary: 'deadline of servers' }));
        if (hasCome && leftMs <= serverMs) reached = next;
      } else if (progressBy <= reached) {
        this.#progressAt = reached;
        const late = `no server has got anywhere for ${progressMs / 1000} s, needs progress`;
        for (const work of onTime) end(work, late);
      } else {
        const late = `it has taken ${serverMs / 1000} s, needs to be done by then`;
        for (const work of onTime.filter(({ endsAt }) => endsAt <= reached)) end(work, late);
      }
    }
  }
}

/** What kept it away, where that is known: it is the better reason. */
function tooLate(server: ServerName, late: string, away: Complaint | undefined): Complaint {
  if (!away) {
    const advice = 'see how it is: verdigris server doctor; where it only is slow: fleet.serverDeadline';
    return asComplaint('ServerTooSlow', `Cannot go on with "${server}": ${late}\n  ${advice}`);
  }
  const [because = '', ...more] = away.message.split('\n');
  const lines = [
    `${because}; ${late}`,
    ...more,
    '  where it only takes longer to boot: fleet.serverDeadline',
  ];
  return { failure: away.failure, message: lines.join('\n') };
}

function end(work: Work, late: string): void {
  work.late = late;
  work.scope.cancel();
}
