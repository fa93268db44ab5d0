// Builds `dist/`: the compiler's output, the files it does not copy, and the workflow bundle.
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What the compiler leaves behind: programs that are not TypeScript, at the same place in `dist/`. */
const assets = [
  'drivers/servers/helper.sh',
  'drivers/servers/helper-examination.sh',
  'drivers/servers/helper-policy.sh',
  'drivers/servers/probe.sh',
  'drivers/servers/setup.sh',
];

function run(...words) {
  const { status } = spawnSync(process.execPath, words, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
for (const asset of assets) copyFileSync(join(root, asset), join(root, 'dist', asset));
run('dist/worker/bundle.js');
