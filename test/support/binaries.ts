import type { Binary } from '../../domain/binary.js';
import type { Binaries } from '../../domain/library-search.js';
import type { PlatformFacts } from '../../domain/observation.js';

export const loader = '/lib64/ld-linux-x86-64.so.2';

/** A program as distributions build them, that fits Debian 12. */
export const aProgram: Binary = {
  path: 'bin/greeter',
  links: [],
  machine: 'x86-64',
  interpreter: loader,
  needed: ['libc.so.6'],
  rpath: [],
  runpath: [],
  versions: [{ library: 'libc.so.6', version: 'GLIBC_2.34', symbol: '__libc_start_main' }],
  offers: [],
  buildId: 'ab'.repeat(20),
  hardening: { positionIndependent: true, relro: 'full', executableStack: false, stackProtector: true },
};

export const binariesOf = (program: Partial<Binary> = {}, more: Partial<Binaries> = {}): Binaries => ({
  program: { ...aProgram, ...program },
  libraries: [],
  unread: [],
  libraryPath: [],
  ...more,
});

/** One that was built where glibc is newer than on Debian 12. */
export const tooNew = binariesOf({
  versions: [{ library: 'libc.so.6', version: 'GLIBC_2.38', symbol: '__isoc23_strtol' }],
});

export const debian12: PlatformFacts = {
  machine: 'x86-64',
  bits: 64,
  system: 'Debian GNU/Linux 12 (bookworm)',
  glibc: '2.36',
  glibcxx: '3.4.30',
  cxxabi: '1.3.13',
  interpreters: [loader],
};
