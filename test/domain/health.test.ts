import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  describeSample,
  isGood,
  isServed,
  judgeServer,
  judgeWayBack,
  whyNotTheSame,
  type ProcessLook,
  type Sample,
  type Verdict,
} from '../../domain/health.js';

const ok: Sample = { kind: 'answered', status: 200, tookMs: 5 };
const bad: Sample = { kind: 'answered', status: 503, tookMs: 5 };
const silent: Sample = { kind: 'silent', because: 'connection refused' };
const slow: Sample = { ...ok, tookMs: 900 };

const look: ProcessLook = { active: true, pid: 100, startedAtUs: 7, restarts: 0, words: 'active (running)' };
const policy = { passes: 3, status: 200 };

const samples = fc.array(fc.constantFrom(ok, bad, silent));
const times = (count: number, sample: Sample): readonly Sample[] =>
  Array.from({ length: count }, () => sample);

describe('a server', () => {
  test.for<[string, readonly Sample[], Partial<ProcessLook>, Verdict['kind']]>([
    ['has nothing proved without samples', [], {}, 'undecided'],
    ['has nothing proved by too few answers', [ok, ok], {}, 'undecided'],
    ['is proved by enough good answers in a row', [bad, silent, ok, ok, ok], {}, 'pass'],
    ['is not proved by good answers with a gap', [ok, ok, bad, ok], {}, 'undecided'],
    ['stays undecided while it is not healthy: it may be starting', times(50, bad), {}, 'undecided'],
    ['fails when its program has ended', [ok, ok, ok], { active: false, words: 'failed (signal)' }, 'fail'],
    ['fails when systemd started it again', [ok, ok, ok], { restarts: 1 }, 'fail'],
    ['fails when another process runs', [ok, ok, ok], { pid: 200 }, 'fail'],
    ['fails when the same pid was given to another process', [ok, ok, ok], { startedAtUs: 8 }, 'fail'],
  ])('%s', ([, seen, change, expected]) => {
    expect(judgeServer(seen, look, { ...look, ...change }, policy).kind).toBe(expected);
  });

  test('is never proved by fewer good answers than wanted, nor by the last one being bad', () => {
    fc.assert(
      fc.property(samples, fc.integer({ min: 1, max: 6 }), (seen, passes) => {
        const verdict = judgeServer(seen, look, look, { passes, status: 200 });
        const enough = seen.length >= passes && seen.slice(-passes).every((sample) => sample === ok);
        expect(verdict.kind).toBe(enough ? 'pass' : 'undecided');
      }),
    );
  });

  test('fails however good its answers are once the process is not the same', () => {
    fc.assert(
      fc.property(
        samples,
        fc.constantFrom({ active: false }, { pid: 1 }, { restarts: 2 }),
        (seen, change) => {
          const last = { ...look, ...change };
          expect(judgeServer([...seen, ok, ok, ok], look, last, policy)).toEqual({
            kind: 'fail',
            because: whyNotTheSame(look, last),
          });
        },
      ),
    );
  });

  test('is told why: how systemd words it, how often it was restarted, which process runs', () => {
    expect(whyNotTheSame(look, look)).toBeUndefined();
    expect(whyNotTheSame(look, { ...look, active: false, words: 'failed, signal' })).toContain(
      'failed, signal',
    );
    expect(whyNotTheSame(look, { ...look, restarts: 3 })).toContain('restarted 3 times');
    expect(whyNotTheSame(look, { ...look, pid: 7 })).toContain('pid 7, was 100');
  });
});

describe('a sample', () => {
  test.for<[Sample, boolean, boolean, string]>([
    [ok, true, true, 'HTTP 200'],
    [{ ...ok, status: 204 }, false, true, 'HTTP 204'],
    [{ ...ok, status: 302 }, false, true, 'HTTP 302'],
    [{ ...ok, status: 404 }, false, false, 'HTTP 404'],
    [bad, false, false, 'HTTP 503'],
    [silent, false, false, 'connection refused'],
  ])('%j: good %s, served %s', ([sample, good, served, words]) => {
    expect(isGood(sample, { status: 200 })).toBe(good);
    expect(isServed(sample)).toBe(served);
    expect(describeSample(sample)).toBe(words);
  });
});

describe('the way back', () => {
  const better = { needs: 'better', currentIsIll: false, latencyFloorMs: 50 } as const;
  const able = { ...better, needs: 'able' } as const;
  const ill = { ...better, currentIsIll: true } as const;

  test.for<
    [string, readonly Sample[], readonly Sample[], typeof better | typeof able | typeof ill, Verdict['kind']]
  >([
    ['is taken where the old serves and the new does not', [ok, ok], [bad, silent], better, 'pass'],
    ['is taken where the old serves more', [ok, ok], [ok, bad], better, 'pass'],
    ['is not taken where both serve alike', [ok, ok], [ok, ok], better, 'inconclusive'],
    ['is taken where both serve, and the new was seen to die', [ok, ok], [ok, ok], ill, 'pass'],
    ['is taken where both serve, and the new is slow', [ok, ok], [slow, slow], better, 'pass'],
    ['is not taken where the old is the slow one', [slow, slow], [ok, ok], better, 'inconclusive'],
    ['is not taken where both look dead', [silent, silent], [silent, silent], better, 'inconclusive'],
    ['is not taken where both look dead, even to a person', [silent, silent], [ok, ok], able, 'inconclusive'],
    ['is not taken where the old serves less', [ok, bad], [ok, ok], ill, 'inconclusive'],
    ['is taken for a person where the old serves', [ok, ok], [ok, ok], able, 'pass'],
    ['is not taken without samples of the old', [], [bad], better, 'inconclusive'],
    ['is not taken without samples of the old, even for a person', [], [], able, 'inconclusive'],
    ['is not taken by a machine without samples of the new', [ok], [], better, 'inconclusive'],
  ])('%s', ([, old, current, situation, expected]) => {
    expect(judgeWayBack(old, current, situation).kind).toBe(expected);
  });

  test('is never taken to an environment that serves less than half', () => {
    fc.assert(
      fc.property(samples, samples, fc.constantFrom(better, able, ill), (old, current, situation) => {
        const served = old.filter(isServed).length;
        if (old.length === 0 || served / old.length < 0.5) {
          expect(judgeWayBack(old, current, situation).kind).toBe('inconclusive');
        }
      }),
    );
  });

  test('is never taken by a machine to what serves less than what it leaves', () => {
    fc.assert(
      fc.property(samples, samples, fc.constantFrom(better, ill), (old, current, situation) => {
        const share = (seen: readonly Sample[]) => seen.filter(isServed).length / Math.max(1, seen.length);
        if (share(old) < share(current)) {
          expect(judgeWayBack(old, current, situation).kind).not.toBe('pass');
        }
      }),
    );
  });

  test('says what the old environment answered', () => {
    expect(judgeWayBack([silent], [ok], able)).toMatchObject({
      because: expect.stringContaining('connection refused'),
    });
  });
});
