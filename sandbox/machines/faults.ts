/** What a machine can be made to suffer from. Everything holds until it is taken back. */
export interface Faults {
  /** Nobody listens on the SSH port: new connections are refused, open ones go on. */
  refuseConnections(refuse: boolean): Promise<void>;
  /** Cuts a connection when the commands of this machine have been sent that many more bytes on their input. */
  cutAfterBytes(bytes: number | undefined): void;
  /** Connections are accepted and stay open, but nothing comes or goes: the other end cannot tell that from patience. */
  freeze(frozen: boolean): void;
  /** Lets no more than that through each connection, each way. */
  slowBytesPerSecond(bytesPerSecond: number | undefined): void;
  /** Commands that match fail without being run. @returns what takes it back. */
  failCommand(pattern: RegExp, exitStatus: number, stderr: string): () => void;
  /** Takes everything back. */
  clear(): Promise<void>;
}

export interface FailedCommand {
  readonly pattern: RegExp;
  readonly exitStatus: number;
  readonly stderr: string;
}

/** The faults as those see them who have to act on them. */
export class FaultState implements Faults {
  readonly #listen: (listening: boolean) => Promise<void>;
  readonly #failedCommands = new Set<FailedCommand>();
  #bytesUntilCut: number | undefined;
  #bytesPerSecond: number | undefined;
  #thaw: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(listen: (listening: boolean) => Promise<void>) {
    this.#listen = listen;
  }

  refuseConnections(refuse: boolean): Promise<void> {
    return this.#listen(!refuse);
  }

  cutAfterBytes(bytes: number | undefined): void {
    this.#bytesUntilCut = bytes;
  }

  freeze(frozen: boolean): void {
    if (!frozen) {
      this.#thaw?.resolve();
      this.#thaw = undefined;
    } else this.#thaw ??= deferred();
  }

  slowBytesPerSecond(bytesPerSecond: number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  failCommand(pattern: RegExp, exitStatus: number, stderr: string): () => void {
    const failed = { pattern, exitStatus, stderr };
    this.#failedCommands.add(failed);
    return () => this.#failedCommands.delete(failed);
  }

  async clear(): Promise<void> {
    this.spareConnections();
    this.#failedCommands.clear();
    await this.refuseConnections(false);
  }

  /** Takes back what concerns connections that are open. */
  spareConnections(): void {
    this.cutAfterBytes(undefined);
    this.freeze(false);
    this.slowBytesPerSecond(undefined);
  }

  /** Settles when the machine is not frozen; `undefined` when it is not frozen now. */
  get thawed(): Promise<void> | undefined {
    return this.#thaw?.promise;
  }

  get bytesPerSecond(): number | undefined {
    return this.#bytesPerSecond;
  }

  failureOf(command: string): FailedCommand | undefined {
    return [...this.#failedCommands].find(({ pattern }) => command.search(pattern) >= 0);
  }

  /** Counts bytes that are about to reach a command. @returns how many of them still do before the cut, if there is one. */
  admit(bytes: number): { readonly admitted: number; readonly isCut: boolean } {
    if (this.#bytesUntilCut === undefined) return { admitted: bytes, isCut: false };
    const admitted = Math.min(bytes, this.#bytesUntilCut);
    this.#bytesUntilCut -= admitted;
    const isCut = this.#bytesUntilCut === 0;
    if (isCut) this.#bytesUntilCut = undefined;
    return { admitted, isCut };
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
