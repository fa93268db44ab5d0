// Builds `dist/`: the compiler's output, the files it does not copy, and the workflow bundle.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const run = (...words) => execFileSync(process.execPath, words, { cwd: root, stdio: 'inherit' });

run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
for (const asset of ['drivers/servers/helper.sh']) {
  if (existsSync(join(root, asset))) copyFileSync(join(root, asset), join(root, 'dist', asset));
}
run('dist/worker/bundle.js');
