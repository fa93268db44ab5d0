import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resolveArtifact } from '../../client/artifact.js';
import { Refusal } from '../../client/refusal.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'verdigris-artifact-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const url = 'https://ci.example.com/greeter.tar.gz';
const digest = 'a'.repeat(64);

test('a URL is taken with its digest, as sha256sum prints it too', async () => {
  expect(await resolveArtifact(url, digest)).toEqual({ url, sha256: digest });
  expect(await resolveArtifact(url, `${digest.toUpperCase()}  greeter.tar.gz`)).toEqual({
    url,
    sha256: digest,
  });
});

test('a path becomes a URL, and its digest is computed', async () => {
  const path = join(folder, 'greeter 1.tar.gz');
  writeFileSync(path, 'bytes');
  const sha256 = createHash('sha256').update('bytes').digest('hex');
  expect(await resolveArtifact(path, undefined)).toEqual({
    url: `file://${folder}/greeter%201.tar.gz`,
    sha256,
  });
  await expect(resolveArtifact(path, digest)).rejects.toThrow(`its digest is ${sha256}, needs ${digest}`);
});

describe('it is refused', () => {
  test.each([
    ['when it is not named', undefined, undefined, 'Cannot tell what to deploy: --artifact is missing'],
    ['without its digest', url, undefined, 'its digest is missing, needs --sha256 DIGEST'],
    ['with credentials', 'https://me:marker-7f@ci.example.com/a', digest, 'carries a user name or password'],
    [
      'with a signature',
      `${url}?X-Amz-Signature=marker-7f`,
      digest,
      'carries the parameter "X-Amz-Signature"',
    ],
    ['when it is of another kind', 'ftp://ci.example.com/a', digest, 'its URL is of another kind'],
    ['when it is not there', '/nowhere/a.tar.gz', undefined, 'there is no such file, needs the tar.gz'],
    ['when it is a folder', '/', undefined, 'it is not a file, needs the tar.gz'],
    ['with a digest that is none', url, 'abc', 'Cannot use "abc" as a digest'],
  ])('%s', async (_when, artifact, sha256, reason) => {
    const refused = await resolveArtifact(artifact, sha256).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    expect(String(refused)).toContain(reason);
    expect(String(refused)).not.toContain('marker-7f');
  });
});
