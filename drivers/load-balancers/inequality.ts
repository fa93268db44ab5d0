import type { Inequality } from '../../domain/observation.js';

/** What to compare: a field, what it is where nothing is set, and whether visitors are not served where it differs. */
export interface Compared {
  readonly field: string;
  readonly otherwise?: unknown;
  readonly breaks: boolean;
}

/** An object and how people call it. */
type Called = readonly [name: string, object: Readonly<Record<string, unknown>>];

/** In which of these fields two objects differ. */
export const inequalitiesOf = (
  one: Called,
  other: Called,
  fields: readonly Compared[],
): readonly Inequality[] =>
  fields.flatMap(({ field, otherwise, breaks }) => {
    const [is, isThere] = [one, other].map(([, object]) => shown(object[field] ?? otherwise));
    if (is === isThere) return [];
    const isLong = `${is}${isThere}`.length > 60;
    const words = isLong
      ? `${one[0]} and ${other[0]} differ in ${field}`
      : `${one[0]} has ${field} ${is} and ${other[0]} ${isThere}`;
    return [{ words, breaks }];
  });

/** Null, false and nothing mean the same to the API. */
function shown(value: unknown): string {
  if (value === undefined || value === null || value === false || value === '') return 'none';
  if (typeof value === 'string') return value;
  if (typeof value !== 'object') return JSON.stringify(value);
  const set = Object.entries(value).filter(([, inner]) => inner !== null && inner !== false);
  return JSON.stringify(Object.fromEntries(set.toSorted(([one], [other]) => (one < other ? -1 : 1))));
}
