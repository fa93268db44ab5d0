import { lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedUnit } from './loaded-unit.js';
import type { UnitName } from './unit-name.js';

export type EnabledState = 'enabled' | 'disabled' | 'static' | 'masked';

/** Whether the unit is started at boot, or `undefined` when there is no such unit. */
export function enabledState(
  unitDirectory: string,
  name: UnitName,
  loaded: LoadedUnit,
): EnabledState | undefined {
  if (loaded.kind === 'not-found') return undefined;
  if (loaded.kind === 'masked') return 'masked';
  if (existingLinks(unitDirectory, name).length > 0) return 'enabled';
  return loaded.kind === 'loaded' && loaded.settings.wantedBy.length + loaded.settings.aliases.length > 0
    ? 'disabled'
    : 'static';
}

/** Every unit that some target wants, in the order of their names. */
export const wantedUnits = (unitDirectory: string): readonly string[] =>
  [
    ...new Set(
      wantsDirectories(unitDirectory).flatMap((directory) => readdirSync(join(unitDirectory, directory))),
    ),
  ].toSorted();

/** Makes the links of `[Install]`, and returns what `systemctl enable` says about those that were not there. */
export function enable(unitDirectory: string, name: UnitName, loaded: LoadedUnit): readonly string[] {
  if (loaded.kind !== 'loaded') return [];
  const { settings, source } = loaded;
  const links = [
    ...settings.aliases.map((alias) => join(unitDirectory, alias)),
    ...settings.wantedBy.map((target) => join(unitDirectory, `${target}.wants`, name.full)),
  ];
  return links.flatMap((link) => {
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) return [];
    mkdirSync(join(link, '..'), { recursive: true });
    symlinkSync(source.fragment.path, link);
    return [`Created symlink ${link} → ${source.fragment.path}.`];
  });
}

/** Removes the links, and returns what `systemctl disable` says. */
export function disable(unitDirectory: string, name: UnitName): readonly string[] {
  return existingLinks(unitDirectory, name).map((link) => {
    rmSync(link);
    return `Removed "${link}".`;
  });
}

const existingLinks = (unitDirectory: string, { full }: UnitName): readonly string[] =>
  wantsDirectories(unitDirectory)
    .map((directory) => join(unitDirectory, directory, full))
    .filter((link) => lstatSync(link, { throwIfNoEntry: false }) !== undefined);

const wantsDirectories = (unitDirectory: string): readonly string[] =>
  readdirSync(unitDirectory).filter((entry) => entry.endsWith('.wants'));
