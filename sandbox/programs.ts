import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { Digest } from '../domain/names.js';

/** The faults that greeter can be built with; `none` is the good program. */
export const greeterVariants = [
  'none',
  'crashes-at-start',
  'crashes-every-2s',
  'exits-0-after-2s',
  'slow-to-start',
  'never-ready',
  'unhealthy',
  'falls-ill-errors',
  'falls-ill-slow',
  'ignores-sigterm',
  'leaks',
] as const;

export type GreeterVariant = (typeof greeterVariants)[number];

export interface GreeterBuild {
  /** Three numbers, for example `2.0.0`. The program tells it in every response. */
  readonly version: string;
  readonly variant?: GreeterVariant;
  /** The address in the packaged configuration; loopback unless told. */
  readonly address?: string;
  /** Where builds are kept for the next time. May be deleted at any moment when nobody builds. */
  readonly directory: string;
  /** The folder with CMakeLists.txt; the example of this package unless told. */
  readonly sources?: string;
  readonly onProgress?: (progress: BuildProgress) => void;
}

export interface BuildProgress {
  readonly step: 'configure' | 'build';
  /** A line that CMake or the compiler printed. */
  readonly line: string;
}

export interface BuiltGreeter {
  /** The tar.gz as CI would upload it. */
  readonly archive: string;
  readonly sha256: Digest;
  /** The program as the archive holds it. */
  readonly executable: string;
  /** True when it was built before and nothing was compiled. */
  readonly cached: boolean;
}

/**
 * Builds greeter with its own CMake files, as CI would. All versions and variants of the same sources share a
 * build tree, so only what differs is compiled again; what was built once is kept. May be called at the same
 * time, from several processes too: they take turns.
 */
export async function buildGreeter(build: GreeterBuild): Promise<BuiltGreeter> {
  const { version, variant = 'none', address = '127.0.0.1' } = build;
  const sources = resolve(build.sources ?? greeterSources());
  const shelf = join(resolve(build.directory), 'greeter', await keyOf(sources));
  const place = join(shelf, `${version}-${variant}-${address.replaceAll(':', '_')}`);

  const kept = await lookUp(place, version);
  if (kept) return { ...kept, cached: true };

  await mkdir(shelf, { recursive: true });
  return underLock(join(shelf, 'lock'), async () => {
    const builtMeanwhile = await lookUp(place, version);
    if (builtMeanwhile) return { ...builtMeanwhile, cached: true };

    const tree = join(shelf, 'build');
    const options = [
      `-DGREETER_VERSION=${version}`,
      `-DGREETER_VARIANT=${variant}`,
      `-DGREETER_ADDRESS=${address}`,
    ];
    const name = variant === 'none' ? `greeter ${version}` : `greeter ${version}, ${variant}`;
    await cmake(name, 'configure', ['-S', sources, '-B', tree, ...options], build.onProgress);
    await cmake(name, 'build', ['--build', tree, '--target', 'package', '--parallel', '2'], build.onProgress);
    await keep(tree, place, version);

    const built = await lookUp(place, version);
    if (!built) throw new Error(`Cannot build "${name}": its package in ${place} does not match its digest`);
    return { ...built, cached: false };
  });
}

/** The example's folder, whether this file runs as TypeScript or from `dist/`. */
export function greeterSources(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'examples/greeter/CMakeLists.txt'))) {
    const parent = dirname(folder);
    if (parent === folder) {
      throw new Error(
        'Cannot find "examples/greeter": it is in no folder above this file, needs the whole package',
      );
    }
    folder = parent;
  }
  return join(folder, 'examples/greeter');
}

/** Names everything that a build tree depends on; its place too, since CMake writes that down. */
async function keyOf(sources: string): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([sources, process.env['CC'] ?? '', process.env['CFLAGS'] ?? '']));
  const entries = await readdir(sources, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.startsWith(join(sources, 'build')))
    .toSorted();
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(await readFile(file))
      .update('\0');
  return hash.digest('hex').slice(0, 16);
}

async function lookUp(place: string, version: string): Promise<Omit<BuiltGreeter, 'cached'> | undefined> {
  const archive = join(place, archiveName(version));
  if (!existsSync(archive)) return undefined;
  const sha256 = createHash('sha256')
    .update(await readFile(archive))
    .digest('hex');
  const written = await readFile(`${archive}.sha256`, 'utf8');
  if (!written.startsWith(sha256)) return undefined;
  return { archive, sha256: Digest(sha256), executable: join(place, 'greeter') };
}

/** Copied aside and renamed: a place is there whole or not at all. */
async function keep(tree: string, place: string, version: string): Promise<void> {
  const partial = `${place}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  const archive = archiveName(version);
  await cp(join(tree, archive), join(partial, archive));
  await cp(join(tree, `${archive}.sha256`), join(partial, `${archive}.sha256`));
  await cp(join(tree, 'package/bin/greeter'), join(partial, 'greeter'));
  await rm(place, { recursive: true, force: true });
  await rename(partial, place);
}

const archiveName = (version: string): string => `greeter-${version}.tar.gz`;

async function cmake(
  name: string,
  step: BuildProgress['step'],
  words: readonly string[],
  onProgress: GreeterBuild['onProgress'],
): Promise<void> {
  const running = execa('cmake', words, { all: true, reject: false });
  for await (const line of running.iterable({ from: 'all' })) onProgress?.({ step, line });
  const result = await running;
  if (result.failed) {
    const reason =
      result.exitCode === undefined ? result.originalMessage : `cmake exited with ${result.exitCode}`;
    throw new Error(`Cannot ${step} "${name}": ${reason}\n${lastLines(result.all, 20)}`.trimEnd());
  }
}

const lastLines = (text: string, count: number): string => text.split('\n').slice(-count).join('\n');

/** Holds the lock as a child that ends with its input, so the lock goes with this process however it ends. */
async function underLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const holder = execa('flock', [file, 'sh', '-c', 'echo locked; exec cat']);
  await Promise.race([once(holder.stdout, 'data'), holder]);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await holder;
  }
}
