import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { createReleaseActivities } from '../../activities/releases.js';
import { ServerName, ServiceId } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { allTo } from '../../domain/split.js';
import type { Drivers } from '../../drivers/drivers.js';

const service = {
  id: ServiceId('shop', 'test'),
  environments: { blue: [], green: [{ name: ServerName('green-1'), color: 'green' }] },
} as unknown as Service;

/** The environment of the server has the traffic, whoever looks. */
const drivers = {
  loadBalancer: () =>
    Promise.resolve({
      observe: () => Promise.resolve({ traffic: { kind: 'split', split: allTo('green') }, staged: [] }),
    }),
  server: () => ({
    stop: () => Promise.resolve({ killed: false }),
    remove: () => Promise.resolve(),
    adopt: () => Promise.resolve('nothing'),
  }),
} as unknown as Drivers;

/** Stops the server by a step that was asked for this long ago, as Temporal's clock has it. */
const stopAsked = (agoMs: number) =>
  new MockActivityEnvironment({ scheduledTimestampMs: Date.now() - agoMs }).run(() =>
    createReleaseActivities(drivers).stopServer({
      service,
      server: ServerName('green-1'),
      token: { startedAtMs: 1, step: 1 },
    }),
  );

test('a step that was just asked for rests on the look that the workflow took', async () => {
  expect(await stopAsked(0)).toEqual({ killed: false });
});

test.each([
  ['has waited', 60_000],
  ['comes from the future, because the clock of the worker is behind', -3_600_000],
])('a step that %s looks again whether the server is idle', async (_, agoMs) => {
  await expect(stopAsked(agoMs)).rejects.toMatchObject({ failure: 'EnvironmentHasTraffic' });
});

test.each(['removeRelease', 'adoptServer'] as const)(
  '%s looks again, too, when it has waited',
  async (step) => {
    const asked = { service, server: ServerName('green-1'), token: { startedAtMs: 1, step: 1 } };
    const take = createReleaseActivities(drivers)[step] as (input: object) => Promise<unknown>;
    const running = (agoMs: number) =>
      new MockActivityEnvironment({ scheduledTimestampMs: Date.now() - agoMs }).run(() => take(asked));
    await running(0);
    await expect(running(60_000)).rejects.toMatchObject({ failure: 'EnvironmentHasTraffic' });
  },
);
