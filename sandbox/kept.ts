import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SetUp } from './control-panel.js';
import { isFree } from './free-port.js';
import type { KeyPair } from './machines/host-key.js';

/** What a sandbox needs to come back as it was, beside what its API and its machines keep themselves. */
export interface Kept {
  readonly setUp: SetUp;
  /** Who may log in to its machines. */
  readonly keys: KeyPair;
  /** By server: of its program, and of its SSH. */
  readonly ports: Readonly<Record<string, { readonly program: number; readonly ssh: number }>>;
  /** Where the load balancer listens, by the port that the API has for it. */
  readonly listening: Readonly<Record<string, number>>;
}

const fileIn = (directory: string): string => join(directory, 'sandbox.json');

/** What was kept in this directory, or `undefined` where nothing was. */
export async function readKept(directory: string): Promise<Kept | undefined> {
  try {
    return JSON.parse(await readFile(fileIn(directory), 'utf8')) as Kept;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export const writeKept = (directory: string, kept: Kept): Promise<void> =>
  writeFile(fileIn(directory), JSON.stringify(kept), { mode: 0o600 });

/** The ports that nobody else has taken meanwhile; 0, which is any, for the others. */
export async function stillFree(
  ports: Readonly<Record<string, number>>,
): Promise<Readonly<Record<string, number>>> {
  return Object.fromEntries(
    await Promise.all(
      Object.entries(ports).map(async ([name, port]) => [name, (await isFree(port)) ? port : 0] as const),
    ),
  );
}
