import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseUnitFile, type UnitLine } from './unit-file.js';
import type { UnitName } from './unit-name.js';
import { readSettings, type UnitSettings } from './unit-settings.js';

/** A unit as systemd holds it in memory: what its files said when they were last read. */
export type LoadedUnit =
  | { readonly kind: 'not-found' }
  | { readonly kind: 'masked'; readonly source: UnitSource }
  | { readonly kind: 'bad-setting'; readonly source: UnitSource; readonly complaints: readonly string[] }
  | {
      readonly kind: 'loaded';
      readonly source: UnitSource;
      readonly settings: UnitSettings;
      readonly complaints: readonly string[];
    };

/** The files that make a unit, with the age that they had when they were read. */
export interface UnitSource {
  readonly fragment: SourceFile;
  /** In the order in which they apply: by file name, over all directories. */
  readonly dropIns: readonly SourceFile[];
}

interface SourceFile {
  readonly path: string;
  /** Of what a symbolic link leads to in the end. */
  readonly modifiedMs: number;
}

/** Reads a unit's fragment and drop-ins. An instance (`greeter@blue`) falls back to its template's. */
export function loadUnit(unitDirectory: string, name: UnitName): LoadedUnit {
  const source = findSource(unitDirectory, name);
  if (source === undefined) return { kind: 'not-found' };
  if (isMask(source.fragment.path)) return { kind: 'masked', source };

  const files = [source.fragment, ...source.dropIns];
  const { settings, complaints, refusals } = readSettings(
    files.flatMap(({ path }) => readUnitFile(path)),
    name,
  );
  if (refusals.length === 0) return { kind: 'loaded', source, settings, complaints };
  return {
    kind: 'bad-setting',
    source,
    complaints: [...complaints, ...refusals.map((refusal) => `${name.full}: ${refusal}`)],
  };
}

/**
 * Whether the files changed since they were read, as systemd sees it: newer than then, or another list of drop-ins.
 * A drop-in that leads to an *older* file than before goes unnoticed there too.
 */
export function needsReload(unitDirectory: string, name: UnitName, loaded: LoadedUnit): boolean {
  if (loaded.kind === 'not-found') return false;
  const { source } = loaded;
  const now = findSource(unitDirectory, name);
  if (now === undefined || now.fragment.path !== source.fragment.path) return true;

  const before = [source.fragment, ...source.dropIns];
  const after = [now.fragment, ...now.dropIns];
  return (
    after.length !== before.length ||
    after.some(
      ({ path, modifiedMs }, index) => path !== before[index]?.path || modifiedMs > before[index].modifiedMs,
    )
  );
}

function findSource(unitDirectory: string, { full, template }: UnitName): UnitSource | undefined {
  const owners = template === undefined ? [full] : [full, template];
  const fragment = owners
    .map((owner) => sourceFile(join(unitDirectory, owner)))
    .find((file) => file !== undefined);
  if (fragment === undefined) return undefined;

  // The more specific directory is applied last to the map, so that its file of the same name wins.
  const byName = new Map(
    owners
      .toReversed()
      .flatMap((owner) => dropInsOf(join(unitDirectory, `${owner}.d`)))
      .map((path) => [path.slice(path.lastIndexOf('/') + 1), path]),
  );
  const dropIns = [...byName]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([, path]) => sourceFile(path))
    .filter((file) => file !== undefined);
  return { fragment, dropIns };
}

function dropInsOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((file) => file.endsWith('.conf') && !file.startsWith('.'))
      .map((file) => join(directory, file));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Follows links to the end; `undefined` where that is nowhere. */
function sourceFile(path: string): SourceFile | undefined {
  try {
    return { path, modifiedMs: statSync(path).mtimeMs };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const isMask = (path: string): boolean => realpathSync(path) === '/dev/null' || statSync(path).size === 0;

/** A drop-in that leads through `current` may lead nowhere by the time it is opened: then it says nothing. */
function readUnitFile(path: string): readonly UnitLine[] {
  try {
    return [...parseUnitFile(readFileSync(path, 'utf8'), path)];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(String(error.code));
