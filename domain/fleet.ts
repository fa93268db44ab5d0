import type { Complaint, FailureName } from './failures.js';
import type { ServerName } from './names.js';
import type { FleetSettings } from './service.js';

/** How many of the servers of an environment: a number, or a share of them (0 to 1). */
export type Amount = number | { readonly share: number };

/** A server that a deployment goes on without: stopped where it can be reached, and out of the load balancer. */
export interface LeftBehind {
  readonly server: ServerName;
  readonly because: string;
}

/** `mayFail: 10 %` of 9 servers is none: what may fail is rounded down. */
export const atMost = (amount: Amount, size: number): number =>
  typeof amount === 'number' ? amount : Math.floor(exact(amount.share * size));

/** `minCapacity: 75 %` of 10 servers is 8: what has to be there is rounded up. */
export const atLeast = (amount: Amount, size: number): number =>
  typeof amount === 'number' ? amount : Math.ceil(exact(amount.share * size));

/** 0.29 x 100 is 29 as people read it. */
const exact = (number: number): number => Number(number.toPrecision(12));

/** How many servers of an environment of `size` may be left behind. One always has to be left to carry the service. */
export function mayBeLeftBehind({ mayFail, minCapacity }: FleetSettings, size: number): number {
  const needed = Math.max(1, atLeast(minCapacity, size));
  return Math.max(0, Math.min(atMost(mayFail, size), size - needed));
}

/**
 * Whether a failure speaks of the server that it happened on, and of nothing else: unreachable, timed out and failed count
 * alike. A newer executor, traffic on an idle server or a broken artifact concerns the whole deployment.
 */
export const isAboutOneServer = ({ failure }: Complaint): boolean => aboutOneServer.has(failure);

const aboutOneServer: ReadonlySet<FailureName | 'Unexpected'> = new Set([
  'ServerUnreachable',
  'HostKeyMismatch',
  'ServerLoginRefused',
  'ServerBusy',
  'ServerTooSlow',
  'CommandFailed',
  'DiskFull',
  'DiskReadOnly',
  'UnitRefused',
  'ProgramIncompatible',
  'PortTaken',
  'StartFailed',
  'ReleaseUnhealthy',
  'WrongProgramRuns',
  'IdleNotUp',
  'Unexpected',
]);

/** `green-3: it refuses connections`, in one line. */
export const describeLeftBehind = ({ server, because }: LeftBehind): string =>
  `${server}: ${because.split('\n')[0] ?? ''}`;
