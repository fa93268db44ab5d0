import { Agent } from 'node:http';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Tally } from '../../../domain/traffic.js';
import { exchange, type ExchangeEnd } from '../../../drivers/traffic/exchange.js';
import { createHttpProber } from '../../../drivers/traffic/http.js';

/** A service that is at work while this thread is not. */
const service = `
  const server = require('node:http').createServer((_, response) => response.end('ok'));
  server.listen(0, '127.0.0.1', () => require('node:worker_threads').parentPort.postMessage(server.address().port));
`;

let thread: Worker;
let port: number;
beforeAll(async () => {
  thread = new Worker(service, { eval: true });
  port = await new Promise<number>((resolve) => thread.once('message', resolve));
});
afterAll(() => thread.terminate());

/** As a long computation does, or a machine that gives no time. */
const pause = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** One request on a connection of its own, in whose middle this process pauses: it was about to connect. */
function askAndPause(
  agent: Agent,
  { timeoutMs, pauseMs, host = '127.0.0.1' }: { timeoutMs: number; pauseMs: number; host?: string },
): Promise<{ readonly end: ExchangeEnd; readonly pausedMs: number }> {
  return new Promise((resolve) => {
    exchange({ url: new URL(`http://${host}:${port}/`), agent, timeoutMs }, (end, pausedMs) =>
      resolve({ end, pausedMs }),
    );
    setImmediate(() => pause(pauseMs));
  });
}

test.each([320, 600, 1_500])('a pause of %d ms makes no request of 300 ms late', async (pauseMs) => {
  const { end, pausedMs } = await askAndPause(new Agent(), { timeoutMs: 300, pauseMs });
  expect(end).toMatchObject({ kind: 'answered', status: 200 });
  expect(pausedMs).toBeGreaterThan(pauseMs - 150);
});

test('of several addresses none is given up because this process did not look', async () => {
  // One that answers, and one where nobody listens: Node tries each for a quarter of a second.
  const lookup = (_: string, __: unknown, done: (error: null, addresses: object[]) => void) =>
    done(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '127.0.0.2', family: 4 },
    ]);
  const agent = new Agent({ lookup } as object);
  const asked = { timeoutMs: 5_000, host: 'both.example' };
  expect((await askAndPause(agent, { ...asked, pauseMs: 0 })).end).toMatchObject({ kind: 'answered' });
  expect((await askAndPause(agent, { ...asked, pauseMs: 400 })).end).toEqual({
    kind: 'unanswered',
    ending: 'not sent',
  });
});

test('latency knows no pauses of this process', async () => {
  const beganAtMs = performance.now();
  let wentOnAfterMs = 0;
  const ended = new Promise<Tally>((resolve) => {
    const running = createHttpProber().start(
      { url: `http://127.0.0.1:${port}`, path: '/', requestsPerSecond: 100, timeoutMs: 5_000 },
      () => resolve(running.stop()),
    );
  });
  setTimeout(() => {
    pause(900);
    setTimeout(() => (wentOnAfterMs = performance.now() - beganAtMs), 0);
  }, 20);
  const tally = await ended;
  // A busy machine may make it longer than what is caught up with: that is unobserved, and not late either.
  expect(tally).toMatchObject({ failed: 0, ...(wentOnAfterMs < 1_000 && { unobservedMs: 0 }) });
  expect(tally.p50Ms).toBeLessThan(225);
});
