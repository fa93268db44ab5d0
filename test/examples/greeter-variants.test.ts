import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RawConnection } from './raw-http.js';
import { RunningGreeter } from './running-greeter.js';

/** One answer after the other on one connection. */
async function statuses(greeter: RunningGreeter, path: string, count: number): Promise<readonly number[]> {
  const connection = await RawConnection.open(await greeter.port());
  const answers: number[] = [];
  for (let round = 0; round < count; round++) answers.push((await connection.get(path)).status);
  connection.destroy();
  return answers;
}

const shareOf = (answers: readonly number[], status: number): number =>
  answers.filter((answer) => answer === status).length / answers.length;

test('crashes-at-start exits 1 and says why last', async () => {
  await using greeter = await RunningGreeter.start({ variant: 'crashes-at-start' });
  expect(await greeter.ended).toEqual({ code: 1, signal: null });
  expect(greeter.lines.at(-1)).toBe('Cannot start "greeter": this variant crashes at start');
});

test('crashes-every-2s serves, then aborts', async () => {
  const started = performance.now();
  await using greeter = await RunningGreeter.serving({ variant: 'crashes-every-2s' });
  expect(await statuses(greeter, '/health', 1)).toEqual([200]);
  expect(await greeter.ended).toEqual({ code: null, signal: 'SIGABRT' });
  expect(performance.now() - started).toBeGreaterThan(1900);
  expect(greeter.lines.at(-1)).toBe('greeter: this variant crashes every 2 s');
});

test('exits-0-after-2s serves, then ends as if all were well', async () => {
  const started = performance.now();
  await using greeter = await RunningGreeter.serving({ variant: 'exits-0-after-2s' });
  expect(await statuses(greeter, '/health', 1)).toEqual([200]);
  expect(await greeter.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - started).toBeGreaterThan(1900);
});

test('slow-to-start listens after three seconds', async () => {
  const started = performance.now();
  await using greeter = await RunningGreeter.serving({ variant: 'slow-to-start' });
  expect(performance.now() - started).toBeGreaterThan(2900);
  expect(await statuses(greeter, '/health', 1)).toEqual([200]);
});

test('never-ready serves, and tells systemd nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'greeter-notify-'));
  const path = join(folder, 'socket');
  // Nothing is listening there: who tells it something complains.
  await using greeter = await RunningGreeter.serving({
    variant: 'never-ready',
    environment: { NOTIFY_SOCKET: path },
  });
  await using teller = await RunningGreeter.serving({ environment: { NOTIFY_SOCKET: path } });
  expect(await statuses(greeter, '/health', 1)).toEqual([200]);
  expect(await statuses(teller, '/health', 1)).toEqual([200]);
  const complaint = `Cannot notify "${path}": No such file or directory`;
  expect(teller.lines).toContain(complaint);
  expect(greeter.lines).not.toContain(complaint);
  await rm(folder, { recursive: true });
});

test('unhealthy serves, but its health is 503', async () => {
  await using greeter = await RunningGreeter.serving({ variant: 'unhealthy' });
  expect(await statuses(greeter, '/health', 2)).toEqual([503, 503]);
  expect(await statuses(greeter, '/', 2)).toEqual([200, 200]);
});

test('falls-ill-errors fails three in ten after 50 requests, and stays healthy', async () => {
  await using greeter = await RunningGreeter.serving({ variant: 'falls-ill-errors' });
  expect(shareOf(await statuses(greeter, '/health', 100), 200)).toBe(1);
  expect(shareOf(await statuses(greeter, '/', 50), 200)).toBe(1);
  expect(shareOf(await statuses(greeter, '/', 100), 500)).toBeCloseTo(0.3);
  expect(shareOf(await statuses(greeter, '/health', 10), 200)).toBe(1);
});

test('falls-ill-slow takes 400 ms longer after 50 requests, and stays healthy', async () => {
  await using greeter = await RunningGreeter.serving({ variant: 'falls-ill-slow' });
  await statuses(greeter, '/', 50);
  const started = performance.now();
  expect(await statuses(greeter, '/', 2)).toEqual([200, 200]);
  expect(performance.now() - started).toBeGreaterThan(790);
  expect(await statuses(greeter, '/health', 1)).toEqual([200]);
});

test('ignores-sigterm has to be killed', async () => {
  await using greeter = await RunningGreeter.serving({ variant: 'ignores-sigterm' });
  greeter.signal('SIGTERM');
  await expect.poll(() => greeter.lines.at(-1)).toBe('ignoring signal 15');
  expect(await statuses(greeter, '/health', 1)).toEqual([200]);
  greeter.signal('SIGKILL');
  expect(await greeter.ended).toEqual({ code: null, signal: 'SIGKILL' });
});

test('leaks loses a descriptor with each request', async () => {
  await using greeter = await RunningGreeter.serving({ variant: 'leaks' });
  const descriptors = async () => (await readdir(`/proc/${greeter.pid}/fd`)).length;
  const before = await descriptors();
  await statuses(greeter, '/', 100);
  expect((await descriptors()) - before).toBeGreaterThanOrEqual(100);
});
