import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isScalar, parseDocument } from 'yaml';
import { describePath } from '../../configuration/complaints.js';
import { parseSource, positionIn, type KeyPath } from '../../configuration/documents.js';
import { Refusal } from '../refusal.js';
import { readFiles } from './configuration.js';

/** One key that gets a value. */
export interface Edit {
  readonly path: KeyPath;
  readonly value: string;
}

export const describeEdit = ({ path, value }: Edit): string => `${describePath(path)}: ${value}`;

/**
 * Writes values into the file that each key's map stands in, and leaves everything else there as people wrote it.
 * @returns the files that were changed
 */
export function writeEdits(
  configPath: string,
  destination: string,
  edits: readonly Edit[],
): readonly string[] {
  const changed = new Map<string, string>();
  for (const edit of edits) {
    const sources = readFiles(configPath, destination);
    const files = sources.map(({ file }) =>
      parseSource(file, changed.get(file) ?? readFileSync(file, 'utf8')),
    );
    const { file } = positionIn(files, edit.path.slice(0, -1), 'key');
    const before = changed.get(file) ?? readFileSync(file, 'utf8');
    const after = withValue(before, edit, file);
    if (after !== before) changed.set(file, after);
  }
  for (const [file, text] of changed) {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
  return [...changed.keys()];
}

function withValue(text: string, { path, value }: Edit, file: string): string {
  const document = parseDocument(text);
  const node = document.getIn(path, true);
  // In its place, so that what stands around it stays to the byte.
  if (isScalar(node) && node.range) {
    const [start, end] = node.range;
    return `${text.slice(0, start)}${value}${text.slice(end)}`;
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
