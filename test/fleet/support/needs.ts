import { spawnSync } from 'node:child_process';
import { describe, test } from 'vitest';

const programs = ['unshare', 'nsenter', 'ip', 'debootstrap', 'systemd-nspawn', 'haproxy', 'ssh-keygen', 'cc'];

/** What a fleet needs and this machine has not; empty where one can be started. */
export const lacking: readonly string[] = [
  ...(process.getuid?.() === 0 ? [] : ['root']),
  ...programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0),
];

/** Tests on real machines: skipped where there can be none, unless everything is demanded. */
export function describeOnFleet(name: string, tests: () => void): void {
  if (lacking.length === 0) {
    describe(name, tests);
  } else if (process.env['VERDIGRIS_DEMAND_ALL']) {
    test(name, () => {
      throw new Error(`Cannot start a fleet: needs ${lacking.join(', ')}`);
    });
  } else {
    describe.skip(`${name} (needs ${lacking.join(', ')})`, tests);
  }
}
