import fc from 'fast-check';
import { expect, test } from 'vitest';
import { colors, otherColor } from '../../domain/color.js';
import { allTo, describeSplit, sameSplit, wholly, type Split } from '../../domain/split.js';

const splits: fc.Arbitrary<Split> = fc
  .integer({ min: 0, max: 100 })
  .map((blue) => ({ blue, green: 100 - blue }));

test.for(colors)('all to %s leaves nothing for the other one', (color) => {
  expect(allTo(color)[color]).toBe(100);
  expect(allTo(color)[otherColor(color)]).toBe(0);
  expect(wholly(allTo(color))).toBe(color);
  expect(describeSplit(allTo(color))).toBe(`all to ${color}`);
});

test('a split is wholly one color exactly when the other one gets nothing', () => {
  fc.assert(
    fc.property(splits, (split) => {
      const color = wholly(split);
      expect(color === undefined).toBe(split.blue > 0 && split.green > 0);
      if (color) expect(sameSplit(split, allTo(color))).toBe(true);
    }),
  );
});

test('splits are the same exactly when their words are', () => {
  fc.assert(
    fc.property(splits, splits, (a, b) => {
      expect(sameSplit(a, b)).toBe(describeSplit(a) === describeSplit(b));
      expect(sameSplit(a, b)).toBe(sameSplit(b, a));
    }),
  );
});

test('a divided split names both shares', () => {
  expect(describeSplit({ blue: 95, green: 5 })).toBe('blue 95 %, green 5 %');
});
