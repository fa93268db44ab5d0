import { performance } from 'node:perf_hooks';

/** A pause of this process costs a wait one of these at most. */
const sliceMs = 100;

/** More than timers are late by themselves. */
const pauseMs = 50;

/** Slices that follow one in which this process paused, so that a wait ends on a machine that never has time, too. */
const mostExtraSlices = 50;

/**
 * Waits for somebody else, and counts only the time in which this process was at work. A pause of it (a long computation, a busy or
 * suspended machine) makes timers late, and they come before what has arrived meanwhile is read: not the other's fault.
 */
export class AttentiveWait {
  readonly #beganAtMs = performance.now();
  readonly #ms: number;
  readonly #onOver: () => void;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #sliceEndsAtMs = 0;
  #pausedMs = 0;
  #extraSlices = 0;

  /** Calls `onOver` after that long, unless it is ended before. */
  constructor(ms: number, onOver: () => void) {
    this.#ms = ms;
    this.#onOver = onOver;
    this.#attend(Math.min(ms, sliceMs));
  }

  /** For how long it has been waited, without the pauses. */
  get attendedMs(): number {
    return performance.now() - this.#beganAtMs - this.pausedMs;
  }

  /** For how long this process has paused meanwhile. */
  get pausedMs(): number {
    return this.#pausedMs + this.#lateMs;
  }

  get #lateMs(): number {
    const lateMs = performance.now() - this.#sliceEndsAtMs;
    return lateMs > pauseMs ? lateMs : 0;
  }

  end(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }

  #attend(forMs: number): void {
    this.#sliceEndsAtMs = performance.now() + forMs;
    this.#timer = setTimeout(() => {
      const lateMs = this.#lateMs;
      this.#pausedMs += lateMs;
      this.#sliceEndsAtMs = performance.now();
      const leftMs = this.#ms - this.attendedMs;
      if (leftMs > 0) this.#attend(Math.min(leftMs, sliceMs));
      else if (lateMs > 0 && this.#extraSlices++ < mostExtraSlices) this.#attend(sliceMs);
      // What has come by now is read before this.
      else this.#immediate = setImmediate(this.#onOver);
    }, forMs);
  }
}
