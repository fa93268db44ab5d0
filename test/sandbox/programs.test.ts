import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type BuildProgress, buildGreeter, greeterSources, greeterVariants } from '../../sandbox/programs.js';

vi.setConfig({ testTimeout: 300_000 }); // compilers at work, perhaps on a busy machine

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'programs-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** What is compiled again, by file. */
const compiled = (progress: readonly BuildProgress[]): readonly string[] =>
  progress.flatMap(({ line }) => /Building C object \S+\/(\S+)\.o$/.exec(line)?.[1] ?? []).toSorted();

test('builds the version that was asked for, and names the archive by its digest', async () => {
  const built = await buildGreeter({ version: '1.2.3', directory });
  const { stdout } = await execa(built.executable, ['--version']);
  expect(stdout).toMatch(/^greeter 1\.2\.3, build [0-9a-f]{40}$/);
  expect(
    createHash('sha256')
      .update(await readFile(built.archive))
      .digest('hex'),
  ).toBe(built.sha256);
  const { stdout: packed } = await execa('tar', ['-xzOf', built.archive, 'bin/greeter'], {
    encoding: 'buffer',
  });
  expect(Buffer.from(packed).equals(await readFile(built.executable))).toBe(true);
});

test('compiles only what differs between versions and variants', async () => {
  const progress: BuildProgress[] = [];
  const onProgress = (step: BuildProgress) => progress.push(step);
  await buildGreeter({ version: '1.2.3', directory });
  await buildGreeter({ version: '1.2.4', variant: 'unhealthy', directory, onProgress });
  expect(compiled(progress)).toEqual(['main.c', 'variant.c', 'version.c']);
});

test('builds the same thing once', async () => {
  const first = await buildGreeter({ version: '1.2.3', directory });
  const second = await buildGreeter({ version: '1.2.3', directory });
  expect(second).toEqual({ ...first, cached: true });
});

test('takes turns when it is asked several times at once', async () => {
  const versions = ['3.0.0', '3.0.1', '3.0.0', '3.0.1'];
  const all = await Promise.all(versions.map((version) => buildGreeter({ version, directory })));
  expect(all.filter(({ cached }) => !cached)).toHaveLength(2);
  for (const [index, { executable }] of all.entries()) {
    expect((await execa(executable, ['--version'])).stdout).toContain(`greeter ${versions[index]},`);
  }
});

test('builds again when what it kept was damaged', async () => {
  const built = await buildGreeter({ version: '1.2.3', directory });
  await writeFile(built.archive, 'damaged');
  expect(await buildGreeter({ version: '1.2.3', directory })).toEqual({ ...built, cached: false });
});

test('tells what the compiler said when the sources are wrong', async () => {
  const sources = join(directory, 'wrong');
  await cp(greeterSources(), sources, { recursive: true });
  await writeFile(join(sources, 'src/log.c'), 'int broken(void) { return nothing; }\n');
  await expect(buildGreeter({ version: '1.2.3', directory, sources })).rejects.toThrow(
    /^Cannot build "greeter 1\.2\.3": cmake exited with 2\n[^]*error: .nothing. undeclared/,
  );
});

test('lists the variants that CMake lists', async () => {
  const text = await readFile(join(greeterSources(), 'CMakeLists.txt'), 'utf8');
  const listed = /set\(variants ([^)]*)\)/.exec(text)?.[1]?.split(/\s+/);
  expect(listed).toEqual([...greeterVariants]);
});
