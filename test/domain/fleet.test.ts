import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  atLeast,
  atMost,
  describeLeftBehind,
  isAboutOneServer,
  mayBeLeftBehind,
  type Amount,
} from '../../domain/fleet.js';
import { ServerName } from '../../domain/names.js';

const deadlines = { serverDeadlineMs: 1, progressDeadlineMs: 1 };

describe('how many servers may be left behind', () => {
  test.for<[Amount, Amount, number, number]>([
    [0, 1, 10, 0],
    [1, 1, 10, 1],
    [{ share: 0.1 }, 1, 10, 1],
    [{ share: 0.1 }, 1, 9, 0],
    [{ share: 0.29 }, 1, 100, 29],
    [{ share: 0.5 }, { share: 0.75 }, 10, 2],
    [{ share: 1 }, 1, 4, 3],
    [5, { share: 1 }, 4, 0],
    [1, 1, 1, 0],
    [3, 9, 4, 0],
  ])('%o may fail, %o have to be left, of %d: %d', ([mayFail, minCapacity, size, expected]) => {
    expect(mayBeLeftBehind({ mayFail, minCapacity, ...deadlines }, size)).toBe(expected);
  });

  test('never all of them, never more than may fail, never so many that capacity is missing', () => {
    const amount = fc.oneof(
      fc.nat(20),
      fc.integer({ min: 0, max: 100 }).map((percent) => ({ share: percent / 100 })),
    );
    fc.assert(
      fc.property(amount, amount, fc.integer({ min: 1, max: 200 }), (mayFail, minCapacity, size) => {
        const left = mayBeLeftBehind({ mayFail, minCapacity, ...deadlines }, size);
        expect(left).toBeGreaterThanOrEqual(0);
        expect(left).toBeLessThan(size);
        expect(left).toBeLessThanOrEqual(atMost(mayFail, size));
        if (left > 0) expect(size - left).toBeGreaterThanOrEqual(atLeast(minCapacity, size));
      }),
    );
  });
});

test.for([
  ['ServerUnreachable', true],
  ['ServerTooSlow', true],
  ['StartFailed', true],
  ['PortTaken', true],
  ['DiskReadOnly', true],
  ['Unexpected', true],
  ['ExecutorFenced', false],
  ['EnvironmentHasTraffic', false],
  ['ForeignRelease', false],
  ['DigestMismatch', false],
  ['Cancelled', false],
  ['TakenOver', false],
] as const)('%s speaks of one server alone: %s', ([failure, expected]) => {
  expect(isAboutOneServer({ failure, message: '' })).toBe(expected);
});

test('is told in one line', () => {
  expect(describeLeftBehind({ server: ServerName('green-3'), because: 'Cannot start\nlast words' })).toBe(
    'green-3: Cannot start',
  );
});
