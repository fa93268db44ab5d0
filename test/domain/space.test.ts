import { expect, test } from 'vitest';
import { neededFor, shortage } from '../../domain/space.js';

const artifact = { sizeBytes: 10_240, unpackedBytes: 40_960, entries: 100 };
const needed = neededFor(artifact, 0);

test('an installation takes its archive, what is in it, and the blocks that files do not fill', () => {
  expect(needed).toEqual({ bytes: 10_240 + 40_960 + 100 * 4096 + 1024 * 1024, inodes: 150 });
});

test.each<[string, Parameters<typeof shortage>[0], string | undefined]>([
  ['just enough', { bytes: needed.bytes, inodes: needed.inodes }, undefined],
  ['no limit of inodes', { bytes: needed.bytes, inodes: undefined }, undefined],
  ['too few bytes', { bytes: 1024, inodes: 1e6 }, '1 KB are free, needs 1474 KB'],
  ['too few inodes', { bytes: 1e9, inodes: 149 }, '149 inodes are free, needs 150'],
  [
    'too little of both',
    { bytes: 0, inodes: 0 },
    '0 KB are free, needs 1474 KB and 0 inodes are free, needs 150',
  ],
])('%s', (_, free, words) => {
  expect(shortage(free, needed)).toBe(words);
});

test('what has to stay free for others is needed on top', () => {
  expect(neededFor(artifact, 1_000_000).bytes - needed.bytes).toBe(1_000_000);
  expect(shortage({ bytes: needed.bytes, inodes: undefined }, neededFor(artifact, 1_000_000))).toContain(
    'are free',
  );
});
