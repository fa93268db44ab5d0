import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { RateLimit, rateLimitOf } from '../../ovh/rate-limit.js';
import { VirtualTime } from '../support/virtual-time.js';

test('lets a burst through at once and spaces what follows', async () => {
  const limit = new RateLimit({ perSecond: 50, burst: 3 });
  const startedAtMs = performance.now();
  const turns = await Promise.all(
    Array.from({ length: 6 }, () => limit.turn().then(() => performance.now() - startedAtMs)),
  );
  // Three more at 20 ms each; timers may fire a millisecond early.
  for (const [nth, due] of [0, 0, 0, 20, 40, 60].entries())
    expect(turns[nth], `turn ${nth}`).toBeGreaterThanOrEqual(due - 2);
});

test('holds everybody back when the API has said that it was too much', async () => {
  const limit = new RateLimit({ perSecond: 1_000, burst: 100 });
  await limit.turn();
  const startedAtMs = performance.now();
  limit.backOff(40);
  await limit.turn();
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(38);
});

test('lets a caller give up while it waits', async () => {
  const limit = new RateLimit({ perSecond: 0.001, burst: 1 });
  await limit.turn();
  const gone = new AbortController();
  const turn = limit.turn(gone.signal);
  gone.abort(new Error('cancelled'));
  await expect(turn).rejects.toThrow('cancelled');
});

test('has the turns of those who give up for whoever comes after them', async () => {
  const time = new VirtualTime();
  const limit = new RateLimit({ perSecond: 1, burst: 1 }, time);
  await limit.turn();
  const gone = new AbortController();
  setMaxListeners(0, gone.signal);
  const waiting = Array.from({ length: 50 }, () => limit.turn(gone.signal));
  gone.abort(new Error('cancelled'));
  expect((await Promise.allSettled(waiting)).every(({ status }) => status === 'rejected')).toBe(true);
  await limit.turn();
  expect(time.nowMs()).toBe(1_000);
});

test('holds back those who wait already, too', async () => {
  const time = new VirtualTime();
  const limit = new RateLimit({ perSecond: 1, burst: 1 }, time);
  await limit.turn();
  const turns = Array.from({ length: 3 }, () => limit.turn().then(() => time.nowMs()));
  limit.backOff(60_000);
  expect(await Promise.all(turns)).toEqual([60_000, 61_000, 62_000]);
});

test('holds nothing of the calls that went out: a worker lives for months', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const limit = new RateLimit({ perSecond: 1e9, burst: 1 });
  const after = async (calls: number): Promise<number> => {
    for (let call = 0; call < calls; call += 1) await limit.turn();
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = await after(1_000);
  expect((await after(50_000)) - before).toBeLessThan(2_000_000);
});

test('is shared by all callers of one credential', () => {
  const rate = { perSecond: 1, burst: 1 };
  expect(rateLimitOf('one', rate)).toBe(rateLimitOf('one', rate));
  expect(rateLimitOf('one', rate)).not.toBe(rateLimitOf('other', rate));
});
