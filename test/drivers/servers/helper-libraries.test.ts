import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CBuild, calls, defines } from '../../support/c-build.js';
import { HelperWorld, type HelperRun } from './helper-world.js';

const loader = process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2';
const token = '000000000000001-000001';

let world: HelperWorld;
let build: CBuild;
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vg-libraries-'));
});
afterAll(() => rm(scratch, { recursive: true }));
beforeEach(async () => {
  world = await HelperWorld.start();
  build = new CBuild(await mkdtemp(join(scratch, 'tree-')));
});
afterEach(() => world.close());

/** Packs what was built, and installs it. */
async function install(
  settings = '',
  how: { loader?: string; shell?: readonly string[] } = {},
): Promise<HelperRun> {
  const packed = await world.pack('v1', build.directory, settings);
  const words = { token, loader: how.loader ?? loader, ...packed.words };
  const shell = how.shell === undefined ? {} : { shell: how.shell };
  return world.run('install', words, { input: packed.archive, ...shell });
}

/** A program with a library that stands at `lib/libgreet.so.1`. */
async function greeter(...flags: readonly string[]): Promise<void> {
  const path = await build.library('lib/libgreet.so.1', defines('greet'), 'libgreet.so.1');
  await build.compile('bin/greeter', calls('greet'), path, ...flags);
}

const said = ({ lines }: HelperRun) => lines.join('\n');

describe("the server's loader", () => {
  for (const shell of [['dash'], ['bash'], ['busybox', 'sh']]) {
    test(`finds libraries of the release by $ORIGIN, under ${shell.join(' ')}`, async (context) => {
      const { failed } = await execa(shell[0] ?? '', [...shell.slice(1), '-c', 'exit 0'], { reject: false });
      if (failed) return context.skip(`${shell[0]} is not installed`);
      await greeter('-Wl,-rpath,$ORIGIN/../lib');
      const run = await install('', { shell });
      expect(run.lines.at(-1), said(run)).toBe('ok');
      expect(said(run)).not.toContain('not resolved');
    });
  }

  test('finds them by the LD_LIBRARY_PATH of the unit, which leads through current', async () => {
    await greeter();
    const run = await install(`Environment="LD_LIBRARY_PATH=${world.server}/current/lib:/other" A=b\n`);
    expect(run.lines.at(-1), said(run)).toBe('ok');
  });

  test('says all that it does not find, and nothing is left of the release', async () => {
    await build.library('lib/libgreet.so.1', defines('greet'), 'libgreet.so.1');
    await build.library('lib/libpart.so.2', defines('part'), 'libpart.so.2');
    const source = 'long greet(void), part(void);\nint main(void) { return (int)(greet() + part()); }\n';
    await build.compile('bin/greeter', source, 'lib/libgreet.so.1', 'lib/libpart.so.2');
    const run = await install();
    expect(run.exitCode).toBe(3);
    expect(run.lines).toContain('error=ProgramIncompatible');
    for (const name of ['libgreet.so.1', 'libpart.so.2']) expect(said(run)).toContain(`${name} => not found`);
    expect(await world.list('releases')).toEqual([]);
  });

  test('says which version of glibc is missing, and of whom', async () => {
    const source =
      '#include <stdio.h>\nlong tomorrow(void);\nint main(void) { puts(""); return (int)tomorrow(); }\n';
    await build.needingNewer('bin/greeter', source, ['libc.so.6', 'GLIBC_2.99', 'tomorrow']);
    const run = await install();
    expect(run.lines).toContain('error=ProgramIncompatible');
    expect(said(run)).toContain("version `GLIBC_2.99' not found (required by");
    expect(said(run)).toContain(`${world.server}/current/bin/greeter`);
  });

  test('is asked again when only the settings change', async () => {
    await greeter();
    const good = `Environment=LD_LIBRARY_PATH=${world.server}/current/lib\n`;
    const packed = await world.pack('v1', build.directory, good);
    const words = { token, loader, ...packed.words };
    expect((await world.run('install', words, { input: packed.archive })).lines.at(-1)).toBe('ok');
    const bad = Buffer.from(`[Service]\nExecStart=${world.server}/current/bin/greeter\n`).toString('base64');
    const run = await world.run('install', { ...words, 'unit-conf': bad }, { input: packed.archive });
    expect(run.lines).toContain('error=ProgramIncompatible');
  });

  test('has to be there', async () => {
    await greeter();
    const run = await install('', { loader: '/lib/ld-musl-tomorrow.so.1' });
    expect(said(run)).toContain('needs the loader /lib/ld-musl-tomorrow.so.1, which is not here');
  });
});

describe('nothing of the artifact is run', () => {
  const leavesMark = (name: string) =>
    `#include <stdlib.h>\n__attribute__((constructor)) void ran(void) { system("touch ${scratch}/${name}"); }\n`;
  const marked = (name: string) =>
    stat(join(scratch, name)).then(
      () => true,
      () => false,
    );

  test('neither by the libraries that it brings along', async () => {
    await greeter('-Wl,-rpath,$ORIGIN/../lib');
    await build.library('lib/libgreet.so.1', leavesMark('constructor') + defines('greet'), 'libgreet.so.1');
    expect((await install()).lines.at(-1)).toBe('ok');
    expect(await marked('constructor')).toBe(false);
  });

  test('nor by the loader that it names, as ldd would', async () => {
    const mine = await build.compile(
      'lib/loader.so',
      `${leavesMark('interpreter')}int main(void) { ran(); return 0; }\n`,
    );
    await greeter(`-Wl,-rpath,$ORIGIN/../lib,--dynamic-linker,${mine}`);
    const run = await install('', { loader: mine });
    expect(run.lines.at(-1), said(run)).toBe('ok');
    expect(said(run)).toContain('no loader of the system');
    expect(await marked('interpreter')).toBe(false);
  });

  test.each(['/lib/../tmp/ld-x', '/lib64/$(touch x)', '/lib/ld-x;reboot', '/lib/x/ld-y'])(
    'nor by a loader called %s',
    async (name) => {
      await mkdir(join(build.directory, 'bin'), { recursive: true });
      await greeter();
      const run = await install('', { loader: name });
      expect(run.lines).toContain('error=CommandFailed');
      expect(said(run)).toContain('is no loader');
    },
  );

  test('as root: the loader sees it as the user of the program', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('needs root');
    await world.write('bin/runuser', '#!/bin/sh\necho "$2" >>"$WORLD/became"\nshift 3\nexec "$@"\n');
    await execa('chmod', ['755', join(world.directory, 'bin/runuser')]);
    await greeter('-Wl,-rpath,$ORIGIN/../lib');
    const packed = await world.pack('v1', build.directory);
    const users = ['', 'User=root', 'User=-u', 'User=no-such-user', 'User=daemon', 'User=a b'];
    for (const [index, user] of users.entries()) {
      await world.remove('srv');
      await world.remove('became');
      const unit = Buffer.from(`[Service]\n${user}\n`).toString('base64');
      const words = {
        token: `000000000000001-${String(index + 1).padStart(6, '0')}`,
        loader,
        ...packed.words,
      };
      const run = await world.run('install', { ...words, 'unit-conf': unit }, { input: packed.archive });
      expect(run.lines.at(-1), said(run)).toBe('ok');
      const became = new Set((await world.read('became'))?.trim().split('\n'));
      expect([...became], user).toEqual([user === 'User=daemon' ? 'daemon' : 'nobody']);
    }
  });
});

test('observing tells what a program finds there, as the system says', async () => {
  const { lines } = await world.run('observe', {});
  const of = (key: string) =>
    lines.flatMap((line) => (line.startsWith(`platform.${key}=`) ? [line.slice(key.length + 10)] : []));
  const { stdout: glibc } = await execa('getconf', ['GNU_LIBC_VERSION']);
  expect(of('glibc')).toEqual([glibc.replace('glibc ', '')]);
  expect(of('machine')).toEqual([(await execa('uname', ['-m'])).stdout]);
  expect(of('bits')).toEqual(['64']);
  expect(of('system').join()).toMatch(/\w+/);
  expect(of('interpreter')).toContain(loader);
  // The linker reads the versions of libstdc++ for itself.
  const { stdout: path } = await execa('cc', ['-print-file-name=libstdc++.so.6']);
  if (!path.startsWith('/')) return;
  const { stdout } = await execa('readelf', ['--wide', '--version-info', path]);
  const highest = (family: string) => {
    const numbers = [...stdout.matchAll(new RegExp(`${family}_([0-9.]+)`, 'g'))].map(
      (match) => match[1] ?? '',
    );
    return numbers.sort((one, other) => one.localeCompare(other, 'en', { numeric: true })).at(-1);
  };
  expect(of('glibcxx')).toEqual([highest('GLIBCXX')]);
  expect(of('cxxabi')).toEqual([highest('CXXABI')]);
});
