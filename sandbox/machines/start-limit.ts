/** Counts starts as systemd does: `burst` of them in a window that opens with the first. */
export class StartLimit {
  #openedAtMs = -Infinity;
  #starts = 0;

  /** Counts one more start, and tells whether it may happen. */
  admits(burst: number, intervalMs: number): boolean {
    if (burst === 0 || intervalMs === 0) return true;
    const nowMs = performance.now();
    if (this.#openedAtMs + intervalMs < nowMs) {
      this.#openedAtMs = nowMs;
      this.#starts = 0;
    }
    this.#starts += 1;
    return this.#starts <= burst;
  }

  forget(): void {
    this.#openedAtMs = -Infinity;
  }
}
