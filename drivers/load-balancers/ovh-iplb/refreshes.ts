import { Failure } from '../../../domain/failures.js';
import type { OvhApi, Query } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import type { Time } from '../../../ovh/time.js';
import { readAs } from '../ovh-document.js';
import { Ids, Task, type Pending } from './documents.js';

/** What the last refreshes were. `last` is `undefined` when there never was one. */
export interface RefreshHistory {
  readonly last: Task | undefined;
  readonly recent: readonly Task[];
}

const firstPollMs = 50;
const longestPollMs = 4_000;
/** A ticket at OVHcloud may free a blocked task; a deployment does not wait for it. */
const blockedGraceMs = 30_000;
/** Dates in tasks are whole seconds of a clock that is not quite the one of `/auth/time`. */
const clockSlackMs = 5_000;

const bad: ReadonlySet<string> = new Set(['error', 'cancelled', 'blocked']);

type Say = (what: string) => void;

/** The refreshes of one load balancer: tasks that publish everything that anybody has stored. */
export class Refreshes {
  readonly #api: OvhApi;
  readonly #root: string;
  readonly #name: string;
  readonly #deadlineMs: number;
  readonly #pending: () => Promise<Pending>;
  readonly #time: Time;

  constructor(api: OvhApi, root: string, deadlineMs: number, pending: () => Promise<Pending>, time: Time) {
    this.#time = time;
    this.#api = api;
    this.#root = root;
    this.#name = root.split('/').at(-1) ?? root;
    this.#deadlineMs = deadlineMs;
    this.#pending = pending;
  }

  /** Waits until no refresh is under way: while one is, nobody can say what it will publish. Tells whether it waited. */
  async settled(say: Say, signal?: AbortSignal): Promise<boolean> {
    const endMs = this.#time.nowMs() + this.#deadlineMs;
    for (
      let pollMs = firstPollMs, waited = false;
      ;
      pollMs = Math.min(pollMs * 2, longestPollMs), waited = true
    ) {
      const [todo, doing] = await Promise.all([
        this.#ids({ status: 'todo' }, signal),
        this.#ids({ status: 'doing' }, signal),
      ]);
      const open = [...doing, ...todo];
      if (open.length === 0) return waited;
      if (this.#time.nowMs() > endMs) {
        throw new Failure(
          'RefreshFailed',
          `Cannot wait longer for refresh task ${open[0]} of "${this.#name}": it is still under way after ${seconds(this.#deadlineMs)}, needs to end\n  OVHcloud's support can look the task up by its number; once it has ended, try again`,
        );
      }
      say(`waiting for refresh task ${open[0]}, which is under way`);
      await this.#time.sleep(pollMs, signal);
    }
  }

  /** The newest refreshes, at most `count`. */
  async history(count: number, signal?: AbortSignal): Promise<RefreshHistory> {
    const ids = (await this.#ids({}, signal)).toSorted((a, b) => b - a).slice(0, count);
    const recent = await Promise.all(ids.map((id) => this.#task(id, signal)));
    const known = recent.filter((task) => task !== undefined);
    return { last: known[0], recent: known };
  }

  /** The number of the newest refresh, whoever ordered it; `undefined` when there never was one. */
  async newest(): Promise<number | undefined> {
    return (await this.#ids({})).toSorted((a, b) => b - a)[0];
  }

  /**
   * Publishes what is stored, once, and waits until it is done. Cannot be stopped, so it does not listen to anybody who
   * gives up. An `OvhError` of the order itself says that nothing was ordered, and so does what `mayRepeat` throws, which is
   * asked before an order that was not accepted is given again.
   */
  async publish(say: Say, mayRepeat: () => Promise<void> = async () => undefined): Promise<void> {
    const endMs = this.#time.nowMs() + this.#deadlineMs;
    say('publishing');
    for (let tries = 1; ; tries++) {
      const order = await this.#order();
      if (order.kind === 'ordered') return this.#done(order.task, endMs, say);
      if (order.kind === 'published') return;
      if (this.#time.nowMs() > endMs) {
        throw new Failure(
          'RefreshFailed',
          `Cannot publish "${this.#name}": ${order.because} for ${seconds(this.#deadlineMs)}, needs a refresh`,
          { cause: order.cause },
        );
      }
      await this.#time.sleep(Math.min(firstPollMs * 2 ** tries, longestPollMs));
      const waited = await this.settled(say);
      if (waited && (await this.#pending()).length === 0) return;
      await mayRepeat();
    }
  }

  /** Orders a refresh. When the answer is lost, the task is looked for among those that were not there before. */
  async #order(): Promise<Order> {
    const from = new Date((await this.#api.time()) - clockSlackMs).toISOString();
    const before = await this.#ids({ 'creationDate.from': from });
    try {
      const answer = Task.safeParse(await this.#api.post(`${this.#root}/refresh`));
      if (answer.success) return { kind: 'ordered', task: answer.data.id };
    } catch (error) {
      if (!(error instanceof OvhError)) throw error;
      if (!error.ambiguous) {
        if (error.passing || error.status === 409) {
          return { kind: 'not ordered', because: error.message, cause: error };
        }
        throw error;
      }
    }
    const now = await this.#ids({ 'creationDate.from': from });
    const fresh = now.filter((id) => !before.includes(id)).toSorted((a, b) => b - a);
    if (fresh[0] !== undefined) return { kind: 'ordered', task: fresh[0] };
    if ((await this.#pending()).length === 0) return { kind: 'published' };
    return { kind: 'not ordered', because: "the order's answer was lost and no task of it is there" };
  }

  async #done(id: number, endMs: number, say: Say): Promise<void> {
    let blockedAtMs: number | undefined;
    for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, longestPollMs)) {
      const status = await this.#status(id);
      const nowMs = this.#time.nowMs();
      if (status === 'done') return;
      if (status === 'blocked') blockedAtMs ??= nowMs;
      const stuck =
        blockedAtMs !== undefined && nowMs - blockedAtMs > Math.min(blockedGraceMs, this.#deadlineMs / 10);
      if (status === 'error' || status === 'cancelled' || stuck) {
        throw this.#failed(id, `it ended as "${status}"`);
      }
      if (nowMs > endMs) throw this.#failed(id, `it is still "${status}" after ${seconds(this.#deadlineMs)}`);
      say(`refresh task ${id} is ${status}`);
      await this.#time.sleep(pollMs);
    }
  }

  /** A task that was seen and is gone says nothing; what is pending does. */
  async #status(id: number): Promise<string> {
    try {
      const task = await this.#task(id);
      if (task) return task.status;
      return (await this.#pending()).length === 0 ? 'done' : 'error';
    } catch (error) {
      if (error instanceof OvhError && error.passing) return 'unknown (the API does not answer)';
      throw error;
    }
  }

  #failed(id: number, because: string): Failure {
    return new Failure(
      'RefreshFailed',
      `Cannot publish "${this.#name}": refresh task ${id} was ordered, but ${because}, needs to be done\n  parts of the load balancer may run the new configuration already; OVHcloud's support can look the task up by its number`,
      { ambiguous: true },
    );
  }

  async #task(id: number, signal?: AbortSignal): Promise<Task | undefined> {
    try {
      return await readAs(this.#api, `${this.#root}/task/${id}`, Task, signal ? { signal } : {});
    } catch (error) {
      if (error instanceof OvhError && error.status === 404) return undefined;
      throw error;
    }
  }

  async #ids(query: Query, signal?: AbortSignal): Promise<readonly number[]> {
    return readAs(this.#api, `${this.#root}/task`, Ids, {
      query: { action: 'refreshIplb', ...query },
      ...(signal ? { signal } : {}),
    });
  }
}

type Order =
  | { readonly kind: 'ordered'; readonly task: number }
  | { readonly kind: 'published' }
  | { readonly kind: 'not ordered'; readonly because: string; readonly cause?: unknown };

/** Whether a refresh may have left parts of the load balancer behind. */
export const endedBadly = (task: Task | undefined): boolean => task !== undefined && bad.has(task.status);

/** Why it may run something else than what is stored, in words. */
export const unsettledBy = (last: Task | undefined): readonly string[] =>
  last !== undefined && endedBadly(last)
    ? [`the last refresh, task ${last.id}, has ended as "${last.status}": parts of it may run something else`]
    : [];

/** From the order to the end, in milliseconds, of those that were done. */
export const durationsMs = (tasks: readonly Task[]): readonly number[] =>
  tasks.flatMap(({ status, creationDate, doneDate }) => {
    const tookMs = status === 'done' && doneDate ? Date.parse(doneDate) - Date.parse(creationDate) : NaN;
    return tookMs >= 0 ? [tookMs] : [];
  });

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
