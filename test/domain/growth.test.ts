import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HoldingsSoFar, leakIn, type Holdings } from '../../domain/growth.js';

const everyMs = 1_000;

/** Looks at a process, one a second. */
const looks = (
  count: number,
  descriptors: (index: number) => number,
  megabytes: (index: number) => number = () => 10,
): readonly Holdings[] =>
  Array.from({ length: count }, (_, index) => ({
    atMs: index * everyMs,
    descriptors: Math.round(descriptors(index)),
    descriptorLimit: 4096,
    residentKilobytes: Math.round(megabytes(index) * 1024),
    memoryKilobytes: 8 * 1024 * 1024,
  }));

const steadily = (index: number) => 20 + 10 * index;

describe('a process leaks', () => {
  test('where descriptors grow all the time', () => {
    expect(leakIn(looks(20, steadily))).toBe('open descriptors grow without end: 20, and 210 after 19 s');
  });

  test('where memory does', () => {
    const grows = (index: number) => 10 + 5 * index;
    expect(leakIn(looks(20, () => 20, grows))).toBe('memory grows without end: 10 MB, and 105 MB after 19 s');
  });

  test('also when it begins late', () => {
    const process = new HoldingsSoFar();
    const late = looks(600, (index) => 20 + 10 * Math.max(0, index - 500));
    const found = late.map((look) => process.take(look));
    expect(found.slice(0, 500).filter(Boolean)).toEqual([]);
    expect(found.filter(Boolean)).not.toEqual([]);
  });
});

describe('a process does not leak', () => {
  test.for<[string, readonly Holdings[]]>([
    ['it was seen too rarely', looks(11, steadily)],
    ['it takes up visitors and then holds', looks(40, (index) => 20 + 400 * (1 - 0.8 ** index))],
    [
      'a cache fills ever more slowly',
      looks(
        40,
        () => 20,
        (index) => 10 + 200 * (1 - 0.9 ** index),
      ),
    ],
    ['it opens and closes', looks(40, (index) => 20 + 300 * (index % 2))],
    [
      'it grows by little',
      looks(
        40,
        (index) => 20 + index,
        (index) => 10 + index / 10,
      ),
    ],
    ['what it grows by is little beside what it held', looks(40, (index) => 1_000 + 5 * index)],
    [
      'it would last for hours',
      looks(
        40,
        () => 20,
        (index) => 20 + index / 2,
      ),
    ],
  ])('where %s', ([, seen]) => {
    expect(leakIn(seen)).toBeUndefined();
  });

  test('where what it holds moves around a level, however much', () => {
    const around = fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 12, maxLength: 80 });
    fc.assert(
      fc.property(around, (amounts) => {
        // The same again: whatever rises comes down.
        const there = looks(amounts.length * 2, (index) => amounts[index % amounts.length]!);
        expect(leakIn(there)).toBeUndefined();
      }),
    );
  });
});
