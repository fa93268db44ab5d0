import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bundle = join(root, 'dist/worker/workflow-bundle.cjs');

/** The compiled command and worker are what is tested: throws where they are missing or older than the sources. */
export function requireCompiled(): void {
  const next = 'compile it: npm run build';
  if (!existsSync(bundle)) throw new Error(`Cannot test "dist": it is not there\n  ${next}`);
  const compiledAtMs = statSync(bundle).mtimeMs;
  const newer = sources().find((file) => statSync(file).mtimeMs > compiledAtMs);
  if (newer) throw new Error(`Cannot test "dist": it is older than ${newer}\n  ${next}`);
}

function sources(): readonly string[] {
  const settings = readFileSync(join(root, 'tsconfig.build.json'), 'utf8');
  const { include } = JSON.parse(settings) as { readonly include: readonly string[] };
  return include
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name)),
    );
}
