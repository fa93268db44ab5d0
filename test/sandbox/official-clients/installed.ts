import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const here = fileURLToPath(new URL('.', import.meta.url));
const cache = join(homedir(), '.cache/verdigris/official-clients');

/** Makes a folder once and keeps it. Several may try at the same time; the first that is done wins. */
async function kept(name: string, sources: readonly string[], make: (folder: string) => Promise<unknown>) {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(await readFile(join(here, source)));
  const folder = join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const aside = await mkdtemp(join(cache, '.making-'));
  try {
    await make(aside);
    await rename(aside, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return folder;
}

/** The folder that Python finds the client and what it needs in. */
export function pythonOvh(): Promise<string> {
  const requirements = 'python-ovh.requirements.txt';
  const options = [
    '--quiet',
    '--no-input',
    '--disable-pip-version-check',
    '--no-deps',
    '--only-binary=:all:',
  ];
  return kept('python-ovh', [requirements], (folder) =>
    execa('pip3', [
      'install',
      ...options,
      '--require-hashes',
      '--target',
      folder,
      '-r',
      join(here, requirements),
    ]),
  );
}

/** The program that has the Go client in it. */
export async function goOvh(): Promise<string> {
  const folder = await kept('go-ovh', ['go-ovh/main.go', 'go-ovh/go.mod', 'go-ovh/go.sum'], async (aside) => {
    const sources = join(aside, 'sources');
    await cp(join(here, 'go-ovh'), sources, { recursive: true });
    await execa('go', ['build', '-trimpath', '-o', join(aside, 'go-ovh'), '.'], {
      cwd: sources,
      env: { GOFLAGS: '-mod=readonly', CGO_ENABLED: '0' },
    });
  });
  return join(folder, 'go-ovh');
}
