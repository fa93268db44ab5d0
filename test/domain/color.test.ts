import { expect, test } from 'vitest';
import { colors, isColor, otherColor } from '../../domain/color.js';

test('there are two environments, and each is the other one of the other', () => {
  expect(colors).toEqual(['blue', 'green']);
  for (const color of colors) {
    expect(otherColor(color)).not.toBe(color);
    expect(otherColor(otherColor(color))).toBe(color);
  }
});

test.for(['Blue', 'red', '', 0, null, undefined, ['blue']])('%j is no environment', (value) => {
  expect(isColor(value)).toBe(false);
});
