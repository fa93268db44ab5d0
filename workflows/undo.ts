/** What puts one step back. Harmless when the step never happened. */
export interface Undo {
  /** For people, for example `send the traffic back to blue`. */
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** What would put the world back as it was, newest step first. */
export class UndoStack {
  #undos: readonly Undo[] = [];

  /** Say how to undo a step before taking it: a step that timed out may have happened all the same. */
  push(name: string, run: () => Promise<void>): void {
    this.#undos = [{ name, run }, ...this.#undos];
  }

  /** The same for what comes after everything else, whenever it is said. */
  pushLast(name: string, run: () => Promise<void>): void {
    this.#undos = [...this.#undos, { name, run }];
  }

  get left(): readonly string[] {
    return this.#undos.map((undo) => undo.name);
  }

  /**
   * Undoes everything, in order. A step that fails is asked about, as often as it fails, and holds the others up: stopping
   * green while the traffic could not be sent back to blue would be the outage.
   */
  async unwind(
    onTrouble: (undo: Undo, error: unknown, timesFailed: number) => Promise<void>,
    onDone: (undo: Undo) => void,
  ): Promise<void> {
    let timesFailed = 0;
    for (let undo = this.#undos[0]; undo; undo = this.#undos[0]) {
      try {
        await undo.run();
      } catch (error) {
        await onTrouble(undo, error, ++timesFailed);
        continue;
      }
      this.#undos = this.#undos.slice(1);
      timesFailed = 0;
      onDone(undo);
    }
  }
}
