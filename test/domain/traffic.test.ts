import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Verdict } from '../../domain/health.js';
import {
  addTallies,
  besideEachOther,
  baselineOf,
  coverage,
  emptyTally,
  failureBound,
  judgeTraffic,
  type Baseline,
  type Tally,
  type TrafficWindow,
} from '../../domain/traffic.js';

const count = fc.nat({ max: 100_000 });
const tallies: fc.Arbitrary<Tally> = fc
  .record({
    sent: count,
    failed: count,
    idleClosed: count,
    failures: fc.dictionary(fc.constantFrom('HTTP 503', 'refused', 'timeout'), count),
    longestGapMs: count,
    p50Ms: count,
    p99Ms: count,
    observedMs: count,
    unobservedMs: count,
  })
  .map((tally) => ({ ...tally, failed: Math.min(tally.sent, tally.failed) }));

const seen = (sent: number, failed = 0): Tally => ({ ...emptyTally, sent, failed });
const second = (changes: Partial<TrafficWindow> = {}): TrafficWindow => ({
  atMs: 0,
  sent: 100,
  failed: 0,
  idleClosed: 0,
  p50Ms: 5,
  p99Ms: 10,
  ...changes,
});
const seconds = (length: number, changes: Partial<TrafficWindow> = {}): readonly TrafficWindow[] =>
  Array.from({ length }, () => second(changes));

describe('tallies', () => {
  test('add up the same whatever the order and the grouping', () => {
    fc.assert(
      fc.property(tallies, tallies, tallies, (a, b, c) => {
        expect(addTallies(a, b)).toEqual(addTallies(b, a));
        expect(addTallies(addTallies(a, b), c)).toEqual(addTallies(a, addTallies(b, c)));
      }),
    );
  });

  test('are not changed by nothing, and change nothing that they were made of', () => {
    fc.assert(
      fc.property(tallies, (tally) => {
        const before = structuredClone(tally);
        expect(addTallies(tally, emptyTally)).toEqual(tally);
        expect(addTallies(emptyTally, tally)).toEqual(tally);
        addTallies(tally, tally);
        expect(tally).toEqual(before);
      }),
    );
  });

  test('never flatter: the sum is as slow as its slowest part, and has every failure', () => {
    fc.assert(
      fc.property(tallies, tallies, (a, b) => {
        const sum = addTallies(a, b);
        expect(sum.p99Ms).toBe(Math.max(a.p99Ms, b.p99Ms));
        expect(sum.longestGapMs).toBe(Math.max(a.longestGapMs, b.longestGapMs));
        const kinds = (tally: Tally) =>
          Object.values(tally.failures).reduce((total, each) => total + each, 0);
        expect(kinds(sum)).toBe(kinds(a) + kinds(b));
      }),
    );
  });

  test('of the same time have watched what all of them have watched', () => {
    const one = { ...emptyTally, sent: 10, failed: 1, observedMs: 1_000 };
    const other = { ...emptyTally, sent: 5, observedMs: 600, unobservedMs: 300 };
    expect(besideEachOther([one])).toEqual(one);
    expect(besideEachOther([one, other])).toMatchObject({
      sent: 15,
      failed: 1,
      observedMs: 600,
      unobservedMs: 400,
    });
  });

  test('cover the share of the time that was watched; no time is no coverage', () => {
    expect(coverage(emptyTally)).toBe(0);
    expect(coverage({ ...emptyTally, observedMs: 750, unobservedMs: 250 })).toBe(0.75);
    fc.assert(
      fc.property(tallies, (tally) => {
        expect(coverage(tally)).toBeGreaterThanOrEqual(0);
        expect(coverage(tally)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('the bound on unseen failures', () => {
  const sample = fc
    .tuple(fc.integer({ min: 1, max: 1_000_000 }), fc.nat({ max: 1_000_000 }))
    .map(([sent, failed]) => ({ sent, failed: Math.min(sent, failed) }));

  test.for<[number, number, number]>([
    [0, 0, 1],
    [1, 0, 1],
    [300, 0, 0.01],
    [3_000_000, 0, 0.000001],
    [100, 100, 1],
    [100, 10, 0.1744],
  ])('of %i sent and %i failed is %f', ([sent, failed, expected]) => {
    expect(failureBound(seen(sent, failed))).toBeCloseTo(expected, 4);
  });

  test('is never below what was seen to fail, and never above one', () => {
    fc.assert(
      fc.property(sample, ({ sent, failed }) => {
        const bound = failureBound(seen(sent, failed));
        expect(bound).toBeGreaterThanOrEqual(failed / sent - 1e-9);
        expect(bound).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('grows with every failure and shrinks with every good answer', () => {
    fc.assert(
      fc.property(sample, ({ sent, failed }) => {
        const bound = failureBound(seen(sent, failed));
        expect(failureBound(seen(sent + 1, failed))).toBeLessThanOrEqual(bound + 1e-9);
        if (failed < sent) expect(failureBound(seen(sent, failed + 1))).toBeGreaterThanOrEqual(bound - 1e-9);
      }),
    );
  });
});

describe('what the service was like before', () => {
  test('is the median of its seconds: one bad second excuses nothing', () => {
    const windows = [...seconds(9, { p99Ms: 10 }), second({ p99Ms: 5_000 })];
    expect(baselineOf(windows)).toEqual({ requests: 1_000, errorRate: 0, p99Ms: 10 });
  });

  test('counts failures over all its requests', () => {
    expect(baselineOf([second({ failed: 5 }), second()]).errorRate).toBe(0.025);
  });

  test('does not take seconds without a request for fast ones', () => {
    expect(baselineOf([second({ p99Ms: 40 }), ...seconds(5, { sent: 0, p99Ms: 0 })]).p99Ms).toBe(40);
  });

  test('is nothing without requests', () => {
    expect(baselineOf([])).toEqual({ requests: 0, errorRate: 0, p99Ms: 0 });
  });
});

describe('the new environment under traffic', () => {
  const policy = { maxErrorRate: 0.01, maxLatencyRatio: 2, latencyFloorMs: 50, minRequests: 200 };
  const baseline: Baseline = { requests: 1_000, errorRate: 0, p99Ms: 40 };

  test.for<[string, Tally, readonly TrafficWindow[], boolean, Verdict['kind']]>([
    ['is undecided while nothing speaks against it', seen(1_000), seconds(9), false, 'undecided'],
    ['passes at the end', seen(1_000), seconds(9), true, 'pass'],
    ['is inconclusive without a request', seen(0), [], true, 'inconclusive'],
    ['is inconclusive on too few requests', seen(199), seconds(2), true, 'inconclusive'],
    ['fails over the whole time', seen(1_000, 11), seconds(3), false, 'fail'],
    ['is let pass at the limit', seen(1_000, 10), seconds(3), true, 'pass'],
    [
      'fails in its last seconds, before the sum shows it',
      seen(100_000, 60),
      seconds(3, { failed: 20 }),
      false,
      'fail',
    ],
    [
      'is not called ill for one failure among few',
      seen(3, 1),
      [second({ sent: 3, failed: 1 })],
      false,
      'undecided',
    ],
    ['fails when it became slow', seen(1_000), seconds(3, { p99Ms: 81 }), false, 'fail'],
    ['is let be as slow as the policy allows', seen(1_000), seconds(3, { p99Ms: 80 }), true, 'pass'],
    [
      'is not called slow for one second',
      seen(1_000),
      [...seconds(2), second({ p99Ms: 900 })],
      false,
      'undecided',
    ],
    ['is not called slow on two seconds', seen(1_000), seconds(2, { p99Ms: 900 }), false, 'undecided'],
  ])('%s', ([, tally, windows, final, expected]) => {
    expect(judgeTraffic({ tally, windows }, baseline, policy, final).kind).toBe(expected);
  });

  test('is never held to a latency below the floor', () => {
    const fast = { ...baseline, p99Ms: 1 };
    const at = (p99Ms: number) =>
      judgeTraffic({ tally: seen(1_000), windows: seconds(3, { p99Ms }) }, fast, policy, true).kind;
    expect(at(50)).toBe('pass');
    expect(at(51)).toBe('fail');
  });

  test('is not compared with what was never seen', () => {
    const windows = seconds(3, { p99Ms: 9_000 });
    expect(judgeTraffic({ tally: seen(1_000), windows }, baselineOf([]), policy, true).kind).toBe('pass');
  });

  test('does not pass on nothing, even where a policy wants no requests', () => {
    const lenient = { ...policy, minRequests: 0 };
    expect(judgeTraffic({ tally: seen(0), windows: [] }, baseline, lenient, true).kind).toBe('inconclusive');
  });

  test('does not pass with failures that are too few to be a rate', () => {
    const lenient = { ...policy, minRequests: 5 };
    expect(judgeTraffic({ tally: seen(10, 9), windows: [] }, baseline, lenient, true).kind).toBe(
      'inconclusive',
    );
  });

  test('passes only with requests enough and failures few enough; says why otherwise', () => {
    fc.assert(
      fc.property(tallies, fc.boolean(), fc.nat({ max: 500 }), (tally, final, minRequests) => {
        const verdict = judgeTraffic({ tally, windows: [] }, baseline, { ...policy, minRequests }, final);
        if (verdict.kind === 'pass') {
          expect(final).toBe(true);
          expect(tally.sent).toBeGreaterThanOrEqual(Math.max(1, minRequests));
          expect(tally.failed / tally.sent).toBeLessThanOrEqual(policy.maxErrorRate);
        }
        if (verdict.kind === 'undecided') expect(final).toBe(false);
        if ('because' in verdict) expect(verdict.because).toMatch(/requests/);
      }),
    );
  });

  test('is not helped by one failure more', () => {
    const rank = { pass: 0, undecided: 0, inconclusive: 1, fail: 2 };
    fc.assert(
      fc.property(tallies, (tally) => {
        const one = { ...tally, failed: Math.min(tally.sent, tally.failed + 1) };
        const kind = (each: Tally) => judgeTraffic({ tally: each, windows: [] }, baseline, policy, true).kind;
        expect(rank[kind(one)]).toBeGreaterThanOrEqual(rank[kind(tally)]);
      }),
    );
  });
});
