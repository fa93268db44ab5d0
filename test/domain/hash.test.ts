import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashOf } from '../../domain/hash.js';

/** The same members in another order, at every depth. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, shuffled(member)]),
  );
}

describe('a hash', () => {
  test('is the SHA-256 of the canonical JSON', () => {
    const text = '{"a":[1,"x",null],"b":{"c":true}}';
    const expected = createHash('sha256').update(text).digest('hex');
    expect(hashOf({ b: { c: true }, a: [1, 'x', null] })).toBe(expected);
  });

  test('does not depend on the order of keys, at any depth', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(hashOf(shuffled(value))).toBe(hashOf(value));
      }),
    );
  });

  test('is the same after a trip through JSON, as a workflow sees it', () => {
    fc.assert(
      fc.property(
        fc.object({
          withNullPrototype: false,
          values: [fc.string(), fc.integer(), fc.boolean(), fc.constant(undefined)],
        }),
        (value) => {
          expect(hashOf(JSON.parse(JSON.stringify(value)))).toBe(hashOf(value));
        },
      ),
    );
  });

  test('does not count members that are undefined', () => {
    expect(hashOf({ a: 1, b: undefined })).toBe(hashOf({ a: 1 }));
    expect(hashOf({ a: 1, b: null })).not.toBe(hashOf({ a: 1 }));
  });

  test('differs where a member is changed, added or moved', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, key) => {
        expect(hashOf([value])).not.toBe(hashOf([value, value]));
        expect(hashOf({ [key]: value })).not.toBe(hashOf({ [`${key}'`]: value }));
        expect(hashOf({ [key]: value })).not.toBe(hashOf([value]));
      }),
    );
  });

  test.for<[unknown, unknown]>([
    [
      ['a', 'b'],
      ['b', 'a'],
    ],
    [['a,b'], ['a', 'b']],
    [{ a: { b: 1 } }, { a: 1, b: 1 }],
    ['1', 1],
    [{}, []],
    ['{"a":1}', { a: 1 }],
  ])('tells %j from %j', ([a, b]) => {
    expect(hashOf(a)).not.toBe(hashOf(b));
  });
});
