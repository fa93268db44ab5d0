import type { Color } from './color.js';
import type { HandSwitch } from './hand-switch.js';
import type { MachineObservation } from './machines.js';
import type { Digest, ReleaseId, ServerName } from './names.js';
import type { Split } from './split.js';
import type { Unfit } from './unfit.js';

/** Everything that was seen in one look at a service. Decisions are made from this and nothing else. */
export interface Observation {
  readonly loadBalancer: LoadBalancerObservation;
  readonly servers: readonly ServerObservation[];
  /** What visitors meet of the environment that gets no traffic as the load balancer says, in words. */
  readonly visitorsMet?: string;
  /** OVHcloud's view of the machines whose product the configuration names. */
  readonly machines?: readonly MachineObservation[];
  /** A person moved the traffic without Temporal, and no run has ended since. */
  readonly handSwitch?: HandSwitch;
}

/** What the load balancer says of itself. It is the source of truth for what is live. */
export interface LoadBalancerObservation {
  readonly traffic: Traffic;
  /** What each entry point sends its traffic to, for people: `frontend 70089 -> farm 77212 (blue)`. */
  readonly targets: readonly string[];
  /**
   * Digest by name of every object of the load balancer (`http/farm/77212`, `http/farm/77212/server/31`).
   * What a deployment itself moves, and states that change by themselves, are left out.
   */
  readonly objects: Readonly<Record<string, string>>;
  /** Names of the objects that this service's traffic depends on. */
  readonly ours: readonly string[];
  /** Edits that are stored but not published, in words; empty when clean. */
  readonly staged: readonly string[];
  readonly backends: readonly BackendObservation[];
  /** How long after one look at a server the next one comes. Absent where nobody tells. */
  readonly probeEveryMs?: number;
  /** What the last published changes took, in milliseconds: what a way back costs. Empty when unknown. */
  readonly recentSwitchesMs: readonly number[];
  /** How it could divide new traffic between the environments. Absent where nobody can tell. */
  readonly division?: Division;
  /** What takes a part of the traffic before it is divided, in words. It stays as it is. */
  readonly diversions?: readonly string[];
  /** Servers that get all traffic when every server of the other environment is down. */
  readonly backups?: readonly ServerName[];
  /** The environment that testers reach while everybody else does not. */
  readonly testersReach?: Color;
  /** What the configuration asks of it and it cannot do, in words. */
  readonly unready?: readonly string[];
  /** Why it does not look at the idle environment, in words. */
  readonly unprobed?: readonly string[];
  /** In what it treats blue and green differently. */
  readonly unequal?: readonly Inequality[];
  /** Why it may run something else than it tells, in words. */
  readonly unsettled?: readonly string[];
  /** What a deployment would need and the credential may not do, each as it has to be granted. Absent when nothing is known to lack. */
  readonly lacking?: readonly string[];
  /** When the credential ends, and how long that was from the look. Absent where it does not, or nobody tells. */
  readonly credentialEnds?: { readonly atMs: number; readonly inMs: number };
}

/** One thing in which a load balancer treats the environments differently. */
export interface Inequality {
  /** For people, with the objects' names. */
  readonly words: string;
  /** Whether visitors that one environment serves well may not be served by the other. */
  readonly breaks: boolean;
}

/** Where new traffic goes. */
export type Traffic =
  | { readonly kind: 'split'; readonly split: Split }
  /** Entry points that belong together point at different environments. */
  | { readonly kind: 'torn'; readonly detail: string }
  /** An entry point sends traffic to something that is neither blue nor green. */
  | { readonly kind: 'elsewhere'; readonly detail: string };

/** Known clients stay with their server where a farm is sticky: then only new ones are divided. */
export type Shares = 'of new connections' | 'of new clients';

export type Division =
  /** With the smallest share that each environment can be given, in percent. */
  | { readonly kind: 'possible'; readonly shares: Shares; readonly smallest: Readonly<Record<Color, number>> }
  | { readonly kind: 'impossible'; readonly because: string };

/** `inactive`: set so by somebody, it gets neither traffic nor checks. `absent`: it is not there, or has no weight. */
export type BackendState = 'up' | 'down' | 'unchecked' | 'inactive' | 'absent';

/** One server as the load balancer sees it; the worst of its instances. */
export interface BackendObservation {
  readonly server: ServerName;
  readonly color: Color;
  readonly state: BackendState;
  /** When the oldest of the instances' checks was made, in epoch milliseconds of the load balancer. */
  readonly checkedAtMs?: number;
  /**
   * Where a load balancer does not tell when it checked: the state is from a check at most this old. Of several load balancers
   * some may tell the one and some the other.
   */
  readonly checkedWithinMs?: number;
}

/** One server as it is. */
export type ServerObservation =
  | {
      readonly kind: 'reached';
      readonly server: ServerName;
      readonly color: Color;
      readonly facts: ServerFacts;
    }
  | {
      readonly kind: 'unreachable';
      readonly server: ServerName;
      readonly color: Color;
      readonly message: string;
    };

export interface ServerFacts {
  readonly unit: UnitFacts;
  /** SHA-256 of the program that runs now, read from `/proc/PID/exe`. */
  readonly runningProgram?: Digest;
  /** The release that `current` points at; `undefined` where nothing of ours is active. */
  readonly activeRelease?: ReleaseId;
  /** The release that was active before it. */
  readonly previousRelease?: ReleaseId;
  readonly installedReleases: readonly ReleaseId[];
  /** Releases that must not run again, by id. */
  readonly unfitReleases: Readonly<Record<string, Unfit>>;
  /** Something runs, or is set up to run, that Verdigris did not install. */
  readonly foreign: boolean;
  /** Established connections from elsewhere to the program's port. */
  readonly connections: number;
  readonly freeBytes: number;
  /** Files that there is room for; missing where the file system sets no limit. */
  readonly freeInodes?: number;
  /** The newest fencing token that the server has accepted, or empty. */
  readonly token: string;
  /** What a program finds there to run on. */
  readonly platform?: PlatformFacts;
}

export interface PlatformFacts {
  /** `x86-64`, `aarch64`, or what the kernel calls another one. */
  readonly machine: string;
  /** Of the programs that run there: a 64-bit kernel may carry a 32-bit system. */
  readonly bits: number;
  /** As the system calls itself: `Debian GNU/Linux 12 (bookworm)`. */
  readonly system?: string;
  /** `2.36`; missing where the C library is another one, or did not tell. */
  readonly glibc?: string;
  /** The highest versions that libstdc++ offers, `3.4.30` and `1.3.13`; missing where it is not installed. */
  readonly glibcxx?: string;
  readonly cxxabi?: string;
  /** The loaders in /lib and /lib64. */
  readonly interpreters: readonly string[];
}

export interface UnitFacts {
  /** As systemd says: `active`, `inactive`, `failed`, `activating`, `deactivating`; `not-found` without a unit. */
  readonly state: string;
  readonly subState: string;
  /** 0 when nothing runs. */
  readonly pid: number;
  /** systemd's monotonic start of the main process, in microseconds: changes with every start. */
  readonly startedAtUs: number;
  readonly restarts: number;
  /** `success`, `exit-code`, `signal`, `timeout`, ... */
  readonly result: string;
  readonly needsDaemonReload: boolean;
  /** Core dumps of its processes since the main one was started, where the machine counts them. */
  readonly coreDumps?: number;
}

export const factsOf = (observation: Observation, server: ServerName): ServerFacts | undefined => {
  const seen = observation.servers.find((candidate) => candidate.server === server);
  return seen?.kind === 'reached' ? seen.facts : undefined;
};

/**
 * The servers of an environment that the load balancer is told to leave out. None where that would be all of them: then
 * nobody was left behind by us, and traffic has to go somewhere.
 */
export function leftOutOf({ backends }: LoadBalancerObservation, color: Color): readonly ServerName[] {
  const own = backends.filter((backend) => backend.color === color);
  const out = own.filter(({ state }) => state === 'inactive');
  return out.length === own.length ? [] : out.map(({ server }) => server);
}

/**
 * What a later change is held against. Whose an edit is that is stored and not published shows by comparison only: while there is
 * one, the objects of others count as they were `before`, so that it is nothing that was agreed to.
 */
export function objectsToKeep(
  { objects, ours, staged }: Pick<LoadBalancerObservation, 'objects' | 'ours' | 'staged'>,
  before: LoadBalancerObservation['objects'] = {},
): LoadBalancerObservation['objects'] {
  if (staged.length === 0) return objects;
  return { ...before, ...Object.fromEntries(ours.map((name) => [name, objects[name] ?? 'absent'])) };
}

/** The environment that new traffic is sent to, when it is exactly one. */
export const liveColor = ({ traffic }: LoadBalancerObservation): Color | undefined =>
  traffic.kind !== 'split'
    ? undefined
    : traffic.split.blue === 100
      ? 'blue'
      : traffic.split.green === 100
        ? 'green'
        : undefined;
