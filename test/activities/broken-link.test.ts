import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, test } from 'vitest';
import { createObservationActivities } from '../../activities/observation.js';
import { Failure } from '../../domain/failures.js';
import { ServerName, ServiceId } from '../../domain/names.js';
import type { Observation } from '../../domain/observation.js';
import type { Service } from '../../domain/service.js';
import type { Drivers } from '../../drivers/drivers.js';

const service = {
  id: ServiceId('shop', 'test'),
  environments: { blue: [], green: [{ name: ServerName('green-1'), color: 'green' }] },
} as unknown as Service;

/** What is observed of a server whose looks end so, one after the other. */
async function observedAfter(...looks: readonly (Failure | 'facts')[]) {
  const left = [...looks];
  const observe = () => {
    const next = left.shift();
    return next instanceof Failure ? Promise.reject(next) : Promise.resolve(next);
  };
  const drivers = {
    loadBalancer: () => Promise.resolve({ observe: () => Promise.resolve({ staged: [] }) }),
    handSwitch: () => Promise.resolve(undefined),
    server: () => ({ observe }),
  } as unknown as Drivers;
  const { servers } = (await new MockActivityEnvironment().run(() =>
    createObservationActivities(drivers).observe({ service }),
  )) as Observation;
  return servers[0];
}

const broke = new Failure('ServerUnreachable', 'the connection was lost', { ambiguous: true });
const refused = new Failure('ServerUnreachable', 'it refuses connections');

test('a link that breaks while a server is looked at is no reason to call it unreachable', async () => {
  expect(await observedAfter(broke, 'facts')).toMatchObject({ kind: 'reached', facts: 'facts' });
});

test.each([
  ['breaks twice', [broke, broke, 'facts']],
  ['cannot be made, however often the driver has tried', [refused, 'facts']],
] as const)('a link that %s is', async (_, looks) => {
  expect(await observedAfter(...looks)).toMatchObject({ kind: 'unreachable' });
});
