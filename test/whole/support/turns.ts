import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeAll } from 'vitest';

/** Files that work at once. Each runs a load balancer, workers and programs under load: more would test the machine. */
const places = 2;

const patienceMs = 1_200_000;

/** Lets the tests of a file begin when it is its turn, among those of all runs on this machine. */
export function takeTurns(): void {
  beforeAll(async () => {
    const place = Number(process.env['VITEST_POOL_ID'] ?? 0) % places;
    // A child that ends with its input holds the lock, so that it goes with this process however it ends.
    const holder = execa('flock', [
      join(tmpdir(), `verdigris-whole-${place}.lock`),
      'sh',
      '-c',
      'echo; exec cat',
    ]);
    await Promise.race([once(holder.stdout, 'data'), holder]);
    return async () => {
      holder.stdin.end();
      await holder;
    };
  }, patienceMs);
}
