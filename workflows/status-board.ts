import { setCurrentDetails, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { SearchAttributeType, defineSearchAttributeKey } from '@temporalio/common';
import type { Status } from '../domain/deployment.js';
import { DeploymentId, type ServerName } from '../domain/names.js';
import { acceptedIn, type Stage } from '../domain/phase.js';
import { serversOf, type Service } from '../domain/service.js';
import { memoOf } from '../domain/status-memo.js';
import { emptyTally } from '../domain/traffic.js';
import { describe } from './details.js';
import { searchAttributeNames } from './messages.js';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const keys = {
  service: keyword(searchAttributeNames.service),
  phase: keyword(searchAttributeNames.phase),
  live: keyword(searchAttributeNames.live),
  release: keyword(searchAttributeNames.release),
};

/** The memo has a limit, and anybody may send signals. */
const keptNotes = 100;

/** Times that something in passing is written whatever has been before. */
const alwaysInPassing = 20;

/**
 * What people see of a run: the answer to the status query, the memo (readable while no worker is alive), the current details
 * of the Temporal UI and the search attributes.
 */
export class StatusBoard {
  #status: Status;
  #written: Status | undefined;
  #timesInPassing = 0;
  readonly #searchable: boolean;

  constructor(kind: Status['kind'], service: Service, requestedBy: string, searchable: boolean) {
    this.#searchable = searchable;
    this.#status = {
      service: service.id,
      deployment: DeploymentId(workflowInfo().runId),
      kind,
      requestedBy,
      stage: 'inspect',
      phase: 'inspect',
      since: Date.now(),
      live: 'unknown',
      idle: 'unknown',
      servers: serversOf(service).map(({ name, color }) => ({ server: name, color, state: 'not looked at' })),
      accepts: acceptedIn('inspect', kind),
      next: 'it looks at load balancer and servers; nothing is changed',
      notes: [],
      tally: emptyTally,
    };
  }

  get status(): Status {
    return this.#status;
  }

  /** The run moves on. `next` says what happens there, in a sentence. */
  enter(stage: Stage, next: string, awaits?: { readonly what: string; readonly deadline?: number }): void {
    const { awaits: _awaits, deadline: _deadline, problem: _problem, ...kept } = this.#status;
    const phase =
      stage === 'rolling back' || stage === 'needs a person' || stage === 'ended' ? kept.phase : stage;
    this.#status = {
      ...kept,
      ...(stage === 'needs a person' || stage === 'rolling back'
        ? ({ problem: this.#status.problem } as Pick<Status, 'problem'>)
        : {}),
      stage,
      phase,
      since: Date.now(),
      next,
      accepts: acceptedIn(stage, kept.kind, awaits !== undefined),
      ...(awaits ? { awaits: awaits.what, ...(awaits.deadline ? { deadline: awaits.deadline } : {}) } : {}),
    };
    this.publish();
  }

  /** More facts about where the run is. Shown at once; kept in the memo from the next `publish` on. */
  tell(facts: Partial<Omit<Status, 'stage' | 'phase' | 'since' | 'accepts'>>): void {
    this.#status = { ...this.#status, ...facts };
    setCurrentDetails(describe(this.#status));
  }

  /** What was awaited has come, and `next` says what it leads to. Shown at once, like what is told. */
  awaitNothing(next: string): void {
    const { awaits: _awaits, deadline: _deadline, ...kept } = this.#status;
    this.#status = { ...kept, accepts: acceptedIn(kept.stage, kept.kind, false) };
    this.tell({ next });
  }

  /**
   * Somebody else has moved the traffic: where it goes is not what was known any more.
   * @returns what makes it known again, once a person has said that it is as it was, or what to do about it.
   */
  doubtTraffic(): () => void {
    const { live, split, ...others } = this.#status;
    this.#status = { ...others, live: 'unknown' };
    return () => this.tell({ live, ...(split ? { split } : {}) });
  }

  tellServer(server: ServerName, state: string, detail?: string): void {
    this.tell({
      servers: this.#status.servers.map((known) =>
        known.server === server
          ? { server, color: known.color, state, ...(detail ? { detail } : {}) }
          : known,
      ),
    });
  }

  /** Something that people should find in the report. */
  note(text: string): void {
    const { notes } = this.#status;
    if (!notes.includes(text)) this.tell({ notes: [...notes, text].slice(-keptNotes) });
  }

  /**
   * The same for what happens on one server after the other, which may be hundreds: more and more seldom, so that what is written does
   * not grow with servers times servers. It is all there with the next move.
   */
  publishInPassing(): void {
    const times = ++this.#timesInPassing;
    if (times <= alwaysInPassing || Number.isInteger(Math.log2(times))) this.publish();
  }

  /** Writes the status to where it can be read without a worker. Costs history events: on moves, not on progress. */
  publish(): void {
    setCurrentDetails(describe(this.#status));
    upsertMemo(memoOf(this.#status, this.#written));
    this.#written = this.#status;
    if (!this.#searchable) return;
    const { service, stage, live, release, outcome } = this.#status;
    upsertSearchAttributes([
      { key: keys.service, value: service },
      { key: keys.phase, value: outcome?.kind ?? stage }, // a list of ended runs tells how each ended
      { key: keys.live, value: live },
      ...(release
        ? [{ key: keys.release, value: release.version ?? release.artifact.sha256.slice(0, 12) }]
        : []),
    ]);
  }
}
