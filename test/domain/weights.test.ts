import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Split } from '../../domain/split.js';
import {
  heaviest,
  lightest,
  smallestShare,
  splitOf,
  weightsFor,
  type PerColor,
} from '../../domain/weights.js';

const servers = (blue: number, green: number): PerColor => ({ blue, green });
const split = (green: number): Split => ({ blue: 100 - green, green });
const each = (weights: PerColor, of: PerColor) => [
  ...Array.from({ length: of.blue }, () => ['blue', weights.blue] as const),
  ...Array.from({ length: of.green }, () => ['green', weights.green] as const),
];

describe('the weights of a mixed farm', () => {
  test.each([
    [split(10), servers(1, 1), { blue: 9, green: 1 }],
    [split(10), servers(2, 2), { blue: 9, green: 1 }],
    [split(50), servers(3, 3), { blue: 1, green: 1 }],
    [split(50), servers(1, 4), { blue: 4, green: 1 }],
    [split(25), servers(2, 1), { blue: 3, green: 2 }],
    [split(1), servers(1, 1), { blue: 99, green: 1 }],
    [split(99), servers(1, 1), { blue: 1, green: 99 }],
  ])('divide as %o between %o servers by %o', (asked, of, weights) => {
    expect(weightsFor(asked, of)).toEqual(weights);
  });

  test.each([
    [split(0), servers(2, 2)],
    [split(100), servers(2, 2)],
    [split(10), servers(0, 2)],
    [split(0.2), servers(1, 1)],
    [split(1), servers(1, 50)],
  ])('are none for %o between %o servers', (asked, of) => {
    expect(weightsFor(asked, of)).toBeUndefined();
  });

  test('tell the smallest share: 1 of 257 with one server each', () => {
    expect(smallestShare('green', servers(1, 1))).toBeCloseTo(100 / 257, 10);
    expect(smallestShare('blue', servers(1, 2))).toBeCloseTo(100 / 513, 10);
  });

  const fleets = fc.record({ blue: fc.integer({ min: 1, max: 60 }), green: fc.integer({ min: 1, max: 60 }) });
  const shares = fc.integer({ min: 1, max: 99 });

  test('are in range, within a twentieth of what was asked, and none only below the smallest share', () => {
    fc.assert(
      fc.property(fleets, shares, (of, green) => {
        const asked = split(green);
        const weights = weightsFor(asked, of);
        if (!weights) {
          const [smaller, share] =
            green <= 50 ? (['green', green] as const) : (['blue', 100 - green] as const);
          return smallestShare(smaller, of) > share;
        }
        const share = (100 * of.green * weights.green) / (of.green * weights.green + of.blue * weights.blue);
        const isNear = Math.abs(share - green) <= Math.min(green, 100 - green) * 0.05 + 1e-9;
        return isNear && Object.values(weights).every((one) => one >= lightest && one <= heaviest);
      }),
    );
  });

  test('are read as the split that they were made for', () => {
    fc.assert(
      fc.property(fleets, shares, (of, green) => {
        const weights = weightsFor(split(green), of);
        fc.pre(weights !== undefined);
        expect(splitOf(each(weights, of))).toEqual(split(green));
      }),
    );
  });
});

describe('weights that somebody else has set', () => {
  test.each([
    [
      [
        ['blue', 1],
        ['green', 2],
      ],
      { blue: 33.3, green: 66.7 },
    ],
    [
      [
        ['blue', 1],
        ['blue', 2],
        ['green', 4],
      ],
      { blue: 42.8571, green: 57.1429 },
    ],
    [
      [
        ['blue', 1],
        ['blue', 3],
        ['green', 4],
      ],
      { blue: 50, green: 50 },
    ],
    [
      [
        ['blue', 5],
        ['green', 0],
      ],
      { blue: 100, green: 0 },
    ],
    [[['green', 1]], { blue: 0, green: 100 }],
  ] as const)('%o divide as %o', (weights, divided) => {
    expect(splitOf(weights)).toEqual(divided);
  });

  test('divide nothing where nobody has any', () => {
    expect(splitOf([['blue', 0]])).toBeUndefined();
    expect(splitOf([])).toBeUndefined();
  });
});
