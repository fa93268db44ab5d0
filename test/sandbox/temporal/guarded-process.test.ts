import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test, vi } from 'vitest';
import { startGuarded } from '../../../sandbox/guarded-process.js';

const parent = fileURLToPath(new URL('parent.ts', import.meta.url));

/** Neither gone nor a zombie that nobody has collected yet. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Starts a parent with its child, and kills the parent once the child runs. Returns the child's pid. */
async function orphan(...words: readonly string[]): Promise<number> {
  const started = execa(process.execPath, ['--import', 'tsx', parent, ...words], { reject: false });
  const [line] = (await Promise.race([
    once(started.stdout, 'data'),
    started.then((ended) => Promise.reject(new Error(ended.stderr))),
  ])) as [Buffer];
  const pid = Number(line.toString());
  expect(runs(pid)).toBe(true);
  started.kill('SIGKILL');
  await started;
  return pid;
}

const patiently = { timeout: 60_000, interval: 50 };

const untilGone = (pid: number) => vi.waitFor(() => expect(runs(pid)).toBe(false), patiently);

test('ends the program when we are killed', async () => {
  await untilGone(await orphan('program', 'echo ready; exec sleep 300'));
});

test('ends by force a program that ignores being asked, when we are killed', async () => {
  await untilGone(await orphan('program', 'trap "" TERM; echo ready; while :; do sleep 0.2; done'));
});

test('leaves no Temporal server when we are killed', async () => {
  await untilGone(await orphan('temporal'));
});

test('has the pid of the program itself', async () => {
  const child = startGuarded('sleep', ['300']);
  await vi.waitFor(() => expect(readFileSync(`/proc/${child.pid}/comm`, 'utf8')).toBe('sleep\n'), patiently);
  expect(child.isRunning()).toBe(true);
  await child.kill();
  expect(child.isRunning()).toBe(false);
});

test('tells how the program ended', async () => {
  expect(await startGuarded('sh', ['-c', 'exit 7']).ended).toBe('exit code 7');
  expect(await startGuarded('sh', ['-c', 'kill -9 $$']).ended).toBe('SIGKILL');
  expect(await startGuarded('/no/such/program', []).ended).toBe('exit code 127');
});

test('ends by force what does not stop in time', async () => {
  const child = startGuarded('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done']);
  await once(child.stdout, 'data');
  await child.stop(200);
  expect(await child.ended).toBe('SIGKILL');
});

test('leaves no guard behind once the program has ended', async () => {
  const child = startGuarded('true', []);
  await child.ended;
  // The guard is in the session that the program led. A zombie is for process 1 to collect.
  await vi.waitFor(async () => {
    const ps = await execa('ps', ['-o', 'stat=', '--sid', String(child.pid)], { reject: false });
    expect(ps.stdout.split('\n').filter((state) => state !== '' && !state.startsWith('Z'))).toEqual([]);
  }, patiently);
});
