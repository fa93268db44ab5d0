/** How long a caller waits, and how it hears of what goes on meanwhile. */
export interface Patience {
  /** Aborted when the caller gives up. Waiting ends; what cannot be stopped half way is seen through. */
  readonly signal: AbortSignal;
  /** Called at least every two seconds while a driver waits, with a short sentence for people. */
  readonly progress: (what: string) => void;
}

/** For callers that neither give up nor listen. */
export const endless: Patience = { signal: new AbortController().signal, progress: () => undefined };
