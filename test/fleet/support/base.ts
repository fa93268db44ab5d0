import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const recipe = fileURLToPath(new URL('base.sh', import.meta.url));

/** What a machine is: Debian 12 as a rule. */
export type Land = 'bookworm' | 'bullseye' | 'trixie' | 'jammy' | 'noble';

/** The directory that every machine begins as: made once per recipe, by whoever needs it first, and kept. */
export async function base(land: Land = 'bookworm'): Promise<string> {
  const shelf = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'verdigris/fleet');
  const key = createHash('sha256')
    .update(await readFile(recipe))
    .digest('hex')
    .slice(0, 12);
  const directory = join(shelf, `${key}-${land}`);
  if (existsSync(directory)) return directory;
  await mkdir(shelf, { recursive: true });
  // Whoever else needs it meanwhile waits, and finds it made.
  await execa('flock', [join(shelf, 'lock'), 'sh', '-c', makeOnce, 'sh', recipe, directory, land], {
    stderr: 'inherit',
  });
  return directory;
}

const makeOnce = `
[ ! -d "$2" ] || exit 0
rm -rf "$2.unfinished"
sh "$1" "$2.unfinished" "$3" >"$2.log" 2>&1 || { tail -n 20 "$2.log" >&2; exit 1; }
mv "$2.unfinished" "$2"`;
