import { orAborted, type Patience } from '../patience.js';

interface Job {
  readonly what: string;
  readonly done: Promise<void>;
  readonly waiting: Set<Patience>;
  readonly giveUp: AbortController;
}

/**
 * Does one piece of work per key at a time. Who asks for the same meanwhile waits for it and shares its end; who asks for
 * something else under that key comes after. The work is given up only when all who wait have given up.
 */
export class SharedWork {
  readonly #jobs = new Map<string, Job>();

  async run(
    key: string,
    what: string,
    patience: Patience,
    work: (patience: Patience) => Promise<void>,
  ): Promise<void> {
    for (;;) {
      patience.signal.throwIfAborted();
      const running = this.#jobs.get(key);
      if (!running) return this.#wait(this.#start(key, what, work), patience);
      if (running.what === what && !running.giveUp.signal.aborted) return this.#wait(running, patience);
      await orAborted(
        running.done.catch(() => undefined),
        patience.signal,
      );
    }
  }

  #start(key: string, what: string, work: (patience: Patience) => Promise<void>): Job {
    const giveUp = new AbortController();
    const waiting = new Set<Patience>();
    const progress = (words: string) => waiting.forEach((one) => one.progress(words));
    const done = work({ signal: giveUp.signal, progress }).finally(() => this.#jobs.delete(key));
    done.catch(() => undefined); // nobody may be left to hear of it
    const job: Job = { what, done, waiting, giveUp };
    this.#jobs.set(key, job);
    return job;
  }

  async #wait(job: Job, patience: Patience): Promise<void> {
    job.waiting.add(patience);
    try {
      await orAborted(job.done, patience.signal);
    } finally {
      job.waiting.delete(patience);
      if (job.waiting.size === 0) job.giveUp.abort(patience.signal.reason);
    }
  }
}
