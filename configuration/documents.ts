import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Alias,
  type Document,
  type Node,
} from 'yaml';

/** Where something stands, for `file:line:column`. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type KeyPath = readonly PropertyKey[];

export interface SourceError {
  readonly position: Position;
  readonly message: string;
}

/** A YAML file that remembers where everything stands. */
export interface SourceFile {
  readonly file: string;
  readonly value: unknown;
  /** What the YAML itself has wrong, duplicate keys included. */
  readonly errors: readonly SourceError[];
  /** How many steps of the path this file has, and where the last of them stands. */
  locate(path: KeyPath, at: 'key' | 'value'): { readonly depth: number; readonly position: Position };
}

export function parseSource(file: string, text: string): SourceFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const duplicates = document.errors.filter(({ code }) => code === 'DUPLICATE_KEY');
  const others = document.errors.filter(({ code }) => code !== 'DUPLICATE_KEY');
  const dangling = danglingAliases(document);
  const errors = [
    ...duplicates.map(({ pos }) => ({
      position: position(pos[0]),
      message: `${/^[^\s:]+/.exec(text.slice(pos[0]))?.[0] ?? 'a key'}: is written twice, needs one`,
    })),
    ...others.map(({ message, pos }) => ({
      position: position(pos[0]),
      message: `is not YAML, needs to be: ${message}`,
    })),
    ...dangling.map(({ source, range }) => ({
      position: position(range?.[0] ?? 0),
      message: `*${source}: is an alias of nothing, needs an anchor &${source} before it`,
    })),
  ];
  return {
    file,
    // A key written twice has a value all the same; with anything else wrong nothing can be believed.
    value: others.length + dangling.length > 0 ? undefined : valueOf(document),
    errors,
    locate(path, at) {
      const { depth, offset } = walk(document, path, at);
      return { depth, position: position(offset) };
    },
  };
}

function danglingAliases(document: Document): readonly Alias[] {
  const found: Alias[] = [];
  visit(document, {
    Alias(_key, alias) {
      if (!alias.resolve(document)) found.push(alias);
    },
  });
  return found;
}

/** A file of comments alone is an empty map. */
const valueOf = (document: Document): unknown => (document.contents === null ? {} : document.toJS());

/** Follows the path as far as the file goes. */
function walk(
  document: Document,
  path: KeyPath,
  at: 'key' | 'value',
): { readonly depth: number; readonly offset: number } {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => (isScalar(key) ? key.value : key) === step);
      if (!pair) return { depth, offset };
      const key = pair.key as Node;
      const value = pair.value as Node | null;
      node = value;
      const last = depth === path.length - 1;
      offset = (last && at === 'value' && value?.range ? value : key).range?.[0] ?? offset;
    } else if (isSeq(node)) {
      const item = node.items[Number(step)] as Node | undefined;
      if (!item) return { depth, offset };
      node = item;
      offset = item.range?.[0] ?? offset;
    } else return { depth, offset };
  }
  return { depth: path.length, offset };
}

/** Maps are merged key by key, the overlay winning; anything else is replaced, lists whole. */
export function overlay(base: unknown, above: unknown): unknown {
  if (above === undefined) return base;
  if (!isRecord(base) || !isRecord(above)) return above;
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(above)) merged.set(key, overlay(merged.get(key), value));
  return Object.fromEntries(merged);
}

/** Where a path stands in the files together: in the one that has more of it, else in the upper one. */
export function positionIn(files: readonly SourceFile[], path: KeyPath, at: 'key' | 'value'): Position {
  const [first, ...others] = files.toReversed().map((file) => file.locate(path, at));
  if (!first) throw new TypeError('Cannot tell a position: there is no file');
  return others.reduce((best, next) => (next.depth > best.depth ? next : best), first).position;
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
