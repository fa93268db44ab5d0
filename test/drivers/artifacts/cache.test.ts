import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import { createArtifactCache, type ArtifactCacheOptions } from '../../../drivers/artifacts/cache.js';
import type { ArtifactDriver } from '../../../drivers/artifacts/driver.js';
import { createFileArtifacts } from '../../../drivers/artifacts/file.js';
import type { ArtifactStore } from '../../../drivers/artifacts/store.js';
import { endless } from '../../../drivers/patience.js';
import {
  artifactAt,
  aService,
  elf,
  program,
  programEntry,
  sha256,
  tarball,
  unit,
  unitEntry,
  type RawEntry,
} from './tarball.js';

const bytes = tarball(programEntry, unitEntry);
const artifact = artifactAt('https://git.example/a.tar.gz', bytes);
const service = aService();

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-cache-'));
});
afterEach(() => rm(directory, { recursive: true }));

interface Source extends ArtifactDriver {
  downloads: number;
  content: Buffer;
  /** Awaited before any byte is written. */
  gate: Promise<unknown>;
}

/** A place that has one artifact, and can be told to have another, or to wait. */
function aSource(content = bytes): Source {
  const source: Source = {
    scheme: 'https:',
    downloads: 0,
    content,
    gate: Promise.resolve(),
    async download(_artifact, _settings, _service, path, { signal }) {
      source.downloads++;
      await Promise.race([
        source.gate,
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
      ]);
      await writeFile(path, source.content);
    },
  };
  return source;
}

const aCache = (source: ArtifactDriver, options: Partial<ArtifactCacheOptions> = {}): ArtifactStore =>
  createArtifactCache({ directory, drivers: [source], ...options });

const pathOf = ({ sha256: digest }: typeof artifact) => join(directory, 'sha256', digest.slice(0, 2), digest);
const filesOf = async () =>
  (await readdir(directory, { recursive: true })).filter((name) => name.length > 12);

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const failure = await promise.catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Failure);
  return failure as Failure;
}

describe('an artifact that is ensured', () => {
  test('is checked, described and there to be read', async () => {
    const stored = await aCache(aSource()).ensure(artifact, service, endless);
    expect(stored).toMatchObject({
      sizeBytes: bytes.length,
      templates: { unit: { path: 'greeter.service', text: unit }, files: [] },
      facts: { sizeBytes: bytes.length, files: 2, entries: 2, executable: sha256(elf()) },
    });
    expect(await buffer(stored.open())).toEqual(bytes);
    expect(await buffer(stored.open())).toEqual(bytes);
  });

  test('is read again for a service that has other files of configuration', async () => {
    const conf = { path: 'etc/greeter.conf', body: 'greeting = {{greeting}}\n' };
    const packed = tarball(programEntry, unitEntry, conf);
    const cache = aCache(aSource(packed));
    const its = artifactAt('https://git.example/b.tar.gz', packed);
    const configuration = { ...service.configuration, files: [conf.path] };
    expect((await cache.ensure(its, service, endless)).templates.files).toEqual([]);
    expect((await cache.ensure(its, { ...service, configuration }, endless)).templates.files).toEqual([
      { path: conf.path, text: conf.body },
    ]);
  });

  test('is fetched once, also by the next process', async () => {
    const source = aSource();
    const cache = aCache(source);
    const first = await cache.ensure(artifact, service, endless);
    const second = await cache.ensure(artifact, service, endless);
    const elsewhere = await aCache(source).ensure(artifact, service, endless);
    expect(source.downloads).toBe(1);
    expect([second.facts, elsewhere.facts]).toEqual([first.facts, first.facts]);
  });

  test('is fetched once, however many ask at the same time', async () => {
    const source = aSource();
    const cache = aCache(source);
    await Promise.all(Array.from({ length: 20 }, () => cache.ensure(artifact, service, endless)));
    expect(source.downloads).toBe(1);
  });

  test('is judged anew for a service that wants other files of it', async () => {
    const source = aSource(
      tarball(programEntry, unitEntry, { path: 'other', mode: 0o755, body: elf({ tail: 'other' }) }),
    );
    const other = artifactAt(artifact.url, source.content);
    const cache = aCache(source);
    await cache.ensure(other, service, endless);
    const wants = (executable: string) => ({ ...service, program: { ...program, executable } });
    const stored = await cache.ensure(other, wants('other'), endless);
    expect(stored.facts.executable).toBe(sha256(elf({ tail: 'other' })));
    expect((await failureOf(cache.ensure(other, wants('missing'), endless))).failure).toBe(
      'ArchiveIncomplete',
    );
    expect(source.downloads).toBe(1);
  });

  test('leaves nothing else in the cache', async () => {
    await aCache(aSource()).ensure(artifact, service, endless);
    const names = (await readdir(join(directory, 'sha256', artifact.sha256.slice(0, 2)))).toSorted();
    expect(names).toEqual([artifact.sha256, expect.stringMatching(/^[0-9a-f]{64}\.[0-9a-f]{16}\.json$/)]);
  });
});

describe('what is not the artifact', () => {
  test('is refused with both digests, and not kept', async () => {
    const other = tarball(unitEntry);
    const failure = await failureOf(aCache(aSource(other)).ensure(artifact, service, endless));
    expect(failure.failure).toBe('DigestMismatch');
    expect(failure.message).toContain(
      `its SHA-256 is ${sha256(other)} (${other.length} bytes), needs ${artifact.sha256}`,
    );
    expect(await filesOf()).toEqual([]);
  });

  test.each<[string, readonly RawEntry[], string]>([
    ['unsafe', [programEntry, unitEntry, { path: '/etc/passwd' }], 'ArchiveUnsafe'],
    ['incomplete', [programEntry], 'ArchiveIncomplete'],
  ])('an %s archive is refused each time', async (_, entries, name) => {
    const content = tarball(...entries);
    const cache = aCache(aSource(content));
    const wrong = artifactAt(artifact.url, content);
    expect((await failureOf(cache.ensure(wrong, service, endless))).failure).toBe(name);
    expect((await failureOf(cache.ensure(wrong, service, endless))).failure).toBe(name);
  });

  test('a digest that is none never becomes a path', async () => {
    const cache = aCache(aSource());
    const sha = '../../../../etc/passwd' as typeof artifact.sha256;
    await expect(cache.ensure({ ...artifact, sha256: sha }, service, endless)).rejects.toThrow(
      '64 lower-case',
    );
  });
});

describe('what was damaged meanwhile is fetched again', () => {
  test.each<[string, (path: string) => Promise<unknown>]>([
    ['cut off', (path) => truncate(path, 10)],
    ['changed', (path) => writeFile(path, Buffer.concat([bytes.subarray(0, -1), Buffer.from('x')]))],
    ['empty', (path) => writeFile(path, '')],
  ])('%s, found by the same process and by the next one', async (_, damage) => {
    const source = aSource();
    const cache = aCache(source);
    await cache.ensure(artifact, service, endless);
    for (const store of [cache, aCache(source)]) {
      await damage(pathOf(artifact));
      const stored = await store.ensure(artifact, service, endless);
      expect(await buffer(stored.open())).toEqual(bytes);
    }
    expect(source.downloads).toBe(3);
  });

  test('notes that are cut off or edited are written again', async () => {
    const cache = aCache(aSource());
    const { facts } = await cache.ensure(artifact, service, endless);
    const notes = join(
      directory,
      (await filesOf()).find((name) => name.endsWith('.json'))!,
    );
    const edited = (await readFile(notes, 'utf8')).replace('"files":2', '"files":9');
    for (const damage of ['', '{', 'null', edited]) {
      await writeFile(notes, damage);
      expect((await cache.ensure(artifact, service, endless)).facts).toEqual(facts);
    }
  });
});

describe('a shared download', () => {
  const abortable = () => {
    const caller = new AbortController();
    return { caller, patience: { signal: caller.signal, progress: () => undefined } };
  };

  test('goes on for the others when the first caller gives up', async () => {
    const source = aSource();
    let open: (value: unknown) => void = () => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    const cache = aCache(source);
    const first = abortable();
    const leaving = cache.ensure(artifact, service, first.patience);
    const staying = cache.ensure(artifact, service, endless);
    await until(() => source.downloads === 1);
    first.caller.abort(new Error('cancelled'));
    await expect(leaving).rejects.toThrow('cancelled');
    open(undefined);
    expect((await staying).sizeBytes).toBe(bytes.length);
    expect(source.downloads).toBe(1);
  });

  test('ends when nobody waits any more, and can be started again', async () => {
    const source = aSource();
    source.gate = new Promise(() => undefined);
    const cache = aCache(source);
    const { caller, patience } = abortable();
    const leaving = cache.ensure(artifact, service, patience);
    await until(() => source.downloads === 1);
    caller.abort(new Error('cancelled'));
    await expect(leaving).rejects.toThrow('cancelled');
    source.gate = Promise.resolve();
    expect((await cache.ensure(artifact, service, endless)).sizeBytes).toBe(bytes.length);
    expect(source.downloads).toBe(2);
  });

  test('that fails fails for all, and for nobody who asks elsewhere', async () => {
    const source = aSource(Buffer.from('not it'));
    const cache = aCache(source);
    const wrong = { ...artifact, url: 'https://git.example/wrong' };
    const outcomes = await Promise.allSettled([
      cache.ensure(wrong, service, endless),
      cache.ensure(wrong, service, endless),
      (async () => {
        await until(() => source.downloads === 1);
        const asked = cache.ensure(artifact, service, endless);
        source.content = bytes;
        return asked;
      })(),
    ]);
    expect(outcomes.at(-1)?.status).toBe('fulfilled');
  });

  test('between processes ends with one whole file', async () => {
    const place = join(directory, 'source.tar.gz');
    const big = tarball(programEntry, unitEntry, { path: 'big', body: Buffer.alloc(3_000_000, 'x') });
    await writeFile(place, big);
    const asked = artifactAt(`file://${place}`, big);
    const script = join(import.meta.dirname, 'ensure-once.ts');
    const cache = join(directory, 'cache');
    const outcomes = await Promise.all(
      [1, 2, 3].map(() =>
        promisify(execFile)(process.execPath, ['--import', 'tsx', script, cache, asked.url, asked.sha256]),
      ),
    );
    expect(outcomes.map(({ stdout }) => stdout.trim())).toEqual(Array(3).fill(String(big.length)));
    const kept = await readdir(join(cache, 'sha256', asked.sha256.slice(0, 2)));
    expect(kept.filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});

describe('the cache keeps to its size', () => {
  test('and drops what was not used for longest, but nothing that may be in use', async () => {
    const contents = ['one', 'two', 'three'].map((tail) =>
      tarball({ ...programEntry, body: elf({ tail }) }, unitEntry),
    );
    const artifacts = contents.map((content) => artifactAt(artifact.url, content));
    const source = aSource();
    const cache = aCache(source, { maxBytes: contents[0]!.length + contents[1]!.length });
    const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);
    for (const [index, content] of contents.slice(0, 2).entries()) {
      source.content = content;
      await cache.ensure(artifacts[index]!, service, endless);
    }
    const { mtime } = await stat(pathOf(artifacts[0]!));
    await utimes(pathOf(artifacts[0]!), hoursAgo(2), mtime);
    source.content = contents[2]!;
    await cache.ensure(artifacts[2]!, service, endless);
    const kept = (await filesOf()).map((name) => name.split('/').at(-1)!);
    expect(kept.some((name) => name.startsWith(artifacts[0]!.sha256))).toBe(false);
    expect(kept).toEqual(expect.arrayContaining([artifacts[1]!.sha256, artifacts[2]!.sha256]));
  });

  test('and sweeps away downloads that a crash cut off, but none that may still run', async () => {
    const cache = aCache(aSource());
    await cache.ensure(artifact, service, endless);
    const [old, young] = [`${pathOf(artifact)}.1-old.part`, `${pathOf(artifact)}.1-young.part`];
    await writeFile(old, 'half');
    await writeFile(young, 'half');
    await utimes(old, new Date(0), new Date(0));
    await cache.ensure(artifact, service, endless);
    const kept = await filesOf();
    expect(kept.some((name) => name.endsWith('old.part'))).toBe(false);
    expect(kept.some((name) => name.endsWith('young.part'))).toBe(true);
  });
});

describe('a URL is refused before anybody is asked', () => {
  test.each([
    ['https://ci:hunter2@git.example/a', 'a user name or password before the host'],
    ['https://s3.example/a?X-Amz-Signature=hunter2', 'the parameter "X-Amz-Signature"'],
    ['ftp://git.example/a', 'does not read ftp://, needs https://'],
    ['nonsense', 'needs https://... or file:///...'],
  ])('%s', async (url, words) => {
    const source = aSource();
    const failure = await failureOf(aCache(source).ensure({ ...artifact, url }, service, endless));
    expect(failure.failure).toBe('RequestInvalid');
    expect(failure.message).toContain(words);
    expect(failure.message).not.toContain('hunter2');
    expect(source.downloads).toBe(0);
  });
});

test('reads files of the worker with their own driver', async () => {
  const place = join(directory, 'source.tar.gz');
  await writeFile(place, bytes);
  const cache = aCache(createFileArtifacts());
  expect((await cache.ensure(artifactAt(`file://${place}`, bytes), service, endless)).sizeBytes).toBe(
    bytes.length,
  );
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
