import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ReleaseId } from '../../domain/names.js';
import { unitOf } from '../../domain/settings.js';
import type { TemplateContext } from '../../domain/template.js';
import { buildGreeter, greeterSources } from '../../sandbox/programs.js';
import { RawConnection, request } from './raw-http.js';
import { builtGreeter, RunningGreeter } from './running-greeter.js';

vi.setConfig({ testTimeout: 300_000 }); // compilers at work, perhaps on a busy machine

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'greeter-package-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

const output = async (command: string, ...words: readonly string[]): Promise<string> =>
  (await execa(command, words, { all: true })).all;

const isOnPath = async (command: string): Promise<boolean> =>
  (await execa('sh', ['-c', `command -v ${command}`], { reject: false })).exitCode === 0;

describe('the package', () => {
  test('holds the program, its configuration and its unit, owned by root, dated 1970', async () => {
    const { archive } = await builtGreeter();
    const lines = (await output('tar', '-tvzf', archive, '--utc', '--numeric-owner')).split('\n');
    expect(lines.map((line) => line.replaceAll(/ +/g, ' ').replace(/^(\S+ \S+) \d+/, '$1'))).toEqual([
      'drwxr-xr-x 0/0 1970-01-01 00:00 bin/',
      '-rwxr-xr-x 0/0 1970-01-01 00:00 bin/greeter',
      'drwxr-xr-x 0/0 1970-01-01 00:00 etc/',
      '-rw-r--r-- 0/0 1970-01-01 00:00 etc/greeter.conf',
      'drwxr-xr-x 0/0 1970-01-01 00:00 lib/',
      'drwxr-xr-x 0/0 1970-01-01 00:00 lib/systemd/',
      'drwxr-xr-x 0/0 1970-01-01 00:00 lib/systemd/system/',
      '-rw-r--r-- 0/0 1970-01-01 00:00 lib/systemd/system/greeter.service',
    ]);
  });

  test('is the same, byte for byte, from another folder', async () => {
    const sources = join(directory, 'another folder');
    await cp(greeterSources(), sources, { recursive: true });
    const here = await builtGreeter();
    const there = await buildGreeter({ version: '2.0.0', directory: join(directory, 'builds'), sources });
    expect(there.cached).toBe(false);
    expect(there.sha256).toBe(here.sha256);
  });

  test('runs as it is packed', async () => {
    const { archive } = await builtGreeter();
    const release = join(directory, 'release');
    await mkdir(release);
    await output('tar', '-xzf', archive, '-C', release);
    const { all } = await execa(
      join(release, 'bin/greeter'),
      ['--config', join(release, 'etc/greeter.conf'), '--port', '0', '--check'],
      { all: true },
    );
    expect(all).toBe('');
    expect(await readFile(join(release, 'etc/greeter.conf'), 'utf8')).toContain(
      'greeting = {{greeting}} from greeter 2.0.0\n',
    );
  });
});

describe('the program', () => {
  test('is hardened', async () => {
    const { executable } = await builtGreeter();
    const headers = await output('readelf', '--wide', '--file-header', '--program-headers', executable);
    expect(headers).toMatch(/Type:\s+DYN \(Position-Independent Executable file\)/);
    expect(headers).toMatch(/GNU_STACK .* RW +0x/);
    expect(headers).toContain('GNU_RELRO');
    expect(await output('readelf', '--wide', '--dynamic', executable)).toMatch(/FLAGS_1.*NOW.*PIE/);
    const symbols = await output('readelf', '--wide', '--dyn-syms', executable);
    expect(symbols).toContain('__stack_chk_fail');
    expect(symbols).toContain('__vsnprintf_chk');
  });

  test('tells the build id that its file has', async () => {
    const { executable } = await builtGreeter();
    const notes = await output('readelf', '--notes', executable);
    const build = /Build ID: ([0-9a-f]{40})/.exec(notes)?.[1];
    expect(build).toBeDefined();
    expect(await output(executable, '--version')).toBe(`greeter 2.0.0, build ${build}`);
  });

  test('needs nothing but libc', async () => {
    const { executable } = await builtGreeter();
    const needed = [...(await output('readelf', '-d', executable)).matchAll(/NEEDED.*\[(.*)\]/g)];
    expect(needed.map(([, library]) => library)).toEqual(['libc.so.6']);
  });
});

describe('the build', () => {
  test('has no warning, and its own tests pass', async () => {
    const tree = join(directory, 'strict');
    await output('cmake', '-S', greeterSources(), '-B', tree, '-DCMAKE_C_FLAGS=-Werror');
    await output('cmake', '--build', tree, '--parallel', '2');
    expect(await output('ctest', '--test-dir', tree)).toContain('100% tests passed, 0 tests failed out of 5');
  });

  test.each([
    ['-DGREETER_VERSION=two', /Cannot build version "two": needs three numbers/],
    ['-DGREETER_VARIANT=sometimes', /Cannot build variant "sometimes": no such variant/],
  ])('refuses %s', async (option, message) => {
    const refused = execa('cmake', ['-S', greeterSources(), '-B', join(directory, 'refused'), option], {
      all: true,
    });
    await expect(refused).rejects.toMatchObject({ all: expect.stringMatching(message) });
  });
});

describe('memory', () => {
  test('is used well, says the sanitizer', async () => {
    const tree = join(directory, 'sanitized');
    await output('cmake', '-S', greeterSources(), '-B', tree, '-DGREETER_SANITIZE=ON');
    await output('cmake', '--build', tree, '--target', 'greeter', '--parallel', '2');
    await using greeter = await RunningGreeter.serving({
      command: [join(tree, 'greeter')],
      config: { linger_ms: 100 },
    });
    await oddClients(await greeter.port());
    expect(await greeter.terminate(), greeter.lines.join('\n')).toEqual({ code: 0, signal: null });
  });

  test('is given back, says valgrind', async ({ skip }) => {
    if (!(await isOnPath('valgrind'))) skip('valgrind is not installed');
    const { executable } = await builtGreeter();
    const valgrind = [
      'valgrind',
      '--quiet',
      '--error-exitcode=99',
      '--leak-check=full',
      '--show-leak-kinds=all',
    ];
    await using greeter = await RunningGreeter.serving({
      command: [...valgrind, '--errors-for-leak-kinds=all', executable],
      config: { linger_ms: 100 },
    });
    await oddClients(await greeter.port());
    expect(await greeter.terminate(), greeter.lines.join('\n')).toEqual({ code: 0, signal: null });
  });
});

/** Good requests, bad ones, ones that are given up at every stage, and some still open when it ends. */
async function oddClients(port: number): Promise<void> {
  const complete = await RawConnection.open(port);
  for (const path of ['/', '/health', '/version', '/stats', '/nowhere', '/slow?ms=1', '/stream?seconds=0']) {
    await complete.get(path);
  }
  complete.write(`${request('POST', '/echo', 'Content-Length: 60000')}${'x'.repeat(60_000)}`);
  await complete.response();
  complete.write(request('GET', '/').repeat(2000));
  for (let round = 0; round < 2000; round++) await complete.response();

  const texts = [
    request('GET', '/slow?ms=60000'),
    request('GET', '/stream?seconds=3600'),
    request('POST', '/echo', 'Content-Length: 10'),
    request('GET', `/${'x'.repeat(9000)}`),
    'GET / HTTP/1.1\r\nHo',
    '\r\n\r\n\r\n\r\n\r\n',
    '\0\xff\n\n',
  ];
  for (const text of texts) {
    const connection = await RawConnection.open(port);
    connection.write(Buffer.from(text, 'latin1'));
    await new Promise(setImmediate);
    connection.destroy();
  }
  for (let cut = 0; cut < 60; cut++) {
    const connection = await RawConnection.open(port);
    connection.write(request('POST', '/echo', 'Content-Length: 3').slice(0, cut));
    connection.destroy();
  }
  complete.destroy();
}

describe('the unit', () => {
  const nothing = { all: {}, blue: {}, green: {}, servers: {} };
  const context = {
    service: { name: 'greeter', configuration: { values: nothing, limits: nothing } },
    server: {
      name: 'blue-1',
      color: 'blue',
      address: '127.0.0.1',
      port: 8081,
      unit: 'greeter-blue.service',
      directory: '/srv/greeter-blue',
    },
    release: ReleaseId('0123456789ab-01234567'),
  } as unknown as TemplateContext;
  const rendered = (text: string, its = context): string =>
    unitOf({ unit: { path: 'greeter.service', text }, files: [] }, its);

  const template = () => readFile(join(greeterSources(), 'systemd/greeter.service'), 'utf8');

  test('starts the program of the current release, and gives it longer to end than it takes', async () => {
    const unit = rendered(await template(), context);
    expect(unit).toContain(
      'ExecStart=/srv/greeter-blue/current/bin/greeter --config /srv/greeter-blue/current/etc/greeter.conf --port 8081\n',
    );
    expect(unit).not.toMatch(/\{\{|^User=/m);
    const { archive } = await builtGreeter();
    const config = await output('tar', '-xzOf', archive, 'etc/greeter.conf');
    const drainSeconds = Number(/^drain_seconds = (\d+)$/m.exec(config)?.[1]);
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(drainSeconds);
  });

  test('has nothing that systemd complains about', async ({ skip }) => {
    if (!(await isOnPath('systemd-analyze'))) skip('systemd-analyze is not installed');
    const place = join(directory, 'srv');
    const { archive } = await builtGreeter();
    await mkdir(join(place, 'current'), { recursive: true });
    await output('tar', '-xzf', archive, '-C', join(place, 'current'));
    const unit = join(directory, 'greeter.service');
    await writeFile(
      unit,
      rendered(await template(), { ...context, server: { ...context.server, directory: place } }),
    );
    expect(existsSync(join(place, 'current/bin/greeter'))).toBe(true);
    const { all } = await execa('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', unit], {
      all: true,
      reject: false,
    });
    expect(all).toBe('');
  });
});
