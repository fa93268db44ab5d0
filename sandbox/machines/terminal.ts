/** Where a stand-in command was called: what it prints goes there, as it comes. */
export interface Terminal {
  /** The caller's working directory. */
  readonly directory: string;
  out(text: string): void;
  err(text: string): void;
  /** Aborted when the caller went away. */
  readonly gone: AbortSignal;
}
