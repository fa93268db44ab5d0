import type { RouteChange } from './driver.js';

type Digests = Readonly<Record<string, string>>;

/**
 * How the objects of ours differ from what was expected, in words; empty when they do not. `expected` may name
 * objects that are not ours: they do not matter here.
 */
export function oursDiffer(expected: Digests, objects: Digests, ours: readonly string[]): readonly string[] {
  return differences(only(expected, ours), only(objects, ours));
}

/**
 * How the objects that are not ours differ from what was expected, in words, or `undefined` when `expected` does not
 * tell because it names none of them.
 */
export function foreignDifferences(
  expected: Digests,
  objects: Digests,
  ours: readonly string[],
): readonly string[] | undefined {
  const foreign = (digests: Digests): readonly string[] =>
    Object.keys(digests).filter((name) => !ours.includes(name));
  const before = foreign(expected);
  const now = foreign(objects);
  if (before.length === 0 && now.length > 0) return undefined;
  return differences(only(expected, before), only(objects, now));
}

/**
 * The change with what is really expected of it. On the way back only stored edits matter, which it would publish: what is
 * published already goes on as it is, whether traffic goes back or not.
 */
export const expectingOfStaged = (change: RouteChange, anythingStaged: boolean): RouteChange =>
  change.purpose === 'rollback' && !anythingStaged ? { ...change, expected: undefined } : change;

/** How two sets of objects differ, in words, by name. `absent` counts as not being there. */
export function differences(before: Digests, now: Digests): readonly string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  return names.flatMap((name) => {
    const was = before[name] ?? 'absent';
    const is = now[name] ?? 'absent';
    if (was === is) return [];
    return [`${name} ${was === 'absent' ? 'was added' : is === 'absent' ? 'was removed' : 'was changed'}`];
  });
}

/** The named ones; one that is not there counts as absent. */
export const only = (digests: Digests, names: readonly string[]): Digests =>
  Object.fromEntries(names.map((name) => [name, digests[name] ?? 'absent']));
