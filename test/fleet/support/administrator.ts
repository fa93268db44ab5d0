import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newKeyPair } from '../../../sandbox/machines/host-key.js';
import type { FleetMachine } from './machine.js';

/**
 * Gives these machines an administrator, who logs in as root with a key of their own, and takes from the user that deploys what
 * it could do there. Returns the administrator's `ssh_config`, written into `folder`.
 */
export async function administrate(machines: readonly FleetMachine[], folder: string): Promise<string> {
  const key = newKeyPair();
  await Promise.all(
    machines.map((machine) =>
      machine.exec(
        'umask 077; mkdir -p /root/.ssh; cat >>/root/.ssh/authorized_keys; rm /etc/sudoers.d/deploy',
        { input: `${key.public}\n` },
      ),
    ),
  );
  await writeFile(join(folder, 'administrator'), key.private, { mode: 0o600 });
  const file = join(folder, 'ssh_config');
  const lines = [
    'Host *',
    `  IdentityFile ${join(folder, 'administrator')}`,
    '  IdentitiesOnly yes',
    '  StrictHostKeyChecking accept-new',
    `  UserKnownHostsFile ${join(folder, 'known_hosts')}`,
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}
