import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isMap, isNode, isScalar, parseDocument } from 'yaml';
import { describePath } from '../../configuration/complaints.js';
import { overlay, parseSource, positionIn, type KeyPath } from '../../configuration/documents.js';
import { Refusal } from '../refusal.js';
import { readFiles } from './configuration.js';

/** One key that gets a value. */
export interface Edit {
  readonly path: KeyPath;
  readonly value: string | number | readonly (string | number)[];
}

export const describeEdit = ({ path, value }: Edit): string =>
  `${describePath(path)}: ${typeof value === 'object' ? `[${value.join(', ')}]` : value}`;

/**
 * Writes values into the file that each key's map stands in, and leaves everything else there as people wrote it.
 * @returns the files that were changed
 */
export function writeEdits(
  configPath: string,
  destination: string,
  edits: readonly Edit[],
): readonly string[] {
  const changed = edited(configPath, destination, edits);
  for (const [file, text] of changed) {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
  return [...changed.keys()];
}

/** The files that `writeEdits` would change, with what would stand there. */
export function edited(
  configPath: string,
  destination: string,
  edits: readonly Edit[],
): ReadonlyMap<string, string> {
  const changed = new Map<string, string>();
  const sources = readFiles(configPath, destination);
  const written = sources.map(({ value }) => value).reduce(overlay);
  for (const edit of edits) {
    if (isDeepStrictEqual(valueAt(written, edit.path), edit.value)) continue;
    const files = sources.map(({ file }) =>
      parseSource(file, changed.get(file) ?? readFileSync(file, 'utf8')),
    );
    const { file } = positionIn(files, edit.path.slice(0, -1), 'key');
    const before = changed.get(file) ?? readFileSync(file, 'utf8');
    const after = withValue(before, edit, file);
    if (after !== before) changed.set(file, after);
  }
  return changed;
}

/** What stands below a key at the top of a file's text, with the key and as people wrote it. */
export function sectionIn(text: string, key: string): string | undefined {
  const { contents } = parseDocument(text);
  const pair = isMap(contents)
    ? contents.items.find((item) => isScalar(item.key) && item.key.value === key)
    : undefined;
  const start = isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
  const end = isNode(pair?.value) ? pair.value.range?.[1] : undefined;
  return start === undefined || end === undefined ? undefined : text.slice(start, end).trimEnd();
}

const valueAt = (value: unknown, path: KeyPath): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );

function withValue(text: string, { path, value }: Edit, file: string): string {
  const document = parseDocument(text);
  const node = document.getIn(path, true);
  // In its place, so that what stands around it stays to the byte.
  if (isScalar(node) && node.range && typeof value !== 'object') {
    const [start, end] = node.range;
    return `${text.slice(0, start)}${String(value)}${text.slice(end)}`;
  }
  try {
    document.setIn(path, value);
  } catch (error) {
    throw new Refusal(
      `Cannot write ${describePath(path)} into ${file}: it stands in something that is used in several places, needs to be written by hand\n  ${describeEdit({ path, value })}`,
      { cause: error },
    );
  }
  return document.toString({ lineWidth: 0 });
}
