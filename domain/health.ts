import type { Holdings } from './growth.js';
import type { Digest } from './names.js';

/** The answer to one question put to a server or to the public address. */
export type Sample =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly tookMs: number;
      readonly identity?: string;
      /** The process of the load balancer that it came through, where that tells. */
      readonly instance?: string;
    }
  | { readonly kind: 'silent'; readonly because: string };

/** What the samples so far prove. */
export type Verdict =
  | { readonly kind: 'undecided' }
  | { readonly kind: 'pass' }
  | { readonly kind: 'fail'; readonly because: string }
  | { readonly kind: 'inconclusive'; readonly because: string };

export interface HealthQuestion {
  readonly path: string;
  readonly status: number;
  readonly timeoutMs: number;
  /** Response header that tells which release answered. */
  readonly identityHeader?: string;
  /** Sent with it. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Whether a sample is a good answer. */
export const isGood = (sample: Sample, expected: { readonly status: number }): boolean =>
  sample.kind === 'answered' && sample.status === expected.status;

export const describeSample = (sample: Sample): string =>
  sample.kind === 'answered' ? `HTTP ${sample.status}` : sample.because;

/** One look at the process behind a server, to tell a restart from a long life. */
export interface ProcessLook {
  readonly active: boolean;
  readonly pid: number;
  readonly startedAtUs: number;
  readonly restarts: number;
  /** How systemd words the state, for people. */
  readonly words: string;
}

/** A look of a watch: also what it runs and what it holds, where there is a process. */
export interface WatchedLook extends ProcessLook {
  /** SHA-256 of the program that it runs, where it may be read. */
  readonly program?: Digest;
  /** How often a process of the unit has dumped core since the main one was started, where the machine counts. At most a second old. */
  readonly coreDumps?: number;
  readonly holds?: Omit<Holdings, 'atMs'>;
}

export interface VerifyPolicy {
  readonly passes: number;
  readonly status: number;
}

/**
 * Says whether a server has proved itself: `passes` good answers in a row from one and the same process.
 * A process that ended or was restarted since `first` fails at once, however good its answers are;
 * bad answers alone stay undecided, because a program may need time to start: the caller has the deadline.
 */
export function judgeServer(
  samples: readonly Sample[],
  first: ProcessLook,
  last: ProcessLook,
  policy: VerifyPolicy,
): Verdict {
  const gone = whyNotTheSame(first, last);
  if (gone) return { kind: 'fail', because: gone };
  const run = trailing(samples, (sample) => isGood(sample, policy));
  return run >= policy.passes ? { kind: 'pass' } : { kind: 'undecided' };
}

/** Why `last` is not the same undisturbed process as `first`. */
export function whyNotTheSame(first: ProcessLook, last: ProcessLook): string | undefined {
  if (!last.active) return `the program has ended (${last.words})`;
  if (last.restarts > first.restarts)
    return `the program was restarted ${last.restarts - first.restarts} times by systemd`;
  if (last.pid !== first.pid || last.startedAtUs !== first.startedAtUs) {
    return `another process runs (pid ${last.pid}, was ${first.pid})`;
  }
  return undefined;
}

/** Why a process has to be called ill that has dumped core so often, or a child of it. */
export const dumpedCore = (times: number): string =>
  `a process of it has dumped core ${times === 1 ? 'once' : `${times} times`} since it was started`;

/**
 * Whether the way back may be taken: old and new environment were asked the same in the same window. `needs` says what has to be
 * proved: that the old one is `better` (a machine found the new one ill) or only `able` (a person asked, or the switch itself
 * failed). Where it is not (a cut network makes both look dead), nothing may move without `--force`.
 */
export function judgeWayBack(
  old: readonly Sample[],
  current: readonly Sample[],
  situation: {
    readonly needs: 'better' | 'able';
    readonly currentIsIll: boolean;
    readonly latencyFloorMs: number;
  },
): Verdict {
  const [oldShare, currentShare] = [servedShare(old), servedShare(current)];
  if (oldShare < 0.5) {
    const bad = old.find((sample) => !isServed(sample));
    return {
      kind: 'inconclusive',
      because: `the old environment does not answer (${bad ? describeSample(bad) : 'no sample'})`,
    };
  }
  if (situation.needs === 'able') return { kind: 'pass' };
  if (current.length === 0) return { kind: 'inconclusive', because: 'the new environment was not asked' };
  if (oldShare > currentShare) return { kind: 'pass' };
  if (
    oldShare === currentShare &&
    (situation.currentIsIll || isSlower(current, old, situation.latencyFloorMs))
  ) {
    return { kind: 'pass' };
  }
  return { kind: 'inconclusive', because: 'the old environment is not better than the new one' };
}

/** Whether a visitor was served: any answer that is neither the client's fault nor the server's. */
export const isServed = (sample: Sample): boolean =>
  sample.kind === 'answered' && sample.status >= 200 && sample.status < 400;

const servedShare = (samples: readonly Sample[]): number =>
  samples.length === 0 ? 0 : samples.filter(isServed).length / samples.length;

function isSlower(current: readonly Sample[], old: readonly Sample[], floorMs: number): boolean {
  return medianMs(current) > Math.max(floorMs, 1.5 * medianMs(old));
}

function medianMs(samples: readonly Sample[]): number {
  const times = samples
    .flatMap((sample) => (sample.kind === 'answered' ? [sample.tookMs] : []))
    .sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? 0;
}

/** How many samples at the end satisfy `test` without a gap. */
function trailing<T>(items: readonly T[], test: (item: T) => boolean): number {
  const lastMiss = items.findLastIndex((item) => !test(item));
  return items.length - 1 - lastMiss;
}
