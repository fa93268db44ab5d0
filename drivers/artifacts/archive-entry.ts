/** One entry of a tar archive as its header says. */
export interface ArchiveEntry {
  readonly path: string;
  /** node-tar's word for the type flag. */
  readonly type: string;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly linkTarget?: string;
}

/**
 * Everything that would make it unsafe to unpack these entries, in their order. Stricter than any one unpacker: what two
 * programs could read differently is refused.
 */
export function dangersOf(entries: readonly ArchiveEntry[]): readonly string[] {
  const own = entries.flatMap((entry) =>
    dangersOfEntry(entry).map((danger) => `"${shown(entry.path)}" ${danger}`),
  );
  return [...own, ...clashes(entries), ...linksOut(entries)];
}

/**
 * What is wrong with a header that extends the next entry (pax records, or a GNU long name). Only what every unpacker
 * understands in the same way is let through.
 */
export function dangersOfExtension(text: string): readonly string[] {
  if (!/^\d+ [^=\n]+=/.test(text)) return /[\n\r]/.test(text) ? ['has a damaged extended header'] : [];
  return text
    .replace(/\n$/, '')
    .split('\n')
    .flatMap((record) => {
      const [, length, key = ''] = /^(\d+) ([^=]+)=/.exec(record) ?? [];
      if (Number(length) !== Buffer.byteLength(record) + 1) return ['has a damaged extended header'];
      return harmlessKeys.some((harmless) => harmless.test(key))
        ? []
        : [`has the extended attribute "${shown(key)}", which unpackers read differently`];
    });
}

const harmlessKeys: readonly RegExp[] = [
  /^(path|linkpath|uid|gid|uname|gname|mtime|atime|ctime|comment)$/,
  /^(SCHILY\.(dev|ino|nlink)|LIBARCHIVE\.creationtime)$/,
  /^(SCHILY|LIBARCHIVE)\.xattr\.(?!security|trusted|system)/,
];

/** The path without `./`, doubled and trailing slashes: what an unpacker would create. The root itself is ''. */
export const plainPath = (path: string): string => componentsOf(path).join('/');

/** Names come from outside: control characters are shown, not printed. */
export const shown = (path: string): string =>
  // eslint-disable-next-line no-control-regex
  path.slice(0, 200).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');

const fileTypes = new Set(['File', 'OldFile']);
const allowedTypes = new Set([...fileTypes, 'Directory', 'SymbolicLink', 'Link']);

export const isFile = ({ type }: ArchiveEntry): boolean => fileTypes.has(type);

function dangersOfEntry(entry: ArchiveEntry): readonly string[] {
  const { path, type, mode, sizeBytes, linkTarget = '' } = entry;
  const isLink = type === 'SymbolicLink' || type === 'Link';
  const rules: readonly (readonly [boolean, string])[] = [
    [path.startsWith('/'), 'has an absolute path'],
    [path.split('/').includes('..'), 'has ".." in its path'],
    [
      shown(path) !== path.slice(0, 200) || path.includes('\ufffd'),
      'has control characters or no UTF-8 in its name',
    ],
    [path.length > 1024, 'has a path longer than 1024 characters'],
    [plainPath(path) === '' && type !== 'Directory', 'stands for the root and is no directory'],
    [
      !allowedTypes.has(type),
      `is a ${typeWords[type] ?? type}, only files, directories and links may be inside`,
    ],
    [(mode & 0o6000) !== 0, 'is set-uid or set-gid'],
    [isFile(entry) && path.endsWith('/'), "is a file with a directory's name"],
    [isLink && sizeBytes > 0, 'is a link that carries data'],
    [isLink && linkTarget === '', 'is a link to nothing'],
    [isLink && linkTarget.startsWith('/'), `links to the absolute path "${shown(linkTarget)}"`],
    [
      type === 'Link' && linkTarget.split('/').includes('..'),
      `links to "${shown(linkTarget)}" with ".." in it`,
    ],
  ];
  return rules.filter(([broken]) => broken).map(([, words]) => words);
}

const typeWords: Readonly<Record<string, string>> = {
  CharacterDevice: 'character device',
  BlockDevice: 'block device',
  FIFO: 'fifo',
  ContiguousFile: 'contiguous file',
  SparseFile: 'sparse file',
  GNUDumpDir: 'dump directory',
  ContinuationFile: 'part of another volume',
  TapeVolumeHeader: 'volume label',
};

/** Entries that would overwrite each other, or be written through a link or a file. */
function clashes(entries: readonly ArchiveEntry[]): readonly string[] {
  const seen = new Map<string, ArchiveEntry>();
  return entries.flatMap((entry) => {
    const path = plainPath(entry.path);
    const earlier = seen.get(path);
    if (!earlier) seen.set(path, entry);
    const twice = earlier && !(earlier.type === 'Directory' && entry.type === 'Directory');
    const through = parentsOf(path)
      .map((parent) => seen.get(parent))
      .find((parent) => parent !== undefined && parent.type !== 'Directory');
    return [
      ...(twice ? [`"${shown(entry.path)}" is there twice`] : []),
      ...(through
        ? [`"${shown(entry.path)}" lies below "${shown(through.path)}", which is no directory`]
        : []),
    ];
  });
}

/** Links are followed as the kernel would, through the archive's other links: `a/b/..` is not always `a`. */
function linksOut(entries: readonly ArchiveEntry[]): readonly string[] {
  const symbolic = new Map<string, string>();
  const files = new Set<string>();
  for (const entry of entries) {
    const path = plainPath(entry.path);
    if (entry.type === 'SymbolicLink') symbolic.set(path, entry.linkTarget ?? '');
  }
  return entries.flatMap((entry) => {
    const target = entry.linkTarget ?? '';
    if (isFile(entry)) files.add(plainPath(entry.path));
    if (target.startsWith('/')) return [];
    if (entry.type === 'Link' && !files.has(plainPath(target))) {
      return [
        `"${shown(entry.path)}" links to "${shown(target)}", which is no file before it in the archive`,
      ];
    }
    if (entry.type !== 'SymbolicLink') return [];
    const why = whyLeaving(plainPath(entry.path), symbolic);
    return why === undefined ? [] : [`"${shown(entry.path)}" links to "${shown(target)}", ${why}`];
  });
}

/** Why following the link at `path` ends outside or never; `undefined` when it stays inside. */
function whyLeaving(path: string, symbolic: ReadonlyMap<string, string>): string | undefined {
  const end = followed(path, symbolic);
  return 'why' in end ? end.why : undefined;
}

/** Where a path leads to, links and all, or why it leads nowhere inside. */
function followed(
  path: string,
  symbolic: ReadonlyMap<string, string>,
): { readonly path: string } | { readonly why: string } {
  const ahead = componentsOf(path);
  const at: string[] = [];
  for (let links = 0; ahead.length > 0;) {
    const component = ahead.shift() ?? '';
    if (component === '..') {
      if (at.pop() === undefined) return { why: 'which is outside of the archive' };
      continue;
    }
    const target = symbolic.get([...at, component].join('/'));
    if (target === undefined) {
      at.push(component);
      continue;
    }
    if (target.startsWith('/')) return { why: 'which leads to an absolute path' };
    if (++links > maxFollowed) return { why: 'which goes round in circles' };
    ahead.unshift(...componentsOf(target));
  }
  return { path: at.join('/') };
}

/** By file, the other paths of the archive that lead to it. */
export function linksByFile(entries: readonly ArchiveEntry[]): ReadonlyMap<string, readonly string[]> {
  const links = entries.filter(({ type }) => type === 'SymbolicLink' || type === 'Link');
  const symbolic = new Map(
    links
      .filter(({ type }) => type === 'SymbolicLink')
      .map(({ path, linkTarget = '' }) => [plainPath(path), linkTarget] as const),
  );
  const byFile = new Map<string, string[]>();
  for (const { path, type, linkTarget = '' } of links) {
    const end = followed(plainPath(type === 'Link' ? linkTarget : path), symbolic);
    if ('path' in end) byFile.set(end.path, [...(byFile.get(end.path) ?? []), plainPath(path)]);
  }
  return byFile;
}

/** What Linux follows at most. */
const maxFollowed = 40;

const componentsOf = (path: string): string[] =>
  path.split('/').filter((part) => part !== '' && part !== '.');

function parentsOf(path: string): readonly string[] {
  const components = path.split('/');
  return components.slice(1).map((_, index) => components.slice(0, index + 1).join('/'));
}
