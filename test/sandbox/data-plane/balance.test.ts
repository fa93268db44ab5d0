import fc from 'fast-check';
import { expect, test } from 'vitest';

import { pick } from '../../../sandbox/data-plane/balance.js';

interface Candidate {
  readonly name: string;
  readonly weight: number;
  inFlight: number;
  credit: number;
}

const candidate = (name: string, weight: number, inFlight = 0): Candidate => ({
  name,
  weight,
  inFlight,
  credit: 0,
});

test('round robin gives every server its exact share of each round', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 256 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const candidates = weights.map((weight, index) => candidate(String(index), weight));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const counts = new Map<string, number>();
      for (let turn = 0; turn < total; turn++) {
        const { name } = pick('roundrobin', candidates, '')!;
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      expect(candidates.map(({ name }) => counts.get(name))).toEqual(weights);
    }),
  );
});

test('least connections goes by load per weight, and takes turns among equals', () => {
  const [a, b, c] = [candidate('a', 1, 2), candidate('b', 2, 2), candidate('c', 1, 1)];

  const names = Array.from({ length: 6 }, () => pick('leastconn', [a, b, c], '')?.name);

  expect(names.filter((name) => name === 'a')).toEqual([]);
  expect(new Set(names)).toEqual(new Set(['b', 'c']));
});

test('source keeps a client on its server', () => {
  const candidates = [candidate('a', 1), candidate('b', 1), candidate('c', 1)];
  const addresses = Array.from({ length: 60 }, (_, index) => `192.0.2.${index}`);

  const first = addresses.map((address) => pick('source', candidates, address)?.name);

  expect(addresses.map((address) => pick('source', candidates, address)?.name)).toEqual(first);
  expect(new Set(first).size).toBe(3);
});

test('first is the first', () => {
  expect(pick('first', [candidate('a', 1), candidate('b', 9)], '')?.name).toBe('a');
  expect(pick('first', [], '')).toBeUndefined();
});
