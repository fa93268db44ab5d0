import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** Far more than a run ever needs at a time. */
const roomBytes = 1024 ** 3;
const memory = '/dev/shm';

/**
 * Where tests write what they throw away. In memory where there is room for it: installing a release waits for the disk at every step,
 * and on a disk that costs the tests a third of their processor time.
 */
export function scratchFolder(): string {
  if (process.env['TMPDIR']) return tmpdir();
  try {
    const { bavail, bsize } = statfsSync(memory);
    accessSync(memory, constants.W_OK);
    return bavail * bsize >= roomBytes && runsPrograms() ? memory : tmpdir();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return tmpdir();
    throw error;
  }
}

/** Containers often forbid it. */
const runsPrograms = (): boolean =>
  readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, place]) => place === memory)
    .every(([, , , options = '']) => !options.split(',').includes('noexec'));
