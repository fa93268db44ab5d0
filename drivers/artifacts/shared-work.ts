import type { Patience } from '../patience.js';

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
      await orGivenUp(
        running.done.catch(() => undefined),
        patience,
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
      await orGivenUp(job.done, patience);
    } finally {
      job.waiting.delete(patience);
      if (job.waiting.size === 0) job.giveUp.abort(patience.signal.reason);
    }
  }
}

/** Ends with `done`, or with the caller's own reason to give up. */
async function orGivenUp(done: Promise<void>, { signal }: Patience): Promise<void> {
  let stop: () => void = () => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop);
  });
  try {
    await Promise.race([done, givenUp]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
