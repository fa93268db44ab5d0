import { describe, expect, test } from 'vitest';
import {
  compareVersions,
  familyVersion,
  hardeningGaps,
  type Binary,
  type VersionNeed,
} from '../../domain/binary.js';
import { complaintsAboutBinaries, warningsAboutBinaries } from '../../domain/compatibility.js';
import { libraryPathOf, searchLibraries, type Binaries } from '../../domain/library-search.js';
import type { Observation, PlatformFacts } from '../../domain/observation.js';
import type { Server } from '../../domain/service.js';
import { aProgram, debian12, loader } from '../support/binaries.js';

const program = aProgram;
const { hardening: hardened } = program;
const { interpreter: _loader, ...rest } = program;
const library = (path: string, more: Partial<Binary> = {}): Binary => ({
  ...rest,
  path,
  versions: [],
  needed: ['libc.so.6'],
  ...more,
});
const binaries = (more: Partial<Binaries> = {}): Binaries => ({
  program,
  libraries: [],
  unread: [],
  libraryPath: [],
  ...more,
});
const needing = (...versions: VersionNeed[]): Binaries => binaries({ program: { ...program, versions } });

const { glibcxx: _glibcxx, cxxabi: _cxxabi, ...withoutCxx } = debian12;
const { glibc: _glibc, ...notTelling } = debian12;

const servers = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    name: `green-${index + 1}`,
    directory: '/opt/greeter',
  })) as unknown as readonly Server[];

/** Servers of green on these platforms, one each. */
const seen = (...platforms: readonly (PlatformFacts | undefined)[]): Observation =>
  ({
    servers: platforms.map((platform, index) => ({
      kind: 'reached',
      server: `green-${index + 1}`,
      facts: platform === undefined ? {} : { platform },
    })),
  }) as unknown as Observation;

const complaints = (its: Binaries, ...platforms: readonly (PlatformFacts | undefined)[]) =>
  complaintsAboutBinaries(its, servers(platforms.length), seen(...platforms)).map(({ message }) => message);

describe('a program fits', () => {
  test.each<[string, Binaries, PlatformFacts | undefined]>([
    ['where glibc is newer than it needs', binaries(), debian12],
    [
      'where it is exactly as new',
      needing({ library: 'libc.so.6', version: 'GLIBC_2.36', symbol: 'arc4random' }),
      debian12,
    ],
    ['anywhere when it is static', binaries({ program: { ...rest, needed: [], versions: [] } }), notTelling],
    ['where nothing is known, until the loader says otherwise', binaries(), undefined],
    ['where glibc does not tell', binaries(), notTelling],
    ['with versions that have no order', needing({ library: 'libgcc_s.so.1', version: 'GCC_3.0' }), debian12],
    [
      'with a libstdc++ of its own where there is none',
      binaries({
        program: {
          ...program,
          needed: ['libstdc++.so.6'],
          runpath: ['$ORIGIN/../lib'],
          versions: [{ library: 'libstdc++.so.6', version: 'GLIBCXX_3.4.32', symbol: 'f' }],
        },
        libraries: [library('lib/libstdc++.so.6', { offers: ['GLIBCXX_3.4.33', 'CXXABI_1.3.15'] })],
      }),
      withoutCxx,
    ],
    [
      'with a loader outside of /lib, of which a server does not tell',
      binaries({ program: { ...program, interpreter: '/nix/store/x/ld.so' } }),
      debian12,
    ],
  ])('%s', (_, its, platform) => {
    expect(complaints(its, platform)).toEqual([]);
  });
});

describe('a program is refused', () => {
  test.each<[string, Binaries, PlatformFacts, string]>([
    [
      'for a newer glibc',
      needing({ library: 'libc.so.6', version: 'GLIBC_2.38', symbol: '__isoc23_strtol' }),
      debian12,
      'Cannot run "bin/greeter" on green-1: it needs GLIBC_2.38 (`__isoc23_strtol`) of libc.so.6, green-1 has 2.36\n  build on Debian 12, or where glibc is 2.36 at most, not in gcc:latest',
    ],
    [
      'for relocations that only a newer loader reads',
      needing({ library: 'libc.so.6', version: 'GLIBC_ABI_DT_RELR' }),
      { ...debian12, glibc: '2.31', system: 'Debian GNU/Linux 11 (bullseye)' },
      'Cannot run "bin/greeter" on green-1: it needs GLIBC_ABI_DT_RELR of libc.so.6, green-1 has 2.31\n  build on Debian 11, or where glibc is 2.31 at most, not in gcc:latest',
    ],
    [
      'for a newer libstdc++',
      needing({ library: 'libstdc++.so.6', version: 'GLIBCXX_3.4.32', symbol: 'f' }),
      debian12,
      'Cannot run "bin/greeter" on green-1: it needs GLIBCXX_3.4.32 (`f`) of libstdc++.so.6, green-1 has 3.4.30\n  build with the compiler of Debian 12, or link with -static-libstdc++ -static-libgcc',
    ],
    [
      'for a libstdc++ where there is none',
      needing({ library: 'libstdc++.so.6', version: 'CXXABI_1.3.9', symbol: '_ZdlPvm' }),
      withoutCxx,
      'Cannot run "bin/greeter" on green-1: it needs CXXABI_1.3.9 (`_ZdlPvm`) of libstdc++.so.6, green-1 has no libstdc++\n  install it there (libstdc++6, on Red Hat libstdc++), or link with -static-libstdc++ -static-libgcc',
    ],
    [
      'for another machine',
      binaries({ program: { ...program, machine: 'aarch64' } }),
      debian12,
      'Cannot run "bin/greeter" on green-1: it is built for aarch64, green-1 has x86-64\n  build it for x86-64, or deploy to other machines',
    ],
    [
      'for a 32-bit system on a 64-bit kernel',
      binaries(),
      { ...debian12, bits: 32 },
      'Cannot run "bin/greeter" on green-1: it is built for x86-64, green-1 has a 32-bit system\n  build it for 32 bits, or deploy to other machines',
    ],
    [
      'for another C library',
      binaries(),
      { ...notTelling, system: 'Alpine Linux v3.20', interpreters: ['/lib/ld-musl-x86_64.so.1'] },
      `Cannot run "bin/greeter" on green-1: it needs the loader ${loader}, green-1 has /lib/ld-musl-x86_64.so.1\n  build it on Alpine Linux v3.20, or link it statically (-static)`,
    ],
    [
      'for what a library of its own needs',
      binaries({
        program: { ...program, needed: ['libgreet.so.1'], runpath: ['$ORIGIN/../lib'] },
        libraries: [
          library('lib/libgreet.so.1', {
            versions: [{ library: 'libm.so.6', version: 'GLIBC_2.38', symbol: 'fmod' }],
          }),
        ],
      }),
      debian12,
      'Cannot run "bin/greeter" on green-1: lib/libgreet.so.1 needs GLIBC_2.38 (`fmod`) of libm.so.6, green-1 has 2.36\n  build on Debian 12, or where glibc is 2.36 at most, not in gcc:latest',
    ],
    [
      'for a library of its own that is older than its compiler',
      binaries({
        program: {
          ...program,
          needed: ['libstdc++.so.6'],
          runpath: ['$ORIGIN/../lib'],
          versions: [{ library: 'libstdc++.so.6', version: 'GLIBCXX_3.4.32', symbol: 'f' }],
        },
        libraries: [library('lib/libstdc++.so.6', { offers: ['GLIBCXX_3.4.30'] })],
      }),
      debian12,
      'Cannot run "bin/greeter" on green-1: it needs GLIBCXX_3.4.32 (`f`) of libstdc++.so.6, the artifact\'s own lib/libstdc++.so.6 offers 3.4.30\n  pack the libstdc++.so.6 of the compiler that built bin/greeter',
    ],
  ])('%s', (_, its, platform, message) => {
    expect(complaints(its, platform)).toEqual([message]);
  });

  test('with everything at once, and servers of one fault in one sentence', () => {
    const old = { ...debian12, glibc: '2.31', system: 'Debian GNU/Linux 11 (bullseye)' };
    const its = needing(
      { library: 'libc.so.6', version: 'GLIBC_2.34', symbol: 'a' },
      { library: 'libstdc++.so.6', version: 'GLIBCXX_3.4.32', symbol: 'b' },
    );
    const said = complaints(its, old, debian12, old, { ...debian12, machine: 'riscv64' });
    expect(said.map((message) => message.split('\n')[0])).toEqual([
      'Cannot run "bin/greeter" on green-1, green-3: it needs GLIBC_2.34 (`a`) of libc.so.6, green-1, green-3 have 2.31',
      'Cannot run "bin/greeter" on green-1, green-3: it needs GLIBCXX_3.4.32 (`b`) of libstdc++.so.6, green-1, green-3 have 3.4.30',
      'Cannot run "bin/greeter" on green-2: it needs GLIBCXX_3.4.32 (`b`) of libstdc++.so.6, green-2 has 3.4.30',
      'Cannot run "bin/greeter" on green-4: it is built for x86-64, green-4 has riscv64',
    ]);
    expect(complaints(its, ...Array.from({ length: 9 }, () => old))[0]).toContain(
      'on green-1, green-2, green-3, green-4, green-5 and 4 more: it needs',
    );
  });
});

describe('people are warned', () => {
  const warnings = (its: Binaries, observation = seen(debian12)) =>
    warningsAboutBinaries(its, servers(1), observation);

  test('of nothing when nothing is wrong', () => {
    expect(warnings(binaries())).toEqual([]);
  });

  test('of what makes attacks easier, with the flags that mend it', () => {
    const bare = {
      positionIndependent: false,
      relro: 'none',
      executableStack: true,
      stackProtector: false,
    } as const;
    expect(warnings(binaries({ program: { ...program, hardening: bare } }))).toEqual([
      'bin/greeter is loaded at a fixed address (-fPIE -pie), has no RELRO (-Wl,-z,relro,-z,now), has an executable stack (-Wl,-z,noexecstack), shows no stack protector (-fstack-protector-strong)',
    ]);
    expect(hardeningGaps({ ...program, hardening: { ...hardened, relro: 'partial' } })).toEqual([
      'has only partial RELRO (-Wl,-z,now)',
    ]);
    // A static program binds everything when it is linked, and may hide whether it checks its stack.
    expect(
      hardeningGaps({ ...rest, hardening: { ...hardened, relro: 'partial', stackProtector: 'unknown' } }),
    ).toEqual([]);
  });

  test('of a library that was packed and is not found', () => {
    const its = binaries({
      program: { ...program, needed: ['libgreet.so.1'] },
      libraries: [library('lib/libgreet.so.1.0', { links: ['lib/libgreet.so.1'] })],
    });
    expect(warnings(its)).toEqual([
      "bin/greeter does not find the artifact's own lib/libgreet.so.1.0: link it with -Wl,-rpath,'$ORIGIN/../lib', or set Environment=LD_LIBRARY_PATH={{directory}}/current/lib in the unit",
    ]);
  });

  test('of a search path that somebody else fills', () => {
    const its = binaries({ program: { ...program, runpath: ['/home/ci/build/lib', '', '/usr/lib'] } });
    expect(warnings(its).map((text) => text.split(':')[0])).toEqual([
      'bin/greeter looks for libraries in "/home/ci/build/lib"',
      'bin/greeter looks for libraries in ""',
    ]);
  });

  test('of servers that could not be compared', () => {
    for (const platform of [undefined, notTelling]) {
      expect(warnings(binaries(), seen(platform)).join()).toContain(
        'green-1: which glibc is there could not be told',
      );
    }
  });
});

describe('libraries of the artifact are found', () => {
  const found = (its: Binaries) =>
    [...searchLibraries(its, '/opt/greeter').found].map(([name, { path }]) => `${name} in ${path}`);
  const needs = (more: Partial<Binary>): Binary => ({ ...program, needed: ['liba.so.1'], ...more });
  const a = library('lib/liba.so.1', { needed: ['libb.so.1'] });
  const b = library('lib/deep/libb.so.1');

  test.each<[string, Binaries, readonly string[]]>([
    ['by no path', binaries({ program: needs({}), libraries: [a] }), []],
    [
      'by $ORIGIN',
      binaries({ program: needs({ runpath: ['$ORIGIN/../lib'] }), libraries: [a] }),
      ['liba.so.1 in lib/liba.so.1'],
    ],
    [
      'by ${ORIGIN}',
      binaries({ program: needs({ rpath: ['/x', '${ORIGIN}/../lib'] }), libraries: [a] }),
      ['liba.so.1 in lib/liba.so.1'],
    ],
    [
      "by the unit's LD_LIBRARY_PATH",
      binaries({ program: needs({}), libraries: [a], libraryPath: ['{{directory}}/current/lib'] }),
      ['liba.so.1 in lib/liba.so.1'],
    ],
    [
      'by the path through current',
      binaries({ program: needs({ runpath: ['/opt/greeter/current/lib/'] }), libraries: [a] }),
      ['liba.so.1 in lib/liba.so.1'],
    ],
    [
      'through a link',
      binaries({
        program: needs({ runpath: ['$ORIGIN/../lib'] }),
        libraries: [library('lib/liba.so.1.2.3', { links: ['lib/liba.so.1'] })],
      }),
      ['liba.so.1 in lib/liba.so.1.2.3'],
    ],
    [
      'for a library by its own RUNPATH',
      binaries({
        program: needs({ runpath: ['$ORIGIN/../lib'] }),
        libraries: [{ ...a, runpath: ['$ORIGIN/deep'] }, b],
      }),
      ['liba.so.1 in lib/liba.so.1', 'libb.so.1 in lib/deep/libb.so.1'],
    ],
    [
      "for a library by the program's RPATH, which is inherited",
      binaries({ program: needs({ rpath: ['$ORIGIN/../lib', '$ORIGIN/../lib/deep'] }), libraries: [a, b] }),
      ['liba.so.1 in lib/liba.so.1', 'libb.so.1 in lib/deep/libb.so.1'],
    ],
    [
      "not for a library by the program's RUNPATH, which is not",
      binaries({ program: needs({ runpath: ['$ORIGIN/../lib', '$ORIGIN/../lib/deep'] }), libraries: [a, b] }),
      ['liba.so.1 in lib/liba.so.1'],
    ],
    [
      "not for a library with a RUNPATH by the program's RPATH",
      binaries({
        program: needs({ rpath: ['$ORIGIN/../lib', '$ORIGIN/../lib/deep'] }),
        libraries: [{ ...a, runpath: ['$ORIGIN/elsewhere'] }, b],
      }),
      ['liba.so.1 in lib/liba.so.1'],
    ],
    [
      'not when they are for another machine',
      binaries({
        program: needs({ runpath: ['$ORIGIN/../lib'] }),
        libraries: [{ ...a, machine: 'aarch64' }],
      }),
      [],
    ],
    [
      'not outside of the release',
      binaries({ program: needs({ runpath: ['$ORIGIN/../../lib', '$ORIGINAL/lib'] }), libraries: [a] }),
      [],
    ],
  ])('%s', (_, its, expected) => {
    expect(found(its)).toEqual(expected);
  });

  test('although they need each other', () => {
    const its = binaries({
      program: needs({ rpath: ['$ORIGIN/../lib'] }),
      libraries: [a, library('lib/libb.so.1', { needed: ['liba.so.1'] })],
    });
    expect(found(its)).toEqual(['liba.so.1 in lib/liba.so.1', 'libb.so.1 in lib/libb.so.1']);
  });
});

test.each([
  ['Environment=LD_LIBRARY_PATH={{directory}}/current/lib', ['{{directory}}/current/lib']],
  ['Environment="LD_LIBRARY_PATH=/a:/b" OTHER=1', ['/a', '/b']],
  ['Environment=OTHER=1 LD_LIBRARY_PATH=/a', ['/a']],
  ['Environment=LD_LIBRARY_PATH=/a\nEnvironment=LD_LIBRARY_PATH=/b', ['/b']],
  ['# Environment=LD_LIBRARY_PATH=/a', []],
  ['Environment=MY=1', []],
])('%j sets the library path %j', (line, expected) => {
  expect(libraryPathOf(`[Service]\n${line}\n`)).toEqual(expected);
});

test.each([
  ['2.9', '2.36', -1],
  ['2.36', '2.36', 0],
  ['3.4.30', '3.4', 1],
  ['2', '10', -1],
])('%s against %s', (one, other, sign) => {
  expect(Math.sign(compareVersions(one, other))).toBe(sign);
});

test.each([
  ['GLIBC_2.2.5', 'GLIBC 2.2.5'],
  ['GLIBC_ABI_DT_RELR', 'GLIBC 2.36'],
  ['GLIBC_PRIVATE', undefined],
  ['CXXABI_TM_1', undefined],
  ['GLIBC_999999999999', undefined],
])('%s is %s', (version, expected) => {
  const its = familyVersion(version);
  expect(its && `${its.family} ${its.number}`).toBe(expected);
});
