/** Ctrl-C, a polite end, or a terminal that is gone. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interrupt {
  readonly signal: AbortSignal;
  /** From then on they do what they always do. */
  end(): void;
}

/** Aborts, instead of ending the process in the middle, at the first of them; the others change nothing. */
export function onInterrupt(tell: () => void): Interrupt {
  const controller = new AbortController();
  const interrupted = (): void => {
    if (controller.signal.aborted) return;
    controller.abort(new DOMException('Stopped by a signal', 'AbortError'));
    tell();
  };
  for (const signal of signals) process.on(signal, interrupted);
  return {
    signal: controller.signal,
    end() {
      for (const signal of signals) process.off(signal, interrupted);
    },
  };
}
