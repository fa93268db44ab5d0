import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import type { OvhPublicCloudSettings, Service } from '../../domain/service.js';
import { lost, test, underLoad } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

test('a release behind a Public Cloud Load Balancer goes live without losing a request, and is moved by hand', async ({
  aSandbox,
}) => {
  const state = await mkdtemp(join(tmpdir(), 'verdigris-records-'));
  // Where the worker and the command keep what they have on record.
  vi.stubEnv('XDG_STATE_HOME', state);
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await rm(state, { recursive: true });
  });
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
  const oneSwitch = [...listeners, stagingListener].map((id) => `/listener/${id}`);
  const writes = () => running.writes().map((write) => write.replace(/.*loadbalancing/, ''));
  expect(writes()).toEqual(oneSwitch);

  const byHand = await underLoad(running, () => running.switchByHand('blue', ['--by', 'bea']));
  expect(byHand.result).toMatchObject({
    exitCode: 0,
    output: expect.stringMatching(/listener "production" \S+ -> pool[\s\S]*Switched \S+ to blue in/),
  });
  expect(lost(byHand.tally), JSON.stringify(byHand.tally)).toBe(0);
  expect(await running.servedBy()).toBe('1.0.0');
  expect(writes()).toEqual([...oneSwitch, ...oneSwitch]);

  const handle = await running.start(await running.build('3.0.0'), '3.0.0');
  const { plan } = await running.untilStage('approve', 'ended');
  expect(plan).toMatchObject({ live: 'blue', idle: 'green' });
  expect(plan?.warnings.join()).toMatch(/made by hand, without Temporal: green -> blue by bea/);
  await running.send('approve', { by: 'ann' });
  expect((await handle.result()) as Outcome).toMatchObject({ kind: 'promoted', live: 'green' });
  expect(await running.servedBy()).toBe('3.0.0');
});

function publicCloudOf({ loadBalancer }: Service): OvhPublicCloudSettings {
  if (loadBalancer.driver !== 'ovh-public-cloud') throw new TypeError('the sandbox has another one');
  return loadBalancer;
}
