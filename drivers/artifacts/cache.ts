import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { displayUrl, refusalOfArtifactUrl } from '../../domain/artifact-url.js';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { hashOf } from '../../domain/hash.js';
import { Digest } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import type { Patience } from '../patience.js';
import { inspectArchive, type ArchiveLimits } from './archive.js';
import { prune } from './cache-pruning.js';
import type { ArtifactDriver } from './driver.js';
import { SharedWork } from './shared-work.js';
import type { ArtifactStore, StoredArtifact } from './store.js';

export interface ArtifactCacheOptions {
  readonly directory: string;
  /** One for each kind of place that artifacts may come from. */
  readonly drivers: readonly ArtifactDriver[];
  /** Artifacts that were not used for longest go when there is more than this. */
  readonly maxBytes?: number;
  readonly limits?: ArchiveLimits;
}

const gigabyte = 1e9;
const defaultLimits: ArchiveLimits = { unpackedBytes: 4 * gigabyte, entries: 100_000 };

/**
 * Artifacts on this worker's disk, each under its digest: `sha256/<first two digits>/<digest>`. Several workers may share
 * the directory: what has a digest for a name is whole, because it gets that name by one rename.
 */
export function createArtifactCache(options: ArtifactCacheOptions): ArtifactStore {
  const cache = new ArtifactCache(options);
  return { ensure: (artifact, service, patience) => cache.ensure(artifact, service, patience) };
}

class ArtifactCache {
  readonly #directory: string;
  readonly #drivers: readonly ArtifactDriver[];
  readonly #maxBytes: number;
  readonly #limits: ArchiveLimits;
  readonly #downloads = new SharedWork();
  /** What a file looked like when its digest was last computed here. */
  readonly #verified = new Map<Digest, string>();

  constructor({
    directory,
    drivers,
    maxBytes = 20 * gigabyte,
    limits = defaultLimits,
  }: ArtifactCacheOptions) {
    this.#directory = directory;
    this.#drivers = drivers;
    this.#maxBytes = maxBytes;
    this.#limits = limits;
  }

  async ensure(artifact: Artifact, service: Service, patience: Patience): Promise<StoredArtifact> {
    const driver = this.#driverFor(artifact);
    patience.signal.throwIfAborted();
    try {
      await this.#bring(driver, artifact, service, patience);
      const { facts, templates } = await this.#inspect(artifact, service, patience);
      await prune(this.#directory, this.#maxBytes);
      const path = this.#pathOf(artifact.sha256);
      return { facts, sizeBytes: facts.sizeBytes, templates, open: () => createReadStream(path) };
    } catch (error) {
      patience.signal.throwIfAborted();
      throw troubleOfCache(error, artifact);
    }
  }

  async #bring(
    driver: ArtifactDriver,
    artifact: Artifact,
    service: Service,
    patience: Patience,
  ): Promise<void> {
    if (await this.#has(artifact.sha256, patience)) return;
    // Only who asks for the same in the same name shares: one service's missing login is not another's.
    const what = JSON.stringify([artifact.url, service.id, service.artifact]);
    await this.#downloads.run(artifact.sha256, what, patience, async (sharedPatience) => {
      if (await this.#has(artifact.sha256, sharedPatience)) return;
      await this.#download(driver, artifact, service, sharedPatience);
    });
  }

  #driverFor(artifact: Artifact): ArtifactDriver {
    const refusal = refusalOfArtifactUrl(artifact.url);
    const scheme = refusal === undefined ? new URL(artifact.url).protocol : '';
    const driver = this.#drivers.find((candidate) => candidate.scheme === scheme);
    if (driver) return driver;
    const schemes = this.#drivers.map((known) => `${known.scheme}//`).join(' or ');
    throw new Failure(
      'RequestInvalid',
      `Cannot fetch "${displayUrl(artifact.url)}": ${refusal ?? `this worker does not read ${scheme}//, needs ${schemes}`}`,
    );
  }

  #pathOf(digest: Digest): string {
    // The digest becomes a path: whatever came with the request, from here on it is one.
    const checked = Digest(digest);
    return join(this.#directory, 'sha256', checked.slice(0, 2), checked);
  }

  /** Whether the whole artifact is here. Its bytes are read once per process; a damaged one is removed. */
  async #has(digest: Digest, patience: Patience): Promise<boolean> {
    const path = this.#pathOf(digest);
    const look = await lookAt(path);
    if (look === undefined) return false;
    await touch(path);
    if (this.#verified.get(digest) === look) return true;
    patience.progress('checking the artifact in the cache');
    if ((await digestOf(path, patience.signal)) !== digest) {
      await rm(path, { force: true });
      return false;
    }
    this.#verified.set(digest, look);
    return true;
  }

  async #download(
    driver: ArtifactDriver,
    artifact: Artifact,
    service: Service,
    patience: Patience,
  ): Promise<void> {
    const path = this.#pathOf(artifact.sha256);
    const part = `${path}.${process.pid}-${randomBytes(6).toString('hex')}.part`;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await driver.download(artifact, service.artifact, service, part, patience);
      const digest = await digestOf(part, patience.signal);
      if (digest !== artifact.sha256) throw mismatch(artifact, digest, (await stat(part)).size);
      await sync(part);
      await rename(part, path);
      await sync(dirname(path));
      this.#verified.set(artifact.sha256, (await lookAt(path)) ?? '');
    } finally {
      await rm(part, { force: true });
    }
  }

  /** What the archive holds; kept beside it, per what a service wants of it. */
  async #inspect(artifact: Artifact, service: Service, patience: Patience): Promise<Inspected> {
    const path = this.#pathOf(artifact.sha256);
    const wanted = { ...service.program, configurationFiles: service.configuration.files };
    const asked = hashOf({ wanted, limits: this.#limits, rules: rulesVersion }).slice(0, 16);
    const notes = `${path}.${asked}.json`;
    const known = await readNotes(notes, asked);
    if (known) return known;
    const contents = await inspectArchive(path, displayUrl(artifact.url), wanted, this.#limits, patience);
    const { files, entries, unpackedBytes, executable, binaries, unitTemplate, configuration } = contents;
    const inspected: Inspected = {
      facts: { sizeBytes: (await stat(path)).size, files, entries, unpackedBytes, executable, binaries },
      templates: { unit: { path: service.program.unitFile, text: unitTemplate }, files: configuration },
    };
    await writeNotes(notes, asked, inspected);
    return inspected;
  }
}

type Inspected = Pick<StoredArtifact, 'facts' | 'templates'>;

/** Grows when an archive could be judged differently, so that old notes no longer count. */
const rulesVersion = 3;

function mismatch(artifact: Artifact, actual: Digest, sizeBytes: number): Failure {
  return new Failure(
    'DigestMismatch',
    [
      `Cannot use "${displayUrl(artifact.url)}": its SHA-256 is ${actual} (${sizeBytes} bytes), needs ${artifact.sha256}`,
      'was it uploaded again under the same name, or built twice? compare with sha256sum where CI built it',
    ].join('\n  '),
  );
}

function troubleOfCache(error: unknown, artifact: Artifact): unknown {
  const cannot = `Cannot keep "${displayUrl(artifact.url)}" in the cache`;
  if (error instanceof Failure) return error;
  if (isMissing(error)) {
    return new Failure('ArtifactUnreachable', `${cannot}: it was removed meanwhile`, { cause: error });
  }
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? new Failure('DiskFull', `${cannot}: the disk of the worker is full`, { cause: error })
    : error;
}

/** Notes carry their own digest: a half-written one, or one that somebody edited, is no note. */
async function readNotes(path: string, asked: string): Promise<Inspected | undefined> {
  try {
    const { seal, inspected } = JSON.parse(await readFile(path, 'utf8')) as {
      seal: string;
      inspected: Inspected;
    };
    return seal === hashOf({ asked, inspected }) ? inspected : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || isMissing(error)) return undefined;
    throw error;
  }
}

async function writeNotes(path: string, asked: string, inspected: Inspected): Promise<void> {
  const aside = `${path}.${process.pid}-${randomBytes(6).toString('hex')}.part`;
  await writeFile(aside, JSON.stringify({ seal: hashOf({ asked, inspected }), inspected }), { mode: 0o600 });
  await rename(aside, path);
}

async function digestOf(path: string, signal: AbortSignal): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, { signal });
  return Digest(hash.digest('hex'));
}

/** Changes whenever the file is written to or replaced; not when it is read or touched. */
async function lookAt(path: string): Promise<string | undefined> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Marks as used now, for the pruning. */
async function touch(path: string): Promise<void> {
  const { mtime } = await stat(path);
  await utimes(path, new Date(), mtime);
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
