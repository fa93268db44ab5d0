import type { Instance } from '../../data-plane/data-plane.js';
import { conflict } from '../api-error.js';
import type { LoadBalancer } from './load-balancer.js';
import { Objects, type StoredObject } from './objects.js';
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

/** The tasks so far, what they were made of, and what runs where. */
export interface RefreshesState {
  readonly tasks: readonly Task[];
  readonly nextId: number;
  readonly endings: readonly Ending[];
  readonly stuck: readonly number[];
  readonly ordered: readonly (readonly [number, SnapshotState])[];
  readonly applied: readonly (readonly [number, readonly StoredObject[]])[];
}

interface SnapshotState {
  readonly objects: readonly StoredObject[];
  readonly editCount: number;
}

/** What refreshes happen in. */
export interface RefreshesWorld {
  readonly clock: () => number;
  readonly wait: Wait;
  /** Told after everything that must survive a restart. */
  readonly changed: () => void;
}

/** The refreshes of one load balancer: one at a time, in the order in which they were asked for. */
export class Refreshes {
  readonly #loadBalancer: LoadBalancer;
  readonly #options: RefreshOptions;
  readonly #clock: () => number;
  readonly #wait: Wait;
  readonly #tasks = new Map<number, Task>();
  #endings: Ending[] = [];
  /** Tasks that never end. */
  readonly #stuck = new Set<number>();
  /** What open tasks will publish, where that was settled with their order. */
  readonly #ordered = new Map<number, Snapshot>();
  /** What runs on each instance now. */
  readonly #applied = new Map<number, Objects>();
  #last: Promise<void> = Promise.resolve();
  #nextId = 4_000_001;

  readonly #changed: () => void;

  constructor(loadBalancer: LoadBalancer, options: RefreshOptions, { clock, wait, changed }: RefreshesWorld) {
    this.#changed = changed;
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
    const open = this.tasks.find(isOpen);
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
    if (this.#options.snapshotAt === 'order') this.#ordered.set(task.id, this.#snapshot());
    this.#last = this.#last.then(() => this.#carryOut(task));
    return task;
  }

  /** Settles when nothing more will be changed. */
  async settled(): Promise<void> {
    await this.#last;
  }

  state(): RefreshesState {
    return {
      tasks: this.tasks.map((task) => ({ ...task })),
      nextId: this.#nextId,
      endings: [...this.#endings],
      stuck: [...this.#stuck],
      ordered: [...this.#ordered].map(([id, { objects, editCount }]) => [
        id,
        { objects: objects.all(), editCount },
      ]),
      applied: [...this.#applied].map(([id, objects]) => [id, objects.all()]),
    };
  }

  /** Goes on from `state`: instances run what they ran, and open tasks are carried out from their start. */
  async restore(state: RefreshesState): Promise<void> {
    this.#nextId = state.nextId;
    this.#endings = [...state.endings];
    replace(
      this.#tasks,
      state.tasks.map((task) => [task.id, { ...task }]),
    );
    replace(
      this.#ordered,
      state.ordered.map(([id, { objects, editCount }]) => [id, { objects: new Objects(objects), editCount }]),
    );
    replace(
      this.#applied,
      state.applied.map(([id, objects]) => [id, new Objects(objects)]),
    );
    this.#stuck.clear();
    for (const id of state.stuck) this.#stuck.add(id);
    for (const { instanceId, zone } of this.#loadBalancer.dataPlane.instances) {
      const objects = this.#applied.get(instanceId) ?? new Objects();
      await this.#loadBalancer.dataPlane.apply(instanceId, rendered(objects, zone));
    }
    for (const task of this.tasks.filter(isOpen)) {
      if (!this.#stuck.has(task.id)) this.#last = this.#last.then(() => this.#carryOut(task));
    }
  }

  async #carryOut(task: Task): Promise<void> {
    try {
      await this.#wait(this.#options.todoMs);
      task.status = 'doing';
      const ending = this.#endings.shift();
      const snapshot = this.#ordered.get(task.id) ?? this.#snapshot();
      if (ending?.status === 'stuck') this.#stuck.add(task.id);
      this.#changed();

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
      const isClosing = error instanceof Error && error.name === 'AbortError';
      if (isClosing) return;
      task.status = 'error';
      // Callers see the status alone, as with the real API; whoever runs the sandbox sees why.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  async #publish({ objects }: Snapshot, instances: readonly Instance[], task: Task): Promise<void> {
    for (const [index, { instanceId, zone }] of instances.entries()) {
      if (index > 0) await this.#wait(this.#options.instanceStaggerMs);
      await this.#loadBalancer.dataPlane.apply(instanceId, rendered(objects, zone));
      this.#applied.set(instanceId, objects);
      this.#changed();
      task.progress = Math.floor((100 * (index + 1)) / (instances.length + 1));
    }
  }

  #end(task: Task, status: TaskStatus, { objects, editCount }: Snapshot): void {
    task.status = status;
    task.doneAt = this.#clock();
    this.#ordered.delete(task.id);
    if (status === 'done') {
      task.progress = 100;
      for (const zone of task.zones) this.#loadBalancer.published(zone, objects, editCount);
    }
    this.#changed();
  }

  #snapshot(): Snapshot {
    return { objects: this.#loadBalancer.staged.snapshot(), editCount: this.#loadBalancer.editCount };
  }
}

const isOpen = ({ status }: Task): boolean => status === 'todo' || status === 'doing';

function replace<Key, Value>(map: Map<Key, Value>, entries: readonly (readonly [Key, Value])[]): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}
