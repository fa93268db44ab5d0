import type { Verdict } from './health.js';

/** One second of the prober's requests. */
export interface TrafficWindow {
  /** Epoch milliseconds of its begin. */
  readonly atMs: number;
  readonly sent: number;
  readonly failed: number;
  /** Kept-alive connections closed by the other side just as they were used; not failures of the service. */
  readonly idleClosed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Why requests failed, and how often. */
export type FailureKinds = Readonly<Record<string, number>>;

/**
 * The sum of what the prober saw: the zero-drop certificate. Seconds without a living prober are
 * unobserved, never good.
 */
export interface Tally {
  readonly sent: number;
  readonly failed: number;
  readonly idleClosed: number;
  readonly failures: FailureKinds;
  /** Longest time between two good answers, in milliseconds. */
  readonly longestGapMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly observedMs: number;
  readonly unobservedMs: number;
}

export const emptyTally: Tally = {
  sent: 0,
  failed: 0,
  idleClosed: 0,
  failures: {},
  longestGapMs: 0,
  p50Ms: 0,
  p99Ms: 0,
  observedMs: 0,
  unobservedMs: 0,
};

/** What one stretch of probing brought: its sum and its last windows. */
export interface TrafficReport {
  readonly tally: Tally;
  readonly windows: readonly TrafficWindow[];
  /** Says why the stretch ended before its time, when it was judged. */
  readonly verdict: Verdict;
}

/** Adds two tallies. Percentiles cannot be added: the worse one is kept, so the sum never flatters. */
export function addTallies(a: Tally, b: Tally): Tally {
  const failed: Record<string, number> = { ...a.failures };
  for (const [kind, count] of Object.entries(b.failures)) failed[kind] = (failed[kind] ?? 0) + count;
  return {
    sent: a.sent + b.sent,
    failed: a.failed + b.failed,
    idleClosed: a.idleClosed + b.idleClosed,
    failures: failed,
    longestGapMs: Math.max(a.longestGapMs, b.longestGapMs),
    p50Ms: Math.max(a.p50Ms, b.p50Ms),
    p99Ms: Math.max(a.p99Ms, b.p99Ms),
    observedMs: a.observedMs + b.observedMs,
    unobservedMs: a.unobservedMs + b.unobservedMs,
  };
}

/** Adds tallies of the same time: a moment was watched when all of them watched it. */
export function besideEachOther(tallies: readonly Tally[]): Tally {
  const least = Math.min(...tallies.map(({ observedMs }) => observedMs));
  const longest = Math.max(...tallies.map(({ observedMs, unobservedMs }) => observedMs + unobservedMs));
  return { ...tallies.reduce(addTallies), observedMs: least, unobservedMs: longest - least };
}

/** Share of the time that was watched, 0 to 1. */
export const coverage = ({ observedMs, unobservedMs }: Tally): number =>
  observedMs + unobservedMs === 0 ? 0 : observedMs / (observedMs + unobservedMs);

/**
 * The largest share of failing requests that the sample cannot rule out, with 95 % confidence
 * (the "rule of three": with no failure among n, 3/n; https://jamanetwork.com/journals/jama/article-abstract/385438).
 * With failures, the upper end of the Wilson interval, where that is not below what no failure at all would leave.
 */
export function failureBound({ sent, failed }: Tally): number {
  if (sent === 0) return 1;
  const withoutFailure = Math.min(1, 3 / sent);
  if (failed === 0) return withoutFailure;
  const z = 1.96;
  const share = failed / sent;
  const centre = share + (z * z) / (2 * sent);
  const spread = z * Math.sqrt((share * (1 - share)) / sent + (z * z) / (4 * sent * sent));
  return Math.max(withoutFailure, Math.min(1, (centre + spread) / (1 + (z * z) / sent)));
}

/** What the service was like before the switch, against which the new environment is judged. */
export interface Baseline {
  readonly requests: number;
  readonly errorRate: number;
  readonly p99Ms: number;
}

export interface BakePolicy {
  readonly maxErrorRate: number;
  readonly maxLatencyRatio: number;
  readonly latencyFloorMs: number;
  readonly minRequests: number;
}

/** The median of the windows' percentiles: one bad second before the switch does not excuse the new. */
export function baselineOf(windows: readonly TrafficWindow[]): Baseline {
  const requests = sum(windows.map((window) => window.sent));
  return {
    requests,
    errorRate: requests === 0 ? 0 : sum(windows.map((window) => window.failed)) / requests,
    p99Ms: median(windows.filter((window) => window.sent > 0).map((window) => window.p99Ms)),
  };
}

/**
 * Judges the new environment under traffic, from the sum since the switch and its last windows. Fails as soon as they
 * prove illness; passes only when asked at the end (`final`), and never on fewer requests than the policy wants.
 */
export function judgeTraffic(
  { tally, windows }: Pick<TrafficReport, 'tally' | 'windows'>,
  baseline: Baseline,
  policy: BakePolicy,
  final: boolean,
): Verdict {
  const illness = errorsOf(tally, windows, policy) ?? slownessOf(windows, baseline, policy);
  if (illness) return { kind: 'fail', because: illness };
  return final ? judgeEnd(tally, policy) : { kind: 'undecided' };
}

/** What nobody asked for, and what too few asked for, is not good. */
function judgeEnd({ sent, failed }: Tally, { minRequests, maxErrorRate }: BakePolicy): Verdict {
  const needed = Math.max(1, minRequests);
  if (sent < needed)
    return { kind: 'inconclusive', because: `only ${sent} requests were seen, needs ${needed}` };
  if (failed / sent > maxErrorRate) {
    const because = `${failed} of ${sent} requests failed: too few to prove illness, too many to pass`;
    return { kind: 'inconclusive', because };
  }
  return { kind: 'pass' };
}

/** A failure counts whether it is spread over the bake or crowded into the last seconds. */
function errorsOf(tally: Tally, windows: readonly TrafficWindow[], policy: BakePolicy): string | undefined {
  const recent = windows.slice(-recentWindows);
  const spans = [
    tally,
    { sent: sum(recent.map((window) => window.sent)), failed: sum(recent.map((window) => window.failed)) },
  ];
  for (const { sent, failed } of spans) {
    if (sent >= enoughRequests && failed / sent > policy.maxErrorRate) {
      return `${failed} of ${sent} requests failed, at most ${percent(policy.maxErrorRate)} may`;
    }
  }
  return undefined;
}

function slownessOf(
  windows: readonly TrafficWindow[],
  baseline: Baseline,
  policy: BakePolicy,
): string | undefined {
  const recent = windows.filter((window) => window.sent > 0).slice(-recentWindows);
  if (recent.length < recentWindows || baseline.requests === 0) return undefined;
  const limitMs = Math.max(policy.latencyFloorMs, baseline.p99Ms * policy.maxLatencyRatio);
  const p99Ms = median(recent.map((window) => window.p99Ms));
  if (p99Ms <= limitMs) return undefined;
  return `p99 is ${Math.round(p99Ms)} ms, was ${Math.round(baseline.p99Ms)} ms before the switch, at most ${Math.round(limitMs)} ms may be`;
}

/** Seconds that must agree before slowness is believed. */
const recentWindows = 3;

/** Fewer requests than these prove no illness: one failure among three is not a rate. */
const enoughRequests = 20;

const percent = (share: number): string => `${+(share * 100).toFixed(3)} %`;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
