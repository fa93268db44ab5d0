import { closest, distance } from 'fastest-levenshtein';
import type { z } from 'zod';
import { positionIn, type KeyPath, type Position, type SourceError, type SourceFile } from './documents.js';

/** One thing that a configuration has wrong: what is the case and what is needed, at a key. */
export interface ConfigurationComplaint {
  readonly path: KeyPath;
  /** Whether the key or its value is to blame: where the position points. */
  readonly at: 'key' | 'value';
  readonly message: string;
}

/** Keys that each map of the schema knows; `undefined` where any key is welcome. */
export type KnownKeys = (path: KeyPath) => readonly string[] | undefined;

/** What the schema complains of, one complaint per key. */
export function complaintsOf(
  issues: readonly z.core.$ZodIssue[],
  known: KnownKeys,
  under: KeyPath = [],
): readonly ConfigurationComplaint[] {
  return issues.flatMap((issue) => {
    const path = [...under, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => unknownKey([...path, key], known));
    }
    if (issue.code === 'invalid_key') {
      const [why] = issue.issues;
      return [{ path, at: 'key' as const, message: why?.message ?? 'is not a name that can stand here' }];
    }
    return [{ path, at: 'value' as const, message: issue.message }];
  });
}

function unknownKey(path: KeyPath, known: KnownKeys): ConfigurationComplaint {
  const siblings = known(path.slice(0, -1)) ?? [];
  const meant = suggestion(String(path.at(-1)), siblings);
  return {
    path,
    at: 'key',
    message:
      meant === undefined
        ? `is not a known key, needs one of ${siblings.join(', ')}`
        : `is not a known key, did you mean "${meant}"?`,
  };
}

/** The known word that was probably meant: one that a slip or two turn into what was written. */
export function suggestion(written: string, words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined;
  const folded = (word: string) => word.toLowerCase().replaceAll(/[-_ ]/g, '');
  const same = words.find((word) => folded(word) === folded(written));
  if (same !== undefined) return same;
  const longer = words.find((word) => word.length > 3 && folded(written).startsWith(folded(word)));
  const nearest = closest(written, words);
  return distance(written, nearest) <= Math.max(2, Math.floor(nearest.length / 3)) ? nearest : longer;
}

/** `environments.blue[2].port` */
export const describePath = (path: KeyPath): string =>
  path
    .map((step, depth) =>
      typeof step === 'number' ? `[${step}]` : depth === 0 ? String(step) : `.${String(step)}`,
    )
    .join('');

export interface DescribedComplaint {
  readonly position: Position;
  readonly text: string;
}

/** `verdigris.yaml:12:3: bake.duration: is 10, needs ...` */
export function describeComplaint(
  { path, at, message }: ConfigurationComplaint,
  files: readonly SourceFile[],
): DescribedComplaint {
  const subject = path.length === 0 ? '' : `${describePath(path)}: `;
  return describeError({ position: positionIn(files, path, at), message: `${subject}${message}` });
}

export const describeError = ({ position, message }: SourceError): DescribedComplaint => ({
  position,
  text: `${position.file}:${position.line}:${position.column}: ${message}`,
});
