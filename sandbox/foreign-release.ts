import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { x } from 'tar';
import { enable } from './machines/unit-links.js';
import type { BuiltGreeter } from './programs.js';
import type { SandboxServer } from './sandbox.js';

/**
 * Runs a build of greeter on a server as people have it before they use Verdigris: copied into a flat directory, with a unit file
 * written by hand.
 */
export async function runByHand(
  { machine, directory, port }: SandboxServer,
  { archive, executable }: BuiltGreeter,
  { unit = 'greeter.service', enabled = false }: { readonly unit?: string; readonly enabled?: boolean } = {},
): Promise<void> {
  const unpacked = join(machine.directory, 'home', 'upload');
  await mkdir(unpacked, { recursive: true });
  await x({ file: archive, cwd: unpacked });
  await mkdir(directory, { recursive: true });
  await copyFile(executable, join(directory, 'greeter'));
  const template = await readFile(join(unpacked, 'etc/greeter.conf'), 'utf8');
  await writeFile(join(directory, 'greeter.conf'), template.replaceAll('{{greeting}}', 'Hello'));
  const lines = [
    '[Unit]',
    'Description=greeter, as it was put here by hand',
    '',
    '[Service]',
    `ExecStart=${directory}/greeter --config ${directory}/greeter.conf --port ${port}`,
    'Restart=always',
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ];
  await writeFile(join(machine.unitDirectory, unit), lines.join('\n'));
  const running = machine.init.unit(unit);
  await running.start();
  if (enabled) enable(machine.unitDirectory, running.name, running.loaded);
}
