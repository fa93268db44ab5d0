import {
  CancellationScope,
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { inOneLine } from '../domain/failures.js';
import type { Service } from '../domain/service.js';
import { turnsOf, queue, type TurnNotice, type TurnRequest } from '../domain/turns.js';
import { complaintOf } from './complaint.js';
import type { StatusBoard } from './status-board.js';
import { waited } from './patience.js';

/** How long an answer is waited for until it is asked once more: a queue that was ended knows of nobody. */
const askAgainAfterMs = (timesAsked: number): number => Math.min(10_000 * timesAsked, 600_000);

/** How often a way back asks before it goes without its turn: a queue that is silent when asked has no worker. */
const rollbackAsks = { silent: 1, answering: 4 } as const;

const { askForTurn } = proxyActivities<Activities>({
  ...waited,
  startToCloseTimeout: '10 seconds',
  retry: { initialInterval: '500 ms', backoffCoefficient: 2, maximumAttempts: 3 },
});

const notice = defineSignal<[TurnNotice]>(queue.notice);
const giveBack = defineSignal<[string]>(queue.giveBack);

type Purpose = TurnRequest['purpose'];

/** One request, and what its queue has told of it. */
interface Place {
  readonly id: string;
  readonly loadBalancer: string;
  isGranted: boolean;
  /** Why it was not granted at once. */
  waitsBecause?: string;
  /** Nothing was heard of its queue so far. */
  isSilent?: boolean;
}

/**
 * The turns of a run at its load balancers, each of which has a queue. While it has them no other service that shares one
 * of them publishes.
 */
export class OwnTurns {
  readonly #service: Service;
  readonly #board: StatusBoard;
  #asked = 0;
  #places: readonly Place[] = [];

  constructor(service: Service, board: StatusBoard) {
    this.#service = service;
    this.#board = board;
    setHandler(notice, (told) => this.#hear(told), {
      description: 'Sent by the queue of a load balancer: whose turn it is. Nothing for people',
    });
  }

  /**
   * Works in a turn, and gives it back. `hasWaited` tells that it was not granted at once: what was known may be old. A way back
   * waits for less than two minutes, and for seconds where the queue is silent: the driver's own checks are
   * the better protection then.
   */
  async hold<Result>(purpose: Purpose, work: (hasWaited: boolean) => Promise<Result>): Promise<Result> {
    const places: Place[] = [];
    try {
      // Every service takes them in the same order, so that no two wait for each other.
      for (const loadBalancer of turnsOf(this.#service)) {
        const place = this.#place(loadBalancer);
        places.push(place);
        await this.#take(place, purpose);
      }
      return await work(places.some(({ waitsBecause }) => waitsBecause !== undefined));
    } finally {
      for (const place of places) this.#giveBack(place);
    }
  }

  #place(loadBalancer: string): Place {
    const id = `${workflowInfo().runId}/${++this.#asked}`;
    const place: Place = { id, loadBalancer, isGranted: false };
    this.#places = [...this.#places, place];
    return place;
  }

  async #take(place: Place, purpose: Purpose): Promise<void> {
    const { loadBalancer } = place;
    for (let timesAsked = 1; !place.isGranted; timesAsked++) {
      const silent = await this.#ask(place, purpose, timesAsked > 1);
      if (place.isSilent) this.#tellSilence(place, silent);
      await condition(() => place.isGranted, askAgainAfterMs(timesAsked), {
        summary: `its turn at ${loadBalancer}`,
      });
      if (place.isGranted) break;
      const isSilent = place.waitsBecause === undefined;
      if (isSilent) this.#tellSilence(place, silent);
      if (purpose === 'rollback' && timesAsked >= rollbackAsks[isSilent ? 'silent' : 'answering']) {
        this.#board.note(`Went on without its turn at ${loadBalancer}: ${place.waitsBecause}`);
        break;
      }
    }
    if (place.waitsBecause !== undefined) this.#board.awaitNothing(this.#board.status.next);
  }

  /**
   * A queue that cannot be asked is asked again: what is wrong then is told, and nothing is given up for it.
   * @returns what its silence means, if it stays silent.
   */
  async #ask({ id, loadBalancer }: Place, purpose: Purpose, isAgain: boolean): Promise<string> {
    try {
      const carriedBy = await askForTurn.executeWithOptions({ summary: loadBalancer }, [
        {
          loadBalancer,
          request: { id, service: this.#service.id, purpose },
          ...(isAgain ? { isAgain } : {}),
        },
      ]);
      if (!carriedBy) return 'its queue does not answer';
      return `its queue does not answer: start a worker of task queue "${carriedBy}" (verdigris worker), or, where that has none any more, terminate "${queue.workflowId(loadBalancer)}" in Temporal, which opens it anew`;
    } catch (error) {
      if (isCancellation(error)) throw error;
      return `its queue cannot be asked (${inOneLine(complaintOf(error).message)})`;
    }
  }

  #hear(told: TurnNotice | undefined): void {
    const place = this.#places.find(({ id }) => id === told?.id);
    if (!place || place.isGranted) return; // it was given back since, or its notices have overtaken each other
    if (told?.behind === undefined) {
      place.isGranted = true;
      return;
    }
    const { service, since } = told.behind;
    place.isSilent = false;
    this.#tellWaiting(place, `${service} publishes since ${new Date(since).toISOString()}`);
  }

  #tellSilence(place: Place, because: string): void {
    place.isSilent = true;
    if (place.waitsBecause !== because) this.#tellWaiting(place, because);
  }

  #tellWaiting(place: Place, because: string): void {
    place.waitsBecause = because;
    this.#board.tell({ awaits: `its turn at ${place.loadBalancer}: ${because}` });
    this.#board.publish();
  }

  /** Not waited for: whoever comes next has to. A queue that is closed knows of no turn. */
  #giveBack({ id, loadBalancer }: Place): void {
    this.#places = this.#places.filter((place) => place.id !== id);
    const handle = getExternalWorkflowHandle(queue.workflowId(loadBalancer));
    CancellationScope.nonCancellable(() => handle.signal(giveBack, id)).catch(() => undefined);
  }
}
