/** What a server told beside what it was asked to do: a check that it could not make, a file that it could not sync. */
export interface Told {
  readonly notes?: readonly string[];
}
