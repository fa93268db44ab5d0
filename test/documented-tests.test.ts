import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const docs = fileURLToPath(new URL('../docs', import.meta.url));

interface Named {
  readonly title: string;
  readonly file: string;
}

/** `[title](../test/file.test.ts)` wherever a document has it. */
const namedIn = (text: string): readonly Named[] =>
  [...text.matchAll(/\[((?:[^\]\\]|\\.)+)\]\((\.\.\/test\/[^)\s]+)\)/g)].map(([, title = '', file = '']) => ({
    title: title.replaceAll(/\\(.)/g, '$1'),
    file,
  }));

/** The titles in a file of tests, as patterns: what a table or a loop fills in may be anything. */
function titlesIn(source: string): readonly RegExp[] {
  const openings = [
    /\b(?:test|describe)(?:\.(?!each)\w+(?:\([^()]*\))?)*\(\s*/g, // test('...', test.skipIf(x)('...'
    /\)\(\s*/g, // test.each([...])('...'
  ];
  return openings
    .flatMap((opening) => [...source.matchAll(opening)])
    .flatMap(({ index, 0: matched }) => {
      const [, quote, title] =
        /^(['"`])((?:\\.|(?!\1)[^\\])*)\1/.exec(source.slice(index + matched.length)) ?? [];
      return quote === undefined || title === undefined || isOnlyFilledIn(title)
        ? []
        : [patternOf(title.replaceAll(/\\(['"`])/g, '$1'))];
    });
}

/** A title that a table makes alone names nothing. */
const isOnlyFilledIn = (title: string): boolean => !/[a-z]{2}/i.test(title.split(filledIn).join(''));

const filledIn = /\$\{[^}]*\}|%[sdifjo]|\$[a-z][\w.]*/;

function patternOf(title: string): RegExp {
  const parts = title.split(filledIn);
  return new RegExp(
    `^${parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+')}$`,
    's',
  );
}

function isThere({ title, file }: Named): boolean {
  const path = join(docs, file);
  return existsSync(path) && titlesIn(readFileSync(path, 'utf8')).some((pattern) => pattern.test(title));
}

describe('titles of tests', () => {
  const source = [
    `test('one', () => {});`,
    `test.skipIf(!isHere)("it's two", () => {});`,
    'test(`three ${count} times`, () => {});',
    `test.each([1, 2])('four by %i', () => {});`,
    `test.each<[string, number]>([\n  ['a', 1],\n] as const)(\n  'five of %s',\n  () => {});`,
  ].join('\n');

  test.each(['one', "it's two", 'three 9 times', 'four by 2', 'five of a'])('are found: %s', (title) => {
    expect(titlesIn(source).some((pattern) => pattern.test(title))).toBe(true);
  });

  test.each(['on', 'one more', 'three times', 'four by', 'a'])(
    'are not found where there are none: %s',
    (title) => {
      expect(titlesIn(source).some((pattern) => pattern.test(title))).toBe(false);
    },
  );
});

describe.each(readdirSync(docs).filter((name) => name.endsWith('.md')))('docs/%s', (name) => {
  test('names only tests that there are', () => {
    const named = namedIn(readFileSync(join(docs, name), 'utf8'));
    expect(named.filter((each) => !isThere(each))).toEqual([]);
  });
});

/** Pages whose every row promises something, and so names what proves it. */
describe.each(['ovh-assumptions.md', 'ovh-reported-pain.md'])('each row of docs/%s', (name) => {
  const rows = readFileSync(join(docs, name), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\| *-/.test(line));
  const isHeading = (line: string): boolean => /\| *(option, )?test *\|$/.test(line);

  test('names a test, or says why there is none', () => {
    expect(rows.filter(isHeading).length).toBeGreaterThan(0);
    const without = rows.filter((row) => !isHeading(row) && namedIn(row).length === 0);
    expect(without.filter((row) => !/\| *none: [^|]{20,}\|$/.test(row))).toEqual([]);
    expect(rows.length - without.length).toBeGreaterThan(10);
  });
});

test('the tests that documents name are in this folder', () => {
  const all = readdirSync(docs)
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) => namedIn(readFileSync(join(docs, name), 'utf8')));
  expect(all.length).toBeGreaterThan(50);
  for (const { file } of all) expect(dirname(join(docs, file))).toContain('/test');
});
