type Digests = Readonly<Record<string, string>>;

/**
 * How the objects of ours differ from what was expected, in words; empty when they do not. `expected` may name
 * objects that are not ours: they do not matter here.
 */
export function oursDiffer(expected: Digests, objects: Digests, ours: readonly string[]): readonly string[] {
  return ours.flatMap((name) => {
    const before = expected[name] ?? 'absent';
    const now = objects[name] ?? 'absent';
    return before === now ? [] : [`${name} ${change(before, now)}`];
  });
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
  const now = foreign(objects);
  const before = foreign(expected);
  if (before.length === 0 && now.length > 0) return undefined;
  return [...new Set([...before, ...now])].sort().flatMap((name) => {
    const was = expected[name] ?? 'absent';
    const is = objects[name] ?? 'absent';
    return was === is ? [] : [`${name} ${change(was, is)}`];
  });
}

const change = (before: string, now: string): string =>
  before === 'absent' ? 'was added' : now === 'absent' ? 'was removed' : 'was changed';
