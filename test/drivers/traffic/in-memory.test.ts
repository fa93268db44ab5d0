import { expect, test } from 'vitest';
import type { Tally, TrafficWindow } from '../../../domain/traffic.js';
import {
  createInMemoryProber,
  InMemoryPublicAddress,
  type InMemoryProberOptions,
} from '../../../drivers/traffic/in-memory.js';
import { endless } from '../../../drivers/patience.js';

const question = { path: '/version', status: 200, timeoutMs: 1000, identityHeader: 'x-release' };
const target = { url: 'http://in-memory', path: '/', requestsPerSecond: 100, timeoutMs: 1000 };

/** Probes until `count` windows were delivered, with a word with the world after each. */
async function probe(
  address: InMemoryPublicAddress,
  count: number,
  afterWindow: (n: number) => void = () => undefined,
  options: InMemoryProberOptions = { windowMs: 5 },
): Promise<{ windows: readonly TrafficWindow[]; tally: Tally }> {
  const windows: TrafficWindow[] = [];
  let enough: () => void;
  const seen = new Promise<void>((resolve) => (enough = resolve));
  const running = createInMemoryProber(address, options).start(target, (window) => {
    windows.push(window);
    afterWindow(windows.length);
    if (windows.length === count) enough();
  });
  await seen;
  const tally = await running.stop();
  return { windows: windows.slice(0, count), tally };
}

test('delivers a second of requests per window, however short the window', async () => {
  const { windows } = await probe(new InMemoryPublicAddress(), 3);
  expect(windows.map(({ sent, failed }) => [sent, failed])).toEqual([
    [100, 0],
    [100, 0],
    [100, 0],
  ]);
});

test('follows the world while it runs', async () => {
  const address = new InMemoryPublicAddress();
  const { windows, tally } = await probe(address, 2, () => {
    address.errorRate = 1;
    address.latencyMs = 900;
  });
  expect(windows[0]).toMatchObject({ failed: 0, p99Ms: 5 });
  expect(windows[1]).toMatchObject({ failed: windows[1]?.sent, p99Ms: 900 });
  expect(tally.failures['HTTP 503']).toBe(tally.failed);
  expect(tally.longestGapMs).toBeGreaterThan(0);
});

test('lets each environment behave in its own way', async () => {
  const address = new InMemoryPublicAddress();
  let live = 'blue';
  address.current = () => (live === 'blue' ? { identity: 'r1' } : { identity: 'r2', status: 500 });
  const prober = createInMemoryProber(address);
  expect(await prober.ask('http://x', question, endless)).toMatchObject({ status: 200, identity: 'r1' });
  live = 'green';
  expect(await prober.ask('http://x', question, endless)).toMatchObject({ status: 500, identity: 'r2' });
});

test('counts a small share of failures in full over time', async () => {
  const address = new InMemoryPublicAddress();
  address.errorRate = 0.004;
  const { tally } = await probe(address, 10);
  expect(tally.failed).toBe(Math.floor(tally.sent * 0.004 + 1e-9));
});

test('stays silent when told so', async () => {
  const address = new InMemoryPublicAddress();
  address.silentBecause = 'refused';
  expect(await createInMemoryProber(address).ask('http://x', question, endless)).toEqual({
    kind: 'silent',
    because: 'refused',
  });
});
