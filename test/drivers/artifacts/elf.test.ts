import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readElf, type Elf } from '../../../drivers/artifacts/elf.js';
import { CBuild, calls, defines } from '../../support/c-build.js';
import { elf as smallest } from './tarball.js';

let build: CBuild;
beforeAll(async () => {
  build = new CBuild(await mkdtemp(join(tmpdir(), 'verdigris-elf-')));
});
afterAll(() => rm(build.directory, { recursive: true }));

async function read(path: string): Promise<Elf> {
  const reading = readElf(await readFile(path));
  if (reading.kind !== 'read') throw new Error(reading.complaint);
  return reading.elf;
}

const copying =
  '#include <string.h>\nint main(int n, char **v) { char b[64]; strcpy(b, v[0]); return b[n]; }\n';
const readelf = async (...words: string[]) =>
  (await promisify(execFile)('readelf', ['--wide', ...words])).stdout;

describe('what was built here', () => {
  test.each([
    [
      'as distributions build',
      ['-O2', '-fPIE', '-pie', '-fstack-protector-strong', '-Wl,-z,relro,-z,now'],
      { positionIndependent: true, relro: 'full', executableStack: false, stackProtector: true },
    ],
    [
      'with bindings left open',
      ['-fPIE', '-pie', '-fno-stack-protector', '-Wl,-z,relro,-z,lazy'],
      { positionIndependent: true, relro: 'partial', executableStack: false, stackProtector: false },
    ],
    [
      'without any protection',
      ['-no-pie', '-fno-stack-protector', '-Wl,-z,norelro', '-Wl,-z,execstack'],
      { positionIndependent: false, relro: 'none', executableStack: true, stackProtector: false },
    ],
  ])('%s has this hardening', async (name, flags, hardening) => {
    const path = await build.compile(`hardening/${name.replaceAll(' ', '-')}`, copying, ...flags);
    expect((await read(path)).hardening).toEqual(hardening);
  });

  test('reads what readelf reads', async () => {
    await build.library('lib/libgreet.so.1', defines('greet'), 'libgreet.so.1');
    const path = await build.compile(
      'bin/reader',
      calls('greet'),
      'lib/libgreet.so.1',
      '-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib:/opt/lib',
      '-Wl,--build-id=sha1',
    );
    const elf = await read(path);
    const dynamic = await readelf('--dynamic', path);
    expect(elf.needed).toEqual([...dynamic.matchAll(/NEEDED.*\[(.*)\]/g)].map((match) => match[1]));
    expect(elf.runpath).toEqual(['$ORIGIN/../lib', '/opt/lib']);
    expect(elf.rpath).toEqual([]);
    expect(elf.buildId).toBe(/Build ID: (\w+)/.exec(await readelf('--notes', path))?.[1]);
    expect(await readelf('--program-headers', path)).toContain(`interpreter: ${elf.interpreter}]`);
    expect(elf.machine).toBe(process.arch === 'arm64' ? 'aarch64' : 'x86-64');
  });

  test('tells an RPATH from a RUNPATH', async () => {
    const flag = '-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib';
    const { rpath, runpath } = await read(await build.compile('bin/old-tags', copying, flag));
    expect([rpath, runpath]).toEqual([['$ORIGIN/../lib'], []]);
  });

  test('names the symbol that needs the highest version of each family', async () => {
    const source = `long __isoc99_strtol_of_tomorrow(void), _ZSt9tomorrowv(void), __cxa_tomorrow(void);
#include <stdio.h>
int main(void) { puts(""); return (int)(__isoc99_strtol_of_tomorrow() + _ZSt9tomorrowv() + __cxa_tomorrow()); }`;
    const path = await build.needingNewer(
      'bin/tomorrow',
      source,
      ['libc.so.6', 'GLIBC_2.99', '__isoc99_strtol_of_tomorrow'],
      ['libstdc++.so.6', 'GLIBCXX_3.4.99', '_ZSt9tomorrowv'],
      ['libxabi.so.6', 'CXXABI_1.9', '__cxa_tomorrow'],
    );
    const { versions } = await read(path);
    expect(versions).toEqual(
      expect.arrayContaining([
        { library: 'libc.so.6', version: 'GLIBC_2.99', symbol: '__isoc99_strtol_of_tomorrow' },
        { library: 'libstdc++.so.6', version: 'GLIBCXX_3.4.99', symbol: '_ZSt9tomorrowv' },
        { library: 'libxabi.so.6', version: 'CXXABI_1.9', symbol: '__cxa_tomorrow' },
      ]),
    );
  });

  test('does not hold a version against a program that it can do without', async () => {
    const bytes = await readFile(await build.compile('bin/perhaps', copying));
    const known = readElf(bytes);
    expect(known.kind === 'read' && known.elf.versions).not.toEqual([]);
    let versions = 0;
    withDynamic(bytes, (tag, value) => {
      if (tag === versionsTag) versions = value;
      return [tag, value];
    });
    // Linkers mark so what only weak symbols need. In the first segment, addresses are places in the file.
    const weak = Buffer.from(bytes);
    let detail = versions + 16;
    for (let left = bytes.readUInt16LE(versions + 2); left > 0; left--, detail += 16) {
      weak.writeUInt16LE(2, detail + 4);
    }
    expect(readElf(weak)).toMatchObject({ kind: 'read', elf: { versions: [] } });
  });

  test('tells what a library offers', async () => {
    await writeFile(join(build.directory, 'versions'), 'GLIBC_2.96 { a; }; GLIBC_2.97 { b; } GLIBC_2.96;');
    const flag = '-Wl,--version-script=versions';
    const path = await build.library('lib/offers.so', defines('a') + defines('b'), 'offers.so', flag);
    expect((await read(path)).offers).toEqual(['GLIBC_2.97']);
  });

  test('a static program needs nothing', async () => {
    const elf = await read(await build.compile('bin/static', copying, '-static'));
    expect(elf).toMatchObject({ needed: [], versions: [], hardening: { stackProtector: 'unknown' } });
    expect(elf).not.toHaveProperty('interpreter');
  });
});

describe('hostile input', () => {
  /** The reader gives an answer or a complaint; what it throws would be our own mistake. */
  function answers(bytes: Buffer): void {
    const reading = readElf(bytes);
    if (reading.kind === 'unusable') expect(reading.complaint).toMatch(/^(is|has|names|needs|cannot) /);
  }

  test('any bytes behind the header of a program', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (tail) => {
        const bytes = smallest({ tail: '' });
        answers(Buffer.concat([bytes, Buffer.from(tail)]));
      }),
      { numRuns: 500 },
    );
  });

  test('a real program of which any few numbers were changed', async () => {
    const bytes = await readFile(await build.compile('bin/victim', copying));
    // Where the numbers are that others are found by: headers, dynamic section, tables of versions and symbols.
    const places = [...bytes.keys()].filter((at) => at < 0x800 || (at > 0x2d00 && at < 0x3100));
    const numbers = fc.oneof(
      fc.constantFrom(0, 1, 0x7fffffff, 0xffffffff, 0xfffffff8),
      fc.nat({ max: 0xffffffff }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...places), numbers), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const changed = Buffer.from(bytes);
          for (const [at, number] of changes) changed.writeUInt32LE(number, Math.min(at, changed.length - 4));
          answers(changed);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('a real program cut off anywhere', async () => {
    const bytes = await readFile(await build.compile('bin/cut', copying));
    fc.assert(fc.property(fc.nat({ max: bytes.length }), (end) => answers(bytes.subarray(0, end))));
    expect(readElf(bytes.subarray(0, 0x400))).toMatchObject({
      kind: 'unusable',
      complaint: expect.stringContaining('damaged'),
    });
  });

  test('the same versions over and over are refused before they are all read', () => {
    expect(readElf(manyVersions())).toEqual({
      kind: 'unusable',
      complaint: 'is a damaged ELF file: it needs more than 4096 versions',
    });
  });

  test('tables that count more than any file holds end at once', async () => {
    const bytes = await readFile(await build.compile('bin/endless', copying));
    const crowded = withDynamic(bytes, (tag, value) =>
      tag === versionCountTag ? [tag, 0xffffffff] : [tag, value],
    );
    answers(crowded);
    // A list that leads back to itself.
    const round = withDynamic(bytes, (tag, value) => {
      if (tag === versionsTag) bytes.writeUInt32LE(0, value + 12);
      return [tag, value];
    });
    answers(round);
  });
});

/** A file in which each of 4096 libraries names the same 65,535 versions: 268 million, of one megabyte. */
function manyVersions(): Buffer {
  const [files, details] = [4096, 65_535];
  const [dynamicAt, stringsAt, filesAt] = [64 + 2 * 56, 0x200, 0x210];
  const detailsAt = filesAt + files * 16;
  const bytes = Buffer.alloc(detailsAt + details * 16);
  smallest({ tail: '' }).copy(bytes);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(2, 56);
  for (const [at, type, begin, size] of [
    [64, 1, 0, bytes.length],
    [64 + 56, 2, dynamicAt, 5 * 16],
  ] as const) {
    bytes.writeUInt32LE(type, at);
    for (const [field, value] of [
      [8, begin],
      [16, begin],
      [32, size],
    ] as const) {
      bytes.writeBigUInt64LE(BigInt(value), at + field);
    }
  }
  const entries = [
    [5, stringsAt],
    [10, 16],
    [versionsTag, filesAt],
    [versionCountTag, files],
  ] as const;
  for (const [index, [tag, value]] of entries.entries()) {
    bytes.writeBigUInt64LE(BigInt(tag), dynamicAt + index * 16);
    bytes.writeBigUInt64LE(BigInt(value), dynamicAt + index * 16 + 8);
  }
  for (let file = 0; file < files; file++) {
    const at = filesAt + file * 16;
    bytes.writeUInt16LE(details, at + 2);
    bytes.writeUInt32LE(detailsAt - at, at + 8);
    bytes.writeUInt32LE(16, at + 12);
  }
  for (let detail = 0; detail < details; detail++) bytes.writeUInt32LE(16, detailsAt + detail * 16 + 12);
  return bytes;
}

const versionsTag = 0x6ffffffe;
const versionCountTag = 0x6fffffff;

/** Changes entries of the dynamic section in a copy. */
function withDynamic(
  bytes: Buffer,
  change: (tag: number, value: number) => readonly [number, number],
): Buffer {
  const copy = Buffer.from(bytes);
  const table = Number(copy.readBigUInt64LE(32));
  for (let index = 0; index < copy.readUInt16LE(56); index++) {
    const header = table + index * 56;
    if (copy.readUInt32LE(header) !== 2) continue;
    const begin = Number(copy.readBigUInt64LE(header + 8));
    const end = begin + Number(copy.readBigUInt64LE(header + 32));
    for (let at = begin; at < end; at += 16) {
      const [tag, value] = change(Number(copy.readBigUInt64LE(at)), Number(copy.readBigUInt64LE(at + 8)));
      copy.writeBigUInt64LE(BigInt(tag), at);
      copy.writeBigUInt64LE(BigInt(value), at + 8);
    }
  }
  return copy;
}
