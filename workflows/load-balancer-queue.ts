import {
  ActivityCancellationType,
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import {
  asked,
  describeTurns,
  givenBack,
  isTurnRequest,
  nobody,
  passedOn,
  queue,
  type QueueInput,
  type Turn,
  type TurnNotice,
  type TurnRequest,
  type Turns,
} from '../domain/turns.js';

/** A turn that lasts longer is looked at: whoever has it may be dead. Most are over by then. */
const lookAfterMs = 5_000;

/** The last step of a run that was ended from outside hears of it at a heartbeat, and puts back what it has stored. */
const lastStepEndsWithinMs = 6_000;

/** A turn costs some 40 events of the 51,200 that a history may have. */
const defaultTurnsPerRun = 200;

// Only looks: what it would still find once a turn was given back is of no interest.
const { awaitEndOfRun } = proxyActivities<Activities>({
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  heartbeatTimeout: '6 seconds',
  startToCloseTimeout: '60 days',
  retry: { initialInterval: '500 ms', backoffCoefficient: 2, maximumInterval: '5 seconds' },
});

const ask = defineSignal<[TurnRequest]>(queue.ask);
const giveBack = defineSignal<[string]>(queue.giveBack);
const notice = defineSignal<[TurnNotice]>(queue.notice);
const turnsQuery = defineQuery<Turns>(queue.turns);

/**
 * The queue of one load balancer: services that share it change it one after the other. Opened by whoever asks first, and
 * ended when nobody has a turn or waits for one.
 */
export async function loadBalancerQueue(input: QueueInput): Promise<void> {
  const { loadBalancer, turnsPerRun = defaultTurnsPerRun } = input;
  const line = new Line(loadBalancer, input.turns ?? nobody);
  for (let given = 0; !line.isEmpty;) {
    if (given >= turnsPerRun || workflowInfo().continueAsNewSuggested) {
      return continueAsNew<typeof loadBalancerQueue>({ loadBalancer, turnsPerRun, turns: line.turns });
    }
    if (line.passOn()) given++;
    await line.tellWhoWasNotTold();
    await condition(() => line.hasNews);
  }
}

class Line {
  turns: Turns;
  readonly #loadBalancer: string;
  /** Ids of requests whose run does not know yet how it stands. */
  #untold: ReadonlySet<string>;
  #watching: CancellationScope | undefined;

  constructor(loadBalancer: string, turns: Turns) {
    this.#loadBalancer = loadBalancer;
    this.turns = turns;
    this.#untold = new Set(turns.waiting.map(({ id }) => id));
    setHandler(turnsQuery, () => this.turns, { description: 'Who publishes, and who waits' });
    setHandler(giveBack, (id) => this.#settle(givenBack(this.turns, String(id))), {
      description: 'Ends a turn, or the wait for one: the id of the request',
    });
    setHandler(ask, (request) => this.#hear(request), {
      description: 'Sent by runs of services that want to change the load balancer',
    });
    this.#watch();
  }

  get isEmpty(): boolean {
    return this.turns.holder === undefined && this.turns.waiting.length === 0;
  }

  get hasNews(): boolean {
    return this.turns.holder === undefined || this.#untold.size > 0;
  }

  /** The next one gets its turn, unless somebody has it; all others are behind somebody else then. */
  passOn(): boolean {
    const before = this.turns.holder;
    this.#settle(passedOn(this.turns, Date.now()));
    if (before === this.turns.holder || !this.turns.holder) return false;
    this.#untold = new Set([this.turns.holder, ...this.turns.waiting].map(({ id }) => id));
    return true;
  }

  async tellWhoWasNotTold(): Promise<void> {
    const { holder, waiting } = this.turns;
    const untold = [...(holder ? [holder] : []), ...waiting].filter(({ id }) => this.#untold.has(id));
    this.#untold = new Set();
    await Promise.all(untold.map((request) => this.#tell(request, holder)));
  }

  /** A run that cannot be told is closed: its place is free. */
  async #tell({ id, workflowId, runId }: TurnRequest, holder: Turn | undefined): Promise<void> {
    const behind =
      holder && holder.id !== id ? { behind: { service: holder.service, since: holder.since } } : {};
    try {
      await getExternalWorkflowHandle(workflowId, runId).signal(notice, { id, ...behind });
    } catch (error) {
      if (isCancellation(error)) throw error;
      this.#settle(givenBack(this.turns, id));
    }
  }

  #hear(request: TurnRequest): void {
    if (!isTurnRequest(request)) return; // anybody may send signals
    this.#untold = new Set([...this.#untold, request.id]);
    this.#settle(asked(this.turns, request));
  }

  #settle(turns: Turns): void {
    const before = this.turns.holder;
    this.turns = turns;
    setCurrentDetails(describeTurns(this.#loadBalancer, turns));
    if (before !== turns.holder) this.#watch();
  }

  /** Sees to it that a turn ends with its run. */
  #watch(): void {
    this.#watching?.cancel();
    this.#watching = undefined;
    const { holder } = this.turns;
    if (!holder) return;
    this.#watching = new CancellationScope();
    this.#watching
      .run(() => untilDead(holder))
      .then(() => this.#settle(givenBack(this.turns, holder.id)))
      .catch((error: unknown) => {
        if (!isCancellation(error)) throw error;
      });
  }
}

async function untilDead({ service, workflowId, runId }: Turn): Promise<void> {
  await sleep(lookAfterMs, { summary: `${service} publishes` });
  await awaitEndOfRun.executeWithOptions({ summary: `does ${service} still run` }, [{ workflowId, runId }]);
  await sleep(lastStepEndsWithinMs, { summary: `the last step of ${service} ends` });
}
