import type { Binary } from './binary.js';

/** The program of an artifact with the shared libraries that it brings along. */
export interface Binaries {
  readonly program: Binary;
  readonly libraries: readonly Binary[];
  /** Libraries of the artifact that nothing is known of, each with why. */
  readonly unread: readonly string[];
  /** `LD_LIBRARY_PATH` as the unit file's template sets it. */
  readonly libraryPath: readonly string[];
}

/** What the loader would take from the artifact, and what it would look for elsewhere. */
export interface Search {
  /** By the name that was looked for. */
  readonly found: ReadonlyMap<string, Binary>;
  /** What is left for the system's own directories, with who needs it first. */
  readonly elsewhere: ReadonlyMap<string, Binary>;
}

/** A library on its way to be loaded, and through whom it came. */
interface Loading {
  readonly binary: Binary;
  /** Where it was found: `$ORIGIN` is that, and not where a link leads to. */
  readonly directory: string;
  readonly ancestors: readonly Loading[];
}

/** Looks for libraries as ld.so(8) does, among the files of a release in `directory`. Knows nothing of the system's own. */
export function searchLibraries(binaries: Binaries, directory: string): Search {
  const found = new Map<string, Binary>();
  const elsewhere = new Map<string, Binary>();
  const byPath = new Map(
    binaries.libraries.flatMap((library) =>
      [library.path, ...library.links].map((path) => [path, library] as const),
    ),
  );
  const queue: Loading[] = [
    { binary: binaries.program, directory: folderOf(binaries.program.path), ancestors: [] },
  ];
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { binary, ancestors } = next;
    for (const name of binary.needed) {
      if (found.has(name) || elsewhere.has(name)) continue;
      const folders = searchPath(next, binaries.libraryPath, directory);
      const folder = folders.find((candidate) => fits(byPath.get(joined(candidate, name)), binaries.program));
      const library = folder === undefined ? undefined : byPath.get(joined(folder, name));
      if (folder === undefined || library === undefined) elsewhere.set(name, binary);
      else {
        found.set(name, library);
        queue.push({ binary: library, directory: folder, ancestors: [...ancestors, next] });
      }
    }
  }
  return { found, elsewhere };
}

/** What a unit file template sets `LD_LIBRARY_PATH` to; the last one counts. */
export function libraryPathOf(unitTemplate: string): readonly string[] {
  const set = [...unitTemplate.matchAll(/^[ \t]*Environment[ \t]*=.*?LD_LIBRARY_PATH=([^"'\s]*)/gm)].at(
    -1,
  )?.[1];
  return (set ?? '').split(':').filter((entry) => entry !== '');
}

/** Entries of a search path that somebody else than the release and the system decides about. */
export const strangePaths = ({ rpath, runpath }: Binary): readonly string[] =>
  [...(runpath.length > 0 ? runpath : rpath)].filter(
    (entry) => !/^\$(ORIGIN|\{ORIGIN\})(\/|$)/.test(entry) && !/^\/(usr\/)?lib(64)?(\/|$)/.test(entry),
  );

/** In the loader's order, as paths within the release; directories elsewhere are left out. */
function searchPath(loading: Loading, libraryPath: readonly string[], directory: string): readonly string[] {
  const { binary, ancestors } = loading;
  const inherited =
    binary.runpath.length > 0
      ? []
      : [loading, ...[...ancestors].reverse()].flatMap((each) =>
          each.binary.runpath.length > 0
            ? []
            : each.binary.rpath.map((entry) => expanded(entry, each, directory)),
        );
  const folders = [
    ...inherited,
    ...libraryPath.map((entry) => withinRelease(entry.replace('{{directory}}', directory), directory)),
    ...binary.runpath.map((entry) => expanded(entry, loading, directory)),
  ];
  return folders.filter((folder) => folder !== undefined);
}

function expanded(entry: string, loading: Loading, directory: string): string | undefined {
  const [, , rest] = /^\$(ORIGIN|\{ORIGIN\})(.*)$/s.exec(entry) ?? [];
  if (rest === undefined) return withinRelease(entry, directory);
  return rest === '' || rest.startsWith('/') ? normal(`${loading.directory}${rest}`) : undefined;
}

/** `/opt/greeter/current/lib` -> `lib` */
function withinRelease(path: string, directory: string): string | undefined {
  if (!path.startsWith(`${directory}/`)) return undefined;
  const [, rest] = /^(?:current|releases\/[^/]+)(?:\/(.*))?$/s.exec(path.slice(directory.length + 1)) ?? [];
  return rest === undefined && !/\/(current|releases\/[^/]+)$/.test(path) ? undefined : normal(rest ?? '');
}

/** Without `.` and `..`; `undefined` where it leads out of the release. */
function normal(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}

/** The loader passes over libraries for other machines. */
const fits = (library: Binary | undefined, program: Binary): boolean =>
  library !== undefined && library.machine === program.machine;

const folderOf = (path: string): string => path.split('/').slice(0, -1).join('/');

const joined = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);
