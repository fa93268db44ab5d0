import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { createHealthActivities } from '../../activities/health.js';
import { ServerName, ServiceId } from '../../domain/names.js';
import type { BackendObservation } from '../../domain/observation.js';
import type { Service } from '../../domain/service.js';
import type { Drivers } from '../../drivers/drivers.js';

const server = ServerName('green-1');

/** Waits for the one server, which the load balancer describes like this whenever it is asked. */
async function awaited(backend: Partial<BackendObservation>, loadBalancerDeadlineMs: number) {
  const beganAtMs = Date.now();
  let lastLookAtMs = beganAtMs;
  const observe = () => {
    lastLookAtMs = Date.now();
    return Promise.resolve({ backends: [{ server, color: 'green', state: 'up', ...backend }] });
  };
  const drivers = { loadBalancer: () => Promise.resolve({ observe }) } as unknown as Drivers;
  const service = {
    id: ServiceId('shop', 'test'),
    loadBalancer: { driver: 'ovh-public-cloud' },
    verify: { everyMs: 5, loadBalancerDeadlineMs },
  } as unknown as Service;
  const activities = createHealthActivities(drivers);
  const missing = await new MockActivityEnvironment().run(() =>
    activities.awaitBackendsUp({ service, servers: [server], mayMiss: 0 }),
  );
  return { missing, lookedForMs: lastLookAtMs - beganAtMs };
}

test('where nobody tells when a check was made, a server is up once every check from before is too old', async () => {
  const { missing, lookedForMs } = await awaited({ checkedWithinMs: 60 }, 60_000);
  expect(missing).toEqual([]);
  expect(lookedForMs).toBeGreaterThan(60);
});

test('where it is told when a check was made, one from before proves nothing, and a newer one does', async () => {
  const failure = await awaited({ checkedAtMs: 1_000 }, 20).catch((error: unknown) => error as Error);
  expect(failure).toMatchObject({
    failure: 'IdleNotUp',
    message: expect.stringContaining('green-1 is up by an old check'),
  });
  let looks = 0;
  const checkedAgain = {
    get checkedAtMs() {
      return ++looks > 3 ? 2_000 : 1_000;
    },
  };
  expect((await awaited(checkedAgain, 60_000)).missing).toEqual([]);
  expect(looks).toBe(4);
});

test.each([
  ['whose check may be from before', { checkedWithinMs: 60_000 }, 'green-1 is up by an old check'],
  ['that nobody has checked', { state: 'unchecked' }, 'green-1 is unchecked'],
] as const)('a server %s is not up, and where to look is told', async (_what, backend, words) => {
  const failure = await awaited(backend, 20).catch((error: unknown) => error as Error);
  expect(failure).toMatchObject({ failure: 'IdleNotUp', message: expect.stringContaining(words) });
  expect((failure as Error).message).toContain('needs loadBalancer.stagingListener');
});
