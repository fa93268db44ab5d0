import type { ServerName } from './names.js';

/** For how long nobody saw the process on a server, and what kept us from looking. */
export interface Unwatched {
  readonly server: ServerName;
  readonly ms: number;
  readonly because: string;
}

/** What was not watched in two stretches together, one entry per server. */
export function addUnwatched(before: readonly Unwatched[], more: readonly Unwatched[]): readonly Unwatched[] {
  const added = more.map((each) => ({ ...each, ms: each.ms + msOf(before, each.server) }));
  return [...before.filter(({ server }) => !added.some((each) => each.server === server)), ...added];
}

export const msOf = (all: readonly Unwatched[], server: ServerName): number =>
  all.find((each) => each.server === server)?.ms ?? 0;

/** The server that was longest out of sight, beside `mayFail` others; `undefined` where all the rest was seen all the time. */
export const longestUnwatched = (all: readonly Unwatched[], mayFail: number): Unwatched | undefined =>
  all.toSorted((one, other) => other.ms - one.ms)[mayFail];

export const describeUnwatched = ({ server, ms, because }: Unwatched): string =>
  `${server} was not watched for ${Math.round(ms / 1000)} s: ${because.split('\n')[0] ?? ''}`;
