/** Ctrl-C, a polite end, or a terminal that is gone. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Catches, from its making to its end, what would end the process in the middle. Each aborts the stage of the work that runs
 * then, once; before the first stage it aborts that one as it begins, and between two stages it changes nothing.
 */
export class Interruptions {
  #isEarly = false;
  #current: { readonly controller: AbortController; readonly tell: () => void } | undefined;

  constructor() {
    for (const signal of signals) process.on(signal, this.#interrupt);
  }

  /** Begins a stage, and ends the one before. `tell` says what an interruption of it means. */
  stage(tell: () => void): AbortSignal {
    const controller = new AbortController();
    this.#current = { controller, tell };
    if (this.#isEarly) this.#interrupt();
    this.#isEarly = false;
    return controller.signal;
  }

  /** From then on signals do what they always do. */
  end(): void {
    for (const signal of signals) process.off(signal, this.#interrupt);
  }

  readonly #interrupt = (): void => {
    this.#isEarly = !this.#current;
    if (!this.#current || this.#current.controller.signal.aborted) return;
    this.#current.controller.abort(new DOMException('Stopped by a signal', 'AbortError'));
    this.#current.tell();
  };
}
