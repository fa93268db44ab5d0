import type { Client } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { msToTs } from '@temporalio/common/lib/time.js';
import { expect, test } from 'vitest';
import type { EnvironmentReport } from '../../activities/environment-watch.js';
import { createHealthActivities } from '../../activities/health.js';
import { createTrafficActivities } from '../../activities/traffic.js';
import { ServerName, ServiceId } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { emptyTally, type TrafficReport } from '../../domain/traffic.js';
import type { Drivers } from '../../drivers/drivers.js';
import type { Patience } from '../../drivers/patience.js';

const service = {
  id: ServiceId('shop', 'test'),
  environments: { blue: [], green: [{ name: ServerName('green-1'), color: 'green' }] },
  health: { path: '/health', status: 200, timeoutMs: 500 },
  bake: { watchEveryMs: 1_000 },
} as unknown as Service;

/** Answers badly, so that the watch ends, and shows no process until then. */
const drivers = {
  server: () => ({
    server: { name: ServerName('green-1') },
    probe: () => Promise.resolve({ kind: 'answered', status: 503, tookMs: 1 }),
    // oxlint-disable-next-line require-yield -- nothing is seen
    async *watch(_everyMs: number, { signal }: Patience) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      signal.throwIfAborted();
    },
  }),
} as unknown as Drivers;

/** When Temporal asked for the first attempt and for the one that goes on after it. */
const [first, second] = [1_000_000, 1_065_000];

/** Temporal, as far as it is asked when this attempt has begun. */
const temporalThatTells = (startedAtMs: number | undefined) =>
  ({
    withAbortSignal: (_signal: AbortSignal, act: () => unknown) => act(),
    withDeadline: (_deadline: number, act: () => unknown) => act(),
    workflow: {
      getHandle: () => ({
        describe: () =>
          startedAtMs === undefined
            ? Promise.reject(new Error('it is away'))
            : Promise.resolve({
                raw: {
                  pendingActivities: [{ activityId: 'test', lastStartedTime: msToTs(startedAtMs) }],
                },
              }),
      }),
    },
  }) as unknown as Client;

/** For how long green-1 was out of sight, as a worker finds that goes on 60 s after the last heartbeat of one whose clock differs. */
async function unwatchedMs(differsByMs: number, startedAtMs?: number): Promise<number> {
  const heartbeatDetails = {
    now: 'green is well',
    unwatched: [],
    atMs: Date.now() - 60_000 + differsByMs,
    askedForAtMs: first,
    workedMs: 5_000,
  };
  const info = { attempt: 2, currentAttemptScheduledTimestampMs: second, heartbeatDetails };
  const client = temporalThatTells(startedAtMs);
  const { unwatched } = (await new MockActivityEnvironment(info, { client }).run(() =>
    createHealthActivities(drivers).watchEnvironment({ service, color: 'green', until: 'ill', except: [] }),
  )) as EnvironmentReport;
  return unwatched.find(({ server }) => server === 'green-1')?.ms ?? 0;
}

test.each([
  ['as ours', 0],
  ['an hour ahead', 3_600_000],
])('counts what nobody watched after a worker was lost whose clock is %s', async (_, differsByMs) => {
  const ms = await unwatchedMs(differsByMs);
  expect(ms).toBeGreaterThanOrEqual(60_000);
  expect(ms).toBeLessThan(3_600_000);
});

test('counts what this attempt has waited for a worker, too, where the clock of the one before is ahead', async () => {
  const ms = await unwatchedMs(3_600_000, second + 30_000);
  expect(ms).toBeGreaterThanOrEqual(90_000);
  expect(ms).toBeLessThan(3_600_000);
});

test('a prober tells that it lives while it waits for the last answers', async () => {
  const environment = new MockActivityEnvironment({ attempt: 1 });
  // They come only after a heartbeat that was sent while they were waited for.
  const stop = () =>
    new Promise((resolve) => environment.once('heartbeat', () => resolve({ ...emptyTally, sent: 7 })));
  const probing = environment.run(() =>
    createTrafficActivities({ prober: { start: () => ({ stop }) } } as unknown as Drivers).probeTraffic({
      service: { ...service, publicAddress: { url: 'http://shop.test' }, prober: { requestsPerSecond: 10 } },
    } as never),
  );
  environment.cancel();
  expect((await probing) as TrafficReport).toMatchObject({ tally: { sent: 7 } });
});
