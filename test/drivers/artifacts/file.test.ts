import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Failure } from '../../../domain/failures.js';
import { createFileArtifacts, type FileArtifactOptions } from '../../../drivers/artifacts/file.js';
import { endless } from '../../../drivers/patience.js';
import { artifactAt, aService } from './tarball.js';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-file-'));
  await mkdir(join(directory, 'allowed'));
  await writeFile(join(directory, 'allowed', 'a b.tar.gz'), 'bytes');
  await writeFile(join(directory, 'outside.tar.gz'), 'bytes');
  await writeFile(join(directory, 'empty'), '');
  await symlink('outside.tar.gz', join(directory, 'link'));
  await symlink('..', join(directory, 'allowed', 'up'));
  execFileSync('mkfifo', [join(directory, 'fifo')]);
});
afterAll(() => rm(directory, { recursive: true }));

let count = 0;
async function download(url: string, options: FileArtifactOptions = {}, maxBytes = 1000): Promise<string> {
  const path = join(directory, `copy-${++count}`);
  const service = aService({ maxBytes });
  await createFileArtifacts(options).download(
    artifactAt(url, Buffer.from('bytes')),
    service.artifact,
    service,
    path,
    endless,
  );
  return readFile(path, 'utf8');
}
const urlOf = (...names: string[]) => pathToFileURL(join(directory, ...names)).href;

const refusalOf = async (...parameters: Parameters<typeof download>): Promise<string> => {
  const failure = (await download(...parameters).catch((error: unknown) => error)) as Failure;
  expect(failure.failure).toBe('ArtifactRefused');
  return failure.message;
};

test('copies a file of this machine', async () => {
  expect(await download(urlOf('allowed', 'a b.tar.gz'))).toBe('bytes');
  expect(await download(urlOf('empty'))).toBe('');
});

test('copies only from below a directory, where one is set', async () => {
  const below = join(directory, 'allowed');
  expect(await download(urlOf('allowed', 'a b.tar.gz'), { below })).toBe('bytes');
  expect(await refusalOf(urlOf('outside.tar.gz'), { below })).toContain('is not below');
  expect(await refusalOf(`${urlOf('allowed')}/up/outside.tar.gz`, { below })).toContain('is not below');
});

test('follows no link in the last place, and waits for no pipe', async () => {
  expect(await refusalOf(urlOf('link'))).toContain('is a symbolic link');
  expect(await refusalOf(urlOf('fifo'))).toContain('is no regular file');
  expect(await refusalOf(urlOf('allowed'))).toContain('is no regular file');
});

test('says what is missing, and whose disk is meant', async () => {
  expect(await refusalOf(urlOf('missing'))).toContain('file:// is the disk of the worker');
  expect(await refusalOf(urlOf('empty', 'x'))).toContain('no such file');
});

test('refuses more bytes than are allowed', async () => {
  expect(await refusalOf(urlOf('outside.tar.gz'), {}, 4)).toContain('larger than 4 bytes');
});

test('says that it may not read', async () => {
  await chmod(directory, 0o755);
  await chmod(join(directory, 'outside.tar.gz'), 0);
  const ourselves = process.geteuid?.();
  try {
    // Nothing is forbidden to root: somebody else has to try.
    if (ourselves === 0) process.seteuid?.(nobody);
    expect(await refusalOf(urlOf('outside.tar.gz'))).toContain('the worker may not read it');
  } finally {
    if (ourselves === 0) process.seteuid?.(0);
    await chmod(join(directory, 'outside.tar.gz'), 0o600);
  }
});

const nobody = 65_534;
