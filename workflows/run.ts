import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  allHandlersFinished,
  condition,
  workflowInfo,
} from '@temporalio/workflow';
import type { FencingToken, Status, TakenOver } from '../domain/deployment.js';
import { asComplaint, type Complaint } from '../domain/failures.js';
import type { ServerName } from '../domain/names.js';
import { refusalOf, type RunKind, type Stage } from '../domain/phase.js';
import type { Service } from '../domain/service.js';
import { complaintOf } from './complaint.js';
import { Inbox, type Said } from './inbox.js';
import { StatusBoard } from './status-board.js';
import { TrafficWatch } from './traffic-watch.js';
import { OwnTurns } from './turns.js';
import { UndoStack } from './undo.js';

export interface RunSettings {
  readonly kind: RunKind;
  readonly service: Service;
  readonly requestedBy: string;
  readonly searchAttributes: boolean;
}

/** One run of a workflow for one service: what its phases share, and where people are heard. Made before the first `await`. */
export class Run {
  readonly service: Service;
  readonly board: StatusBoard;
  readonly inbox: Inbox;
  readonly undo = new UndoStack();
  readonly traffic: TrafficWatch;
  readonly turns: OwnTurns;
  /** Why everything is put back, once that is decided. */
  because: Complaint | undefined;
  /** Servers that get no traffic although their environment does: nothing is asked of them. */
  get leftOut(): readonly ServerName[] {
    return [];
  }

  /** Who asked for a rollback, last. */
  rollback: Said | undefined;
  /** A person has said that lingering connections are to be cut, in this run. */
  cutsLingering = false;
  #retry: Said | undefined;
  #takeOver: Said | undefined;
  #forward: CancellationScope | undefined;
  #step = 0;

  constructor({ kind, service, requestedBy, searchAttributes }: RunSettings) {
    this.service = service;
    this.traffic = new TrafficWatch(service);
    this.board = new StatusBoard(kind, service, requestedBy, searchAttributes);
    this.turns = new OwnTurns(service, this.board);
    this.inbox = new Inbox(this.board);
    this.inbox.on('retry', (said) => {
      this.#retry = said;
      this.cutsLingering ||= said.force;
    });
    this.inbox.on('take-over', (said) => (this.#takeOver = said));
    this.inbox.on('rollback', (said) => this.#turnBack(said));
    this.inbox.open();
    this.board.publish();
  }

  /** The token of the next change on a server: grows with every step, undo included. */
  token(): FencingToken {
    return { startedAtMs: workflowInfo().startTime.getTime(), step: ++this.#step };
  }

  /** Takes steps that a rollback ends at once: no new one begins, the one in flight is waited for. */
  async forward<T>(steps: () => Promise<T>): Promise<T> {
    const scope = new CancellationScope();
    this.#forward = scope;
    scope.cancelRequested.catch((error: unknown) => {
      if (this.#forward && !this.rollback) this.#tellTurningBack(complaintOf(error));
    });
    if (this.rollback) scope.cancel();
    try {
      const result = await scope.run(steps);
      // What was asked for while the last step ended counts, too.
      if (scope.consideredCancelled) throw new CancelledFailure('Asked for during the last step');
      return result;
    } finally {
      this.#forward = undefined;
    }
  }

  /**
   * Tells a person what is wrong and waits until it shall be tried again: on `retry`, on another `rollback`, or by itself after
   * `againAfterMs`. A take-over ends the run.
   */
  async askPerson(problem: Complaint, againAfterMs?: number): Promise<void> {
    const before = this.board.status;
    const rollback = this.rollback;
    this.#retry = undefined;
    this.board.tell({ problem: asComplaint(problem.failure, problem.message) });
    const trustTraffic = isMoved(problem) ? this.board.doubtTraffic() : undefined;
    this.board.enter('needs a person', nextOf(againAfterMs), {
      what: `a person: ${answersOf(this.board.status.kind)}`,
    });
    const answered = () =>
      this.#retry !== undefined || this.#takeOver !== undefined || this.rollback !== rollback;
    try {
      await (againAfterMs === undefined
        ? condition(answered)
        : condition(answered, againAfterMs, { summary: 'tries again by itself' }));
    } finally {
      if (!this.#takeOver) trustTraffic?.();
    }
    this.endIfTakenOver();
    if (before.problem) this.board.tell({ problem: before.problem });
    this.board.enter(before.stage, before.next, before.awaits ? { what: before.awaits } : undefined);
  }

  /** Ends the forward steps. */
  #turnBack(said: Said): void {
    this.rollback = said;
    this.cutsLingering ||= said.force;
    if (!this.#forward) return;
    this.#tellTurningBack(asComplaint('RollbackAsked', askedFor(said)));
    this.#forward.cancel();
  }

  /** Shown at once: the step in flight may take minutes to end. */
  #tellTurningBack(problem: Complaint): void {
    this.board.awaitNothing('the step in flight ends, then everything is put back, traffic first');
    this.board.tell({ problem });
  }

  /** Between steps: a person who took over is not kept waiting for the rest. */
  endIfTakenOver(): void {
    if (!this.#takeOver) return;
    this.board.enter('ended', 'a person took it over; when it is settled: verdigris repair');
    throw this.#takenOver(this.#takeOver);
  }

  /** Ends the run for people: nothing is awaited any more. */
  async end(facts: Partial<Pick<Status, 'outcome' | 'live' | 'tally'>>): Promise<void> {
    await CancellationScope.nonCancellable(async () => {
      this.board.tell(facts);
      this.board.enter('ended' satisfies Stage, 'it has ended');
      await condition(allHandlersFinished);
    });
  }

  #takenOver({ by, reason }: Said): ApplicationFailure {
    const undone = this.undo.left;
    const list = undone.map((name) => `\n  left undone: ${name}`).join('');
    return ApplicationFailure.nonRetryable(
      `Taken over by ${by}${reason ? `: ${reason}` : ''}${list}\n  when it is settled: verdigris repair`,
      'TakenOver',
      { by, reason, undone } satisfies TakenOver,
    );
  }
}

const isMoved = ({ failure }: Complaint): boolean =>
  failure === 'TrafficMoved' || failure === 'EnvironmentHasTraffic';

/** Who asked for a rollback, and why. */
export const askedFor = ({ by, reason }: Pick<Said, 'by' | 'reason'>): string =>
  `Rollback asked for by ${by}${reason ? `: ${reason}` : ''}`;

const answersOf = (kind: RunKind): string =>
  refusalOf('rollback', 'needs a person', kind) === undefined
    ? 'retry, rollback or take-over'
    : 'retry or take-over';

const nextOf = (againAfterMs: number | undefined): string =>
  againAfterMs === undefined
    ? 'nothing moves until a person answers'
    : `it is tried again by itself in ${againAfterMs / 1000} s, or at once on retry`;
