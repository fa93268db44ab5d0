import { expect, vi } from 'vitest';
import type { OvhPublicCloudSettings, Service } from '../../domain/service.js';
import { lost, test, underLoad } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

test('a release behind a Public Cloud Load Balancer goes live without losing a request', async ({
  aSandbox,
}) => {
  const running = await aSandbox({ product: 'ovh-public-cloud' });
  const before = await running.fingerprint('blue');

  const { result: outcome, tally } = await underLoad(running, () => running.deploy('2.0.0'));

  expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', tally: { failed: 0 } });
  expect(lost(tally), JSON.stringify(tally)).toBe(0);
  expect(tally.sent).toBeGreaterThan(100);
  expect(await running.servedBy()).toBe('2.0.0');
  expect(await running.fingerprint('blue')).toEqual(before);
  // The listener of the world, and then the one for probes.
  const { listeners, stagingListener } = publicCloudOf(running.service);
  expect(running.writes().map((write) => write.replace(/.*loadbalancing/, ''))).toEqual(
    [...listeners, stagingListener].map((id) => `/listener/${id}`),
  );
});

function publicCloudOf({ loadBalancer }: Service): OvhPublicCloudSettings {
  if (loadBalancer.driver !== 'ovh-public-cloud') throw new TypeError('the sandbox has another one');
  return loadBalancer;
}
