import type { Instance } from '../../data-plane/data-plane.js';
import { conflict } from '../api-error.js';
import type { LoadBalancer } from './load-balancer.js';
import type { Objects } from './objects.js';
import { rendered } from './rendering.js';

export type TaskStatus = 'blocked' | 'cancelled' | 'doing' | 'done' | 'error' | 'todo';

export interface Task {
  readonly id: number;
  readonly action: 'refreshIplb';
  readonly zones: readonly string[];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  status: TaskStatus;
  doneAt: number | null;
  /** Percent. */
  progress: number;
}

export interface RefreshOptions {
  /** From the order to the start. */
  readonly todoMs: number;
  /** From the start to the end; instances change half way through it. */
  readonly doingMs: number;
  /** Between the changes of two instances. */
  readonly instanceStaggerMs: number;
  /** Whether edits made between the order and the start are published too. */
  readonly snapshotAt: 'order' | 'start';
  /** What an order meets while another is carried out. */
  readonly whileBusy: 'queue' | 'reject409' | 'merge';
}

/** How a refresh is made to end. `stuck` is `doing` for ever. */
export interface Ending {
  readonly status: 'blocked' | 'cancelled' | 'error' | 'stuck';
  /** How many instances have changed by then; 0 where left out. */
  readonly afterInstances?: number;
}

/** Waits until the sandbox's clock has moved on. Rejects when the sandbox is closed. */
export type Wait = (ms: number) => Promise<void>;

interface Snapshot {
  readonly objects: Objects;
  readonly editCount: number;
}

/** The refreshes of one load balancer: one at a time, in the order in which they were asked for. */
export class Refreshes {
  readonly #loadBalancer: LoadBalancer;
  readonly #options: RefreshOptions;
  readonly #clock: () => number;
  readonly #wait: Wait;
  readonly #tasks = new Map<number, Task>();
  readonly #endings: Ending[] = [];
  /** What runs on each instance now. */
  readonly #applied = new Map<number, Objects>();
  #last: Promise<void> = Promise.resolve();
  #nextId = 4_000_001;

  constructor(loadBalancer: LoadBalancer, options: RefreshOptions, clock: () => number, wait: Wait) {
    this.#loadBalancer = loadBalancer;
    this.#options = options;
    this.#clock = clock;
    this.#wait = wait;
  }

  get tasks(): readonly Task[] {
    return [...this.#tasks.values()];
  }

  task(id: number): Task | undefined {
    return this.#tasks.get(id);
  }

  /** Makes the next refresh that starts end badly. */
  endNext(ending: Ending): void {
    this.#endings.push(ending);
  }

  /** Old tasks vanish from the real API too. */
  forget(id: number): void {
    this.#tasks.delete(id);
  }

  /** What an instance runs, or `undefined` before its first refresh. */
  appliedOn(instanceId: number): Objects | undefined {
    return this.#applied.get(instanceId);
  }

  /** Orders a refresh of `zones` and tells its task. */
  order(zones: readonly string[]): Task {
    const open = this.tasks.find(({ status }) => status === 'todo' || status === 'doing');
    if (open !== undefined && this.#options.whileBusy === 'merge') return open;
    if (open !== undefined && this.#options.whileBusy === 'reject409') {
      throw conflict(`A refresh is already in progress (task ${open.id})`);
    }

    const task: Task = {
      id: this.#nextId++,
      action: 'refreshIplb',
      zones,
      createdAt: this.#clock(),
      status: 'todo',
      doneAt: null,
      progress: 0,
    };
    this.#tasks.set(task.id, task);
    const ordered = this.#options.snapshotAt === 'order' ? this.#snapshot() : undefined;
    this.#last = this.#last.then(() => this.#carryOut(task, ordered));
    return task;
  }

  /** Settles when nothing more will be changed. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #carryOut(task: Task, ordered: Snapshot | undefined): Promise<void> {
    try {
      await this.#wait(this.#options.todoMs);
      task.status = 'doing';
      const ending = this.#endings.shift();
      const snapshot = ordered ?? this.#snapshot();

      await this.#wait(this.#options.doingMs / 2);
      const instances = this.#loadBalancer.dataPlane.instances.filter(({ zone }) =>
        task.zones.includes(zone),
      );
      await this.#publish(
        snapshot,
        instances.slice(0, ending === undefined ? undefined : (ending.afterInstances ?? 0)),
        task,
      );
      await this.#wait(this.#options.doingMs / 2);

      if (ending?.status === 'stuck') return;
      this.#end(task, ending?.status ?? 'done', snapshot);
    } catch (error) {
      task.status = 'error';
      const isClosing = error instanceof Error && error.name === 'AbortError';
      // Callers see the status alone, as with the real API; whoever runs the sandbox sees why.
      if (!isClosing) process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  async #publish({ objects }: Snapshot, instances: readonly Instance[], task: Task): Promise<void> {
    for (const [index, { instanceId, zone }] of instances.entries()) {
      if (index > 0) await this.#wait(this.#options.instanceStaggerMs);
      await this.#loadBalancer.dataPlane.apply(instanceId, rendered(objects, zone));
      this.#applied.set(instanceId, objects);
      task.progress = Math.floor((100 * (index + 1)) / (instances.length + 1));
    }
  }

  #end(task: Task, status: TaskStatus, { editCount }: Snapshot): void {
    task.status = status;
    task.doneAt = this.#clock();
    if (status !== 'done') return;
    task.progress = 100;
    for (const zone of task.zones) this.#loadBalancer.published(zone, editCount);
  }

  #snapshot(): Snapshot {
    return { objects: this.#loadBalancer.staged.snapshot(), editCount: this.#loadBalancer.editCount };
  }
}
