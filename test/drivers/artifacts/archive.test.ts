import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Failure } from '../../../domain/failures.js';
import { inspectArchive, type ArchiveContents, type Wanted } from '../../../drivers/artifacts/archive.js';
import { endless } from '../../../drivers/patience.js';
import { searchLibraries } from '../../../domain/library-search.js';
import { CBuild, calls, defines } from '../../support/c-build.js';
import {
  elf,
  pax,
  program,
  programEntry,
  sha256,
  tar,
  tarball,
  unit,
  unitEntry,
  type RawEntry,
} from './tarball.js';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-archive-'));
});
afterAll(() => rm(directory, { recursive: true }));

let count = 0;
async function inspect(
  bytes: Buffer,
  limits = { unpackedBytes: 10_000_000, entries: 1000 },
  patience = endless,
): Promise<ArchiveContents> {
  const path = join(directory, `${++count}.tar.gz`);
  await writeFile(path, bytes);
  return inspectArchive(path, 'greeter.tar.gz', wanted, limits, patience);
}

let wanted: Wanted = program;
const wanting = (...configurationFiles: readonly string[]) => {
  wanted = { ...program, configurationFiles };
};
afterEach(() => void (wanted = program));

async function refusalOf(
  bytes: Buffer,
  ...rest: [{ unpackedBytes: number; entries: number }?]
): Promise<Failure> {
  const failure = await inspect(bytes, ...rest).then(
    () => undefined,
    (error: unknown) => error as Failure,
  );
  expect(failure?.message).toMatch(/^Cannot use "greeter.tar.gz":\n {2}/);
  return failure!;
}

const withProgram = (...entries: readonly RawEntry[]) => tarball(programEntry, unitEntry, ...entries);

/** A program with a library beside it, as CMake installs them. */
async function withLibrary(name: string, ...flags: readonly string[]): Promise<string> {
  const build = new CBuild(join(directory, name));
  const built = await build.library('lib/libgreet.so.1.2', defines('greet'), 'libgreet.so.1');
  await build.compile('bin/greeter', calls('greet'), built, ...flags);
  await symlink('libgreet.so.1.2', join(build.directory, 'lib/libgreet.so.1'));
  await symlink('libgreet.so.1', join(build.directory, 'lib/libgreet.so'));
  await writeFile(join(build.directory, 'greeter.service'), unit);
  return build.directory;
}

const packed = (tree: string): Buffer =>
  execFileSync('tar', ['-C', tree, '-czf', '-', '.'], { maxBuffer: 20_000_000 });

describe('what the loader needs', () => {
  test('is told of the program and of the libraries that it brings along', async () => {
    const tree = await withLibrary('libraries', '-Wl,-rpath,$ORIGIN/../lib');
    await writeFile(join(tree, 'lib/libscript.so'), 'INPUT(libgreet.so)');
    const { binaries } = await inspect(packed(tree));
    expect(binaries).toMatchObject({
      program: { path: 'bin/greeter', needed: ['libgreet.so.1', 'libc.so.6'], runpath: ['$ORIGIN/../lib'] },
      libraries: [{ path: 'lib/libgreet.so.1.2', machine: expect.any(String) }],
      unread: [],
    });
    expect(binaries.libraries[0]?.links.toSorted()).toEqual(['lib/libgreet.so', 'lib/libgreet.so.1']);
    expect([...searchLibraries(binaries, '/opt/greeter').found.keys()]).toEqual(['libgreet.so.1']);
  });

  test('is told of a program whose file is larger than what is looked at', async () => {
    const tree = await withLibrary('debugged', '-Wl,-rpath,$ORIGIN/../lib');
    execFileSync('truncate', ['-s', '70M', join(tree, 'bin/greeter')]);
    const { binaries } = await inspect(packed(tree), { unpackedBytes: 1e9, entries: 100 });
    expect(binaries.program.needed).toEqual(['libgreet.so.1', 'libc.so.6']);
  });

  test('is not told of a damaged library, which is said', async () => {
    const broken = elf({ tail: '' });
    broken.writeUInt16LE(9, 56);
    broken.writeUInt16LE(56, 54);
    const { binaries } = await inspect(withProgram({ path: 'lib/libbroken.so', body: broken }));
    expect(binaries.unread).toEqual([
      '"lib/libbroken.so" is a damaged ELF file: it points to bytes that it does not have',
    ]);
  });

  test('is refused of a damaged program', async () => {
    const broken = elf({ tail: '' });
    broken.writeUInt16LE(9, 56);
    broken.writeUInt16LE(56, 54);
    expect(await refusalOf(tarball({ ...programEntry, body: broken }, unitEntry))).toMatchObject({
      failure: 'ArchiveIncomplete',
      message: expect.stringContaining('"bin/greeter" is a damaged ELF file'),
    });
  });

  test('is told of no more libraries than a history can hold', async () => {
    const many = Array.from({ length: 70 }, (_, index) => ({ path: `lib/lib${index}.so`, body: elf() }));
    const { binaries } = await inspect(withProgram(...many));
    expect(binaries.libraries).toHaveLength(64);
    expect(binaries.unread).toEqual(['6 more libraries of the artifact were not looked at']);
  });
});

describe('a good archive', () => {
  test('gives the digest of its program and the text of its unit', async () => {
    expect(await inspect(withProgram({ path: 'etc/', type: '5', mode: 0o755 }))).toEqual({
      executable: sha256(elf()),
      binaries: {
        program: expect.objectContaining({ path: 'bin/greeter', machine: 'x86-64', needed: [] }),
        libraries: [],
        unread: [],
        libraryPath: [],
      },
      unitTemplate: unit,
      configuration: [],
      files: 2,
      entries: 3,
      unpackedBytes: 512 * 2 + 512 * 2 + 512 + 1024,
    });
  });

  test('may have been made by the usual tools, in their formats', async () => {
    const tree = join(directory, 'tree');
    await mkdir(join(tree, 'bin'), { recursive: true });
    await mkdir(join(tree, 'lib', 'a'.repeat(90), 'é'.repeat(20)), { recursive: true });
    await writeFile(join(tree, 'bin/greeter'), elf({ tail: 'x'.repeat(3_000_000) }), { mode: 0o755 });
    await writeFile(join(tree, 'lib', 'a'.repeat(90), 'é'.repeat(20), 'b.so.1'), 'library');
    await symlink('b.so.1', join(tree, 'lib', 'a'.repeat(90), 'é'.repeat(20), 'b.so'));
    await symlink('../bin/greeter', join(tree, 'lib', 'greeter'));
    await writeFile(join(tree, 'greeter.service'), unit);
    for (const format of ['gnu', 'posix', 'ustar']) {
      const bytes = execFileSync('tar', [`--format=${format}`, '-C', tree, '-czf', '-', '.'], {
        maxBuffer: 20_000_000,
      });
      expect(await inspect(bytes)).toMatchObject({ unitTemplate: unit, files: 5 });
    }
  });

  test('may be for aarch64, be linked statically, and have hard links to files before them', async () => {
    const bytes = tarball({ ...programEntry, body: elf({ machine: 183, type: 2 }) }, unitEntry, {
      path: 'bin/alias',
      type: '1',
      link: 'bin/greeter',
    });
    expect(await inspect(bytes)).toMatchObject({ binaries: { program: { machine: 'aarch64' } }, files: 3 });
  });

  test('may name its directories more than once', async () => {
    const etc = { path: 'etc/', type: '5', mode: 0o755 };
    expect(await inspect(withProgram(etc, { ...etc, path: './etc' }))).toMatchObject({ files: 2 });
  });

  test('may carry harmless extended attributes', async () => {
    const file = { path: 'x', body: 'x' };
    expect(
      await inspect(withProgram(pax({ mtime: '1.5', 'SCHILY.xattr.user.note': 'hello', path: 'y' }), file)),
    ).toMatchObject({ files: 3 });
  });
});

describe('the files of the configuration', () => {
  test('are given as they are before they are filled in', async () => {
    wanting('etc/greeter.conf', 'etc/empty');
    const conf = { path: './etc/greeter.conf', body: 'greeting = {{greeting}}\n' };
    expect(await inspect(withProgram(conf, { path: 'etc/empty', body: '' }))).toMatchObject({
      configuration: [
        { path: 'etc/greeter.conf', text: 'greeting = {{greeting}}\n' },
        { path: 'etc/empty', text: '' },
      ],
    });
  });

  test.each<[string, RawEntry | undefined, string]>([
    ['missing', undefined, '"etc/greeter.conf" is missing (configuration.files)'],
    [
      'a link',
      { path: 'etc/greeter.conf', type: '2', mode: 0o777, link: '../bin/greeter' },
      'is no regular file',
    ],
    [
      'no text',
      { path: 'etc/greeter.conf', body: Buffer.from([0xff]) },
      'is no UTF-8 text (configuration.files)',
    ],
    ['too large', { path: 'etc/greeter.conf', body: '#'.repeat(65 * 1024) }, 'is larger than 64 KiB'],
  ])('are refused when one is %s', async (_, entry, words) => {
    wanting('etc/greeter.conf');
    const failure = await refusalOf(withProgram(...(entry ? [entry] : [])));
    expect(failure.failure).toBe('ArchiveIncomplete');
    expect(failure.message).toContain(words);
  });
});

describe('an archive is unsafe', () => {
  const link = (path: string, target: string): RawEntry => ({ path, type: '2', mode: 0o777, link: target });

  test.each<[string, readonly RawEntry[], string]>([
    ['with an absolute path', [{ path: '/etc/passwd' }], '"/etc/passwd" has an absolute path'],
    ['with ".." in a path', [{ path: 'a/../../b' }], '"a/../../b" has ".." in its path'],
    ['with ".." at the end', [{ path: 'a/..', type: '5' }], 'has ".." in its path'],
    ['with a link to an absolute path', [link('etc', '/etc')], 'links to the absolute path "/etc"'],
    ['with a link out', [link('lib/x', '../../x')], 'links to "../../x", which is outside of the archive'],
    [
      'with a link out through another link',
      [link('sub/d', '..'), link('e', 'sub/d/../x')],
      '"e" links to "sub/d/../x", which is outside of the archive',
    ],
    [
      'with a link out through a link that comes later',
      [link('e', 'sub/d/../x'), link('sub/d', '..')],
      '"e" links to "sub/d/../x", which is outside',
    ],
    ['with links in a circle', [link('a', 'b'), link('b', 'a')], 'which goes round in circles'],
    [
      'with a file written through a link',
      [link('lib', 'bin'), { path: 'lib/greeter', body: 'x' }],
      '"lib/greeter" lies below "lib", which is no directory',
    ],
    [
      'with a file below a file',
      [{ path: 'a', body: 'x' }, { path: 'a/b' }],
      '"a/b" lies below "a", which is no directory',
    ],
    ['with a hard link out', [{ path: 'p', type: '1', link: '../x' }], '"p" links to "../x" with ".." in it'],
    [
      'with an absolute hard link',
      [{ path: 'p', type: '1', link: '/etc/shadow' }],
      'links to the absolute path',
    ],
    [
      'with a hard link through a link',
      [link('l', 'bin'), { path: 'p', type: '1', link: 'l/greeter' }],
      'which is no file before it in the archive',
    ],
    [
      'with a hard link that carries data',
      [{ path: 'p', type: '1', link: 'bin/greeter', body: 'x' }],
      'is a link that carries data',
    ],
    ['with a character device', [{ path: 'null', type: '3' }], '"null" is a character device'],
    ['with a block device', [{ path: 'sda', type: '4' }], '"sda" is a block device'],
    ['with a fifo', [{ path: 'pipe', type: '6' }], '"pipe" is a fifo'],
    ['with a set-uid file', [{ path: 'su', mode: 0o4755 }], '"su" is set-uid or set-gid'],
    ['with a set-gid directory', [{ path: 'd/', type: '5', mode: 0o2755 }], '"d/" is set-uid or set-gid'],
    ['with a path twice', [{ path: './bin//greeter', body: 'other' }], '"./bin//greeter" is there twice'],
    ['with a link in the place of a file', [link('bin/greeter', 'x')], '"bin/greeter" is there twice'],
    ['with a line break in a name', [{ path: 'a\nb' }], '"a?b" has control characters'],
    ['with a name that is no UTF-8', [pax({ path: 'a\ufffd' }), { path: 'x' }], 'no UTF-8 in its name'],
    ['with a damaged header', [{ path: 'x', damaged: true }], 'has an entry whose header is damaged'],
    ['with a sparse file', [{ path: 'x', type: 'S' }], 'of a kind that not every tar reads'],
    ['with a volume label', [{ path: 'x', type: 'V' }], 'of a kind that not every tar reads'],
    ['with an unknown kind', [{ path: 'x', type: 'Q' }], 'of a kind that not every tar reads'],
    [
      'with a long name of an old kind',
      [{ path: 'x', type: 'N', body: 'bin/y' }, { path: 'y' }],
      'not every tar reads',
    ],
    [
      'with a size that only some read',
      [pax({ size: '0' }), { path: 'x', body: 'x' }],
      'extended attribute "size"',
    ],
    [
      'with a name that only some read',
      [pax({ 'GNU.sparse.name': '../x' }), { path: 'x' }],
      'extended attribute "GNU.sparse.name"',
    ],
    [
      'with a mode that only some read',
      [pax({ mode: '493' }), { path: 'x', mode: 0o4755 }],
      'extended attribute "mode"',
    ],
    [
      'with capabilities',
      [pax({ 'SCHILY.xattr.security.capability': 'x' }), { path: 'x' }],
      'extended attribute "SCHILY.xattr.security.capability"',
    ],
    [
      'with a line break in a record',
      [pax({ path: 'a\nb' }), { path: 'x' }],
      'has a damaged extended header',
    ],
    ['with one name for all', [pax({ path: 'y' }, 'g'), { path: 'x' }], 'gives one name to all entries'],
  ])('%s', async (_, entries, words) => {
    const failure = await refusalOf(withProgram(...entries));
    expect(failure.failure).toBe('ArchiveUnsafe');
    expect(failure.message).toContain(words);
  });

  test('when it goes on after an empty block, where some unpackers stop', async () => {
    const bytes = gzipSync(
      Buffer.concat([tar([programEntry, unitEntry], Buffer.alloc(512)), tar([{ path: 'hidden' }])]),
    );
    expect((await refusalOf(bytes)).message).toContain('goes on after its end');
  });

  test.each<[string, () => Buffer, string]>([
    ['no gzip', () => tar([programEntry, unitEntry]), 'is not compressed with gzip, needs a tar.gz'],
    ['a web page', () => Buffer.from('<html>login</html>'), 'is not compressed with gzip, needs a tar.gz'],
    ['empty', () => Buffer.alloc(0), 'tar'],
    ['cut off', () => withProgram({ path: 'x', body: noise(9000) }).subarray(0, -4000), 'ends in the middle'],
    ['no tar', () => gzipSync(Buffer.from('hello')), 'is no whole tar archive'],
    ['compressed twice', () => gzipSync(withProgram()), 'is compressed twice'],
    ['compressed twice, byte by byte', () => withLoneFirstByte(withProgram()), 'is compressed twice'],
    [
      'compressed by zstd as well',
      () => gzipSync(Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), noise(2_000)])),
      'is compressed twice',
    ],
    [
      'a tar that is cut off',
      () => gzipSync(tar([unitEntry, programEntry]).subarray(0, 1500)),
      'is no whole tar',
    ],
    [
      'damaged',
      () => damaged(withProgram({ path: 'x', body: noise(9000) })),
      'is damaged inside its gzip data',
    ],
  ])('when it is %s, and says so', async (_, bytes, words) => {
    const failure = await refusalOf(bytes());
    expect(failure.failure).toBe('ArchiveUnsafe');
    expect(failure.message).toContain(words);
  });

  test('when it would fill the disk, and stops reading there', async () => {
    const bomb = withProgram({ path: 'zeros', body: Buffer.alloc(5_000_000) });
    const failure = await refusalOf(bomb, { unpackedBytes: 1_000_000, entries: 10 });
    expect(failure).toMatchObject({ failure: 'ArchiveUnsafe' });
    expect(failure.message).toContain('is larger than 1 MB when unpacked');
  });

  test('when it has too many entries', async () => {
    const many = Array.from({ length: 50 }, (_, index) => ({ path: `f${index}` }));
    expect((await refusalOf(withProgram(...many), { unpackedBytes: 1e6, entries: 20 })).message).toContain(
      'has more than 20 entries',
    );
  });

  test('and all complaints come at once, but never a flood', async () => {
    const failure = await refusalOf(
      tarball({ path: '/abs' }, { path: 'su', mode: 0o6755 }, link('out', '../..'), {
        path: 'dev',
        type: '3',
      }),
    );
    for (const words of ['"/abs"', '"su"', '"out"', '"dev"', '"bin/greeter" is missing']) {
      expect(failure.message).toContain(words);
    }
    const flood = await refusalOf(
      withProgram(...Array.from({ length: 500 }, (_, index) => ({ path: `/${index}` }))),
    );
    expect(flood.message).toContain('and 480 more');
    expect(flood.message.split('\n')).toHaveLength(22);
  });
});

describe('an archive is incomplete', () => {
  test.each<[string, readonly RawEntry[], string]>([
    [
      'without the program',
      [unitEntry, { path: 'x' }],
      '"bin/greeter" is missing (program.executable), there is "greeter.service", "x"',
    ],
    [
      'one folder too deep',
      [{ ...programEntry, path: 'greeter-1.0/bin/greeter' }, unitEntry],
      'there is "greeter-1.0/bin/greeter"',
    ],
    ['with nothing in it', [{ path: 'bin/', type: '5' }], 'there is no file at all'],
    ['without the unit', [programEntry], '"greeter.service" is missing (program.unitFile)'],
    [
      'with a program that is not executable',
      [{ ...programEntry, mode: 0o644 }, unitEntry],
      'is not executable, needs mode 755',
    ],
    [
      'with a script',
      [{ ...programEntry, body: '#!/bin/sh\n' }, unitEntry],
      'is a script, needs an ELF program',
    ],
    ['with an empty program', [{ ...programEntry, body: '' }, unitEntry], 'is empty, needs an ELF program'],
    ['with text for a program', [{ ...programEntry, body: 'hello' }, unitEntry], 'is no ELF program'],
    [
      'with a 32-bit program',
      [{ ...programEntry, body: elf({ elfClass: 1 }) }, unitEntry],
      'of another class',
    ],
    [
      'with a program for another machine',
      [{ ...programEntry, body: elf({ machine: 243 }) }, unitEntry],
      'for another machine',
    ],
    [
      'with an object file',
      [{ ...programEntry, body: elf({ type: 1 }) }, unitEntry],
      'no program (an object or core file)',
    ],
    [
      'with a link for a program',
      [
        { path: 'bin/real', mode: 0o755, body: elf() },
        { path: 'bin/greeter', type: '2', link: 'real' },
        unitEntry,
      ],
      '"bin/greeter" is no regular file',
    ],
    [
      'with a unit that is too large',
      [programEntry, { ...unitEntry, body: '#'.repeat(65 * 1024) }],
      'is larger than 64 KiB',
    ],
    [
      'with a unit that is no text',
      [programEntry, { ...unitEntry, body: Buffer.from([0xff, 0xfe]) }],
      'is no UTF-8 text',
    ],
  ])('%s', async (_, entries, words) => {
    const failure = await refusalOf(tarball(...entries));
    expect(failure.failure).toBe('ArchiveIncomplete');
    expect(failure.message).toContain(words);
  });
});

test('ends when the caller gives up', async () => {
  const patience = { signal: AbortSignal.abort(new Error('cancelled')), progress: () => undefined };
  await expect(inspect(withProgram(), undefined, patience)).rejects.toThrow('cancelled');
});

test('never hangs or crashes on damaged bytes: it refuses or it reads', async () => {
  const good = tar([
    programEntry,
    unitEntry,
    { path: 'lib/x', type: '2', link: 'y' },
    pax({ path: 'é' }),
    { path: 'z', body: 'z' },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      async (changes) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        const outcome = await inspect(gzipSync(bytes)).catch((error: Failure) => error.failure);
        expect(outcome).toBeDefined();
      },
    ),
    { numRuns: 200 },
  );
});

/** Does not get smaller when it is compressed. */
/** A gzip of which the first 64 KiB, which are read at once, hold no more than the first byte. */
function withLoneFirstByte(bytes: Buffer): Buffer {
  const first = bytes.subarray(0, 1);
  const packed = deflateRawSync(first);
  const end = Buffer.alloc(8);
  end.writeUInt32LE(crc32(first), 0);
  end.writeUInt32LE(1, 4);
  const isNamed = Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]);
  const name = Buffer.alloc(65_536 - isNamed.length - packed.length - end.length, 'n');
  name[name.length - 1] = 0;
  return Buffer.concat([isNamed, name, packed, end, gzipSync(bytes.subarray(1))]);
}

const noise = (bytes: number): Buffer => randomBytes(bytes);

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.fill(0xff, copy.length - 3000, copy.length - 2900);
  return copy;
}
