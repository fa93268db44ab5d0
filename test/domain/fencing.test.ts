import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FencingToken } from '../../domain/deployment.js';
import { formatToken } from '../../domain/fencing.js';

const tokens: fc.Arbitrary<FencingToken> = fc.record({
  startedAtMs: fc.integer({ min: 0, max: 4_102_444_800_000 }),
  step: fc.integer({ min: 0, max: 999_999 }),
});

const inOrder = (a: FencingToken, b: FencingToken): number =>
  Math.sign(a.startedAtMs - b.startedAtMs || a.step - b.step);

test('the order of tokens as text is their order: a later deployment first, then a later step', () => {
  fc.assert(
    fc.property(tokens, tokens, (a, b) => {
      const [one, other] = [formatToken(a), formatToken(b)];
      expect(one < other ? -1 : one > other ? 1 : 0).toBe(inOrder(a, b));
    }),
  );
});

test('an executor of an earlier deployment is lower, however many steps it has taken', () => {
  expect(formatToken({ startedAtMs: 1, step: 999_999 }) < formatToken({ startedAtMs: 2, step: 0 })).toBe(
    true,
  );
});

test('a token is what the servers accept, also when an undo was tried a million times', () => {
  fc.assert(
    fc.property(tokens, fc.integer({ min: 0, max: 10_000_000 }), ({ startedAtMs }, step) => {
      expect(formatToken({ startedAtMs, step })).toMatch(/^[0-9]{15}-[0-9]{6}$/);
    }),
  );
  const late = [999_998, 999_999, 1_000_000, 1_000_001].map((step) => formatToken({ startedAtMs: 1, step }));
  expect(late.toSorted()).toEqual(late);
});
