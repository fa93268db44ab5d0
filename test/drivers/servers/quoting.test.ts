import { execaSync } from 'execa';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { shellLine } from '../../../drivers/servers/quoting.js';

test('leaves plain words as they are', () => {
  expect(shellLine(['sh', '-c', 'release=0f49-1'])).toBe('sh -c release=0f49-1');
});

test('hands every word over as it is, whatever it holds', () => {
  const word = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      const { stdout } = execaSync('sh', ['-c', shellLine(['printf', '%s\\0', ...words])], {
        stripFinalNewline: false,
      });
      expect(stdout).toBe(words.map((text) => `${text}\0`).join(''));
    }),
    { numRuns: 50 },
  );
});
