import type { Digest } from '../../domain/names.js';

/** What a program in memory does from the moment it is started. */
export type Behaviour =
  | { readonly kind: 'answers' }
  | { readonly kind: 'crashes at start' }
  /** Ends with an error after `everyMs`, and systemd starts it again. */
  | { readonly kind: 'crashes every'; readonly everyMs: number }
  /** Ends with status 0: systemd leaves it `inactive`. */
  | { readonly kind: 'exits'; readonly afterMs: number }
  /** Answers 503 for ever. */
  | { readonly kind: 'never healthy' }
  /** Answers 503 until it has run for `afterMs`. */
  | { readonly kind: 'healthy after'; readonly afterMs: number }
  /** Answers 503 once it has run for `afterMs`. */
  | { readonly kind: 'ill after'; readonly afterMs: number }
  /** Needs `byMs` for each answer. */
  | { readonly kind: 'slow'; readonly byMs: number };

/** A program in memory: what tells it from others, and what it does. */
export interface ImaginedProgram {
  /** What `/proc/PID/exe` would hash to. */
  readonly executable: Digest;
  readonly behaviour: Behaviour;
  /** What it puts into the identity header of its answers. */
  readonly identity?: string;
}

/** A started program at one moment, as systemd tells it. */
export interface Life {
  readonly state: 'active' | 'activating' | 'inactive' | 'failed';
  readonly subState: 'running' | 'auto-restart' | 'dead' | 'failed';
  readonly result: 'success' | 'exit-code' | 'signal';
  readonly restarts: number;
  /** How long after the first start the process that runs now was started. */
  readonly startedAfterMs: number;
}

/** systemd's own `RestartSec`. */
export const restartDelayMs = 100;

/** How a program that was started `ageMs` ago is now. Pure: no timer runs for it. */
export function lifeAt(behaviour: Behaviour, ageMs: number): Life {
  const running = { state: 'active', subState: 'running', result: 'success' } as const;
  switch (behaviour.kind) {
    case 'crashes at start':
      return { state: 'failed', subState: 'failed', result: 'exit-code', restarts: 0, startedAfterMs: 0 };
    case 'exits':
      return ageMs < behaviour.afterMs
        ? { ...running, restarts: 0, startedAfterMs: 0 }
        : { state: 'inactive', subState: 'dead', result: 'success', restarts: 0, startedAfterMs: 0 };
    case 'crashes every': {
      const cycleMs = behaviour.everyMs + restartDelayMs;
      const restarts = Math.floor(ageMs / cycleMs);
      const startedAfterMs = restarts * cycleMs;
      return ageMs - startedAfterMs < behaviour.everyMs
        ? { ...running, restarts, startedAfterMs }
        : { state: 'activating', subState: 'auto-restart', result: 'exit-code', restarts, startedAfterMs };
    }
    case 'answers':
    case 'never healthy':
    case 'healthy after':
    case 'ill after':
    case 'slow':
      return { ...running, restarts: 0, startedAfterMs: 0 };
  }
}

/** What a running program answers to a good question, `ageMs` after its start, and how long it takes over it. */
export function answerAt(
  behaviour: Behaviour,
  ageMs: number,
): { readonly status: number; readonly tookMs: number } {
  switch (behaviour.kind) {
    case 'never healthy':
      return { status: 503, tookMs: 0 };
    case 'healthy after':
      return { status: ageMs < behaviour.afterMs ? 503 : 200, tookMs: 0 };
    case 'ill after':
      return { status: ageMs < behaviour.afterMs ? 200 : 503, tookMs: 0 };
    case 'slow':
      return { status: 200, tookMs: behaviour.byMs };
    case 'answers':
    case 'crashes at start':
    case 'crashes every':
    case 'exits':
      return { status: 200, tookMs: 0 };
  }
}
