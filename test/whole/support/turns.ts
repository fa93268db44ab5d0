import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeAll } from 'vitest';

/** Files that work at once. Each runs a load balancer, workers and programs under load: more would test the machine. */
const places = 2;

const patienceMs = 1_200_000;

/**
 * Holds the first lock that is free among its arguments and then says so. It ends with its input, so that the lock goes with
 * the process that asked for it, however that ends.
 */
const takePlace = `
while :; do
  for lock; do
    exec 9> "$lock"
    if flock -n 9; then echo; exec cat; fi
  done
  sleep 0.2
done`;

/** Lets the tests of a file begin when it is its turn, among those of all runs on this machine. */
export function takeTurns(): void {
  beforeAll(async () => {
    const locks = Array.from({ length: places }, (_, place) =>
      join(tmpdir(), `verdigris-whole-${place}.lock`),
    );
    const holder = execa('sh', ['-c', takePlace, 'sh', ...locks]);
    await Promise.race([once(holder.stdout, 'data'), holder]);
    return async () => {
      holder.stdin.end();
      await holder;
    };
  }, patienceMs);
}
