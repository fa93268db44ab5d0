import { afterEach, expect, test } from 'vitest';

import type { DataPlane } from '../../../sandbox/data-plane/data-plane.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { startOvhApi, type OvhApi, type OvhApiOptions } from '../../../sandbox/ovh-api/ovh-api.js';
import type { Sleep } from '../../../sandbox/ovh-api/timeline.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { ask } from '../load.js';
import { program, until } from '../program.js';
import { clientOf } from '../signed-client.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A load balancer with one listener, one pool and its monitor, and a client that signs. */
async function aBalancer(options: OvhApiOptions = {}, dataPlane: DataPlane = new SilentDataPlane()) {
  let held: Promise<void> = Promise.resolve();
  /** Nothing is applied from now on, until it is let go. */
  const hold = (): (() => void) => {
    let letGo = (): void => undefined;
    held = new Promise((resolve) => (letGo = resolve));
    return letGo;
  };
  const api: OvhApi = await startOvhApi({ ...options, sleep: sleepUntil(() => held) });
  cleanups.push(() => api.close());
  const { publicCloud } = api;
  const balancer = publicCloud.add(dataPlane);
  const project = `/cloud/project/${publicCloud.project}`;
  const root = `${project}/region/${publicCloud.region}/loadbalancing`;
  const client = clientOf(api);
  const loadbalancerId = balancer.id;
  const post = async (path: string, body: object) => {
    await balancer.settled();
    const made = await client.post(`${root}/${path}`, body);
    await balancer.settled();
    return made;
  };
  const aPool = (name: string): Promise<{ id: string }> =>
    post('pool', { loadbalancerId, name, algorithm: 'roundRobin', protocol: 'http' });
  const pool = await aPool('blue');
  const listener = await post('listener', {
    loadbalancerId,
    name: 'web',
    port: 80,
    protocol: 'http',
    defaultPoolId: pool.id,
  });
  const monitor = { monitorType: 'http', delay: 2, timeout: 1, maxRetries: 1 };
  const [member] = await post(`pool/${pool.id}/member`, {
    members: [{ address: '127.0.0.1', protocolPort: 8000 }],
  });
  return { api, balancer, client, root, project, hold, post, aPool, pool, listener, member, monitor };
}

/** However long it is to be slept: until what holds has let go, or the emulator is closed. */
const sleepUntil =
  (held: () => Promise<void>): Sleep =>
  (_ms, signal) =>
    new Promise((resolve, reject) => {
      const giveUp = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', giveUp);
      void held().then(() => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      });
    });

test('accepts a change at once, locks everything until it runs, and refuses what meets the lock', async () => {
  const { balancer, client, root, hold, pool, listener } = await aBalancer();
  const letGo = hold();
  const edited = await client.put(`${root}/pool/${pool.id}`, { algorithm: 'sourceIP' });
  expect(edited).toMatchObject({ algorithm: 'sourceIP', provisioningStatus: 'updating' });
  expect(await client.get(`${root}/loadbalancer/${balancer.id}`)).toMatchObject({
    provisioningStatus: 'updating',
  });
  expect(await client.get(`${root}/listener/${listener.id}`)).toMatchObject({
    provisioningStatus: 'updating',
  });
  for (const [method, path, body] of [
    ['PUT', `listener/${listener.id}`, { name: 'other' }],
    ['DELETE', `pool/${pool.id}`, undefined],
    ['POST', 'pool', { loadbalancerId: balancer.id, name: 'x', algorithm: 'roundRobin', protocol: 'http' }],
  ] as const) {
    const { status, body: said } = await client.call(method, `${root}/${path}`, body);
    expect({ status, class: said.class, message: said.message }).toEqual({
      status: 409,
      class: 'Client::Conflict',
      message: `Load Balancer ${balancer.id} is immutable and cannot be updated.`,
    });
  }
  letGo();
  await balancer.settled();
  expect(await client.get(`${root}/loadbalancer/${balancer.id}`)).toMatchObject({
    provisioningStatus: 'active',
  });
  expect(await client.get(`${root}/pool/${pool.id}`)).toMatchObject({ provisioningStatus: 'active' });
});

test('tells of members what Octavia tells: no monitor, online, in error, draining for ever', async () => {
  const dataPlane = new SilentDataPlane();
  const { balancer, client, root, post, pool, listener, member, monitor } = await aBalancer({}, dataPlane);
  const status = async (path = `pool/${pool.id}/member/${member.id}`) =>
    (await client.get(`${root}/${path}`)).operatingStatus;
  expect(await status()).toBe('noMonitor');
  await post('healthMonitor', { poolId: pool.id, name: 'health', ...monitor });
  expect(await status()).toBe('online');
  dataPlane.setUp(balancer.numberOf(member.id), false);
  expect([await status(), await status(`pool/${pool.id}`), await status(`listener/${listener.id}`)]).toEqual([
    'error',
    'error',
    'error',
  ]);
  await client.put(`${root}/pool/${pool.id}/member/${member.id}`, { weight: 0 });
  await balancer.settled();
  expect(await status()).toBe('draining');
  expect((await client.get(`${root}/pool/${pool.id}/member/${member.id}`)).weight).toBe(0);
});

test.each([
  ['offline', 'offline'],
  ['noMonitor', 'noMonitor'],
  ['monitored', 'online'],
] as const)('looks at members of a pool that no listener uses as told (%s)', async (unreachedPools, seen) => {
  const { client, root, post, aPool, monitor } = await aBalancer({ behaviour: { unreachedPools } });
  const { id } = await aPool('green');
  await post('healthMonitor', { poolId: id, name: 'health', ...monitor });
  await post(`pool/${id}/member`, { members: [{ address: '127.0.0.1', protocolPort: 9000 }] });
  expect((await client.get(`${root}/pool/${id}/member`))[0].operatingStatus).toBe(seen);
});

test('ends a change in error when told, and accepts nothing until support has built it anew', async () => {
  const { balancer, client, root, pool, listener, post } = await aBalancer();
  balancer.endNext({ status: 'error' });
  await client.put(`${root}/listener/${listener.id}`, { name: 'web', description: 'x' });
  await balancer.settled();
  expect((await client.get(`${root}/loadbalancer/${balancer.id}`)).provisioningStatus).toBe('error');
  expect((await client.get(`${root}/listener/${listener.id}`)).provisioningStatus).toBe('error');
  expect(await client.call('PUT', `${root}/pool/${pool.id}`, { name: 'x' })).toMatchObject({ status: 409 });
  balancer.recover();
  await post('pool', { loadbalancerId: balancer.id, name: 'y', algorithm: 'roundRobin', protocol: 'http' });
});

test('refuses what cannot be, in words', async () => {
  const { balancer, client, root, post, pool, listener, monitor } = await aBalancer();
  const loadbalancerId = balancer.id;
  await post('healthMonitor', { poolId: pool.id, name: 'health', ...monitor });
  const udp = await post('pool', { loadbalancerId, name: 'udp', algorithm: 'roundRobin', protocol: 'udp' });
  for (const [method, path, body, status, why] of [
    ['POST', 'listener', { loadbalancerId, name: 'b', port: 80, protocol: 'http' }, 409, 'protocol_port 80'],
    [
      'POST',
      `pool/${pool.id}/member`,
      { members: [{ address: '127.0.0.1', protocolPort: 8000 }] },
      409,
      'already using ip',
    ],
    [
      'POST',
      'healthMonitor',
      { poolId: pool.id, name: 'again', ...monitor },
      409,
      'already has a health monitor',
    ],
    ['DELETE', `pool/${pool.id}`, undefined, 409, 'is in use'],
    ['PUT', `listener/${listener.id}`, { defaultPoolId: udp.id }, 400, 'does not support a pool with udp'],
    ['PUT', `listener/${listener.id}`, { port: 81 }, 400, 'can not be changed'],
    ['PUT', `listener/${listener.id}`, { allowedCidrs: null }, 400, 'not an array'],
    ['PUT', `pool/${pool.id}`, { colour: 'blue' }, 400, 'not described'],
    ['POST', 'pool', { name: 'x', algorithm: 'roundRobin', protocol: 'http' }, 400, 'Exactly one of'],
    ['GET', 'listener/0b0b0b0b-0000-4000-8000-000000000000', undefined, 404, 'not found'],
  ] as const) {
    const answer = await client.call(method, `${root}/${path}`, body);
    expect({ path, status: answer.status }).toEqual({ path, status });
    expect(answer.body.message).toContain(why);
  }
});

test.each([
  ['replaces', 200],
  ['refused', 409],
] as const)('a pool that is created for a listener which has one: %s', async (poolForListener, status) => {
  const { balancer, client, root, pool, listener } = await aBalancer({ behaviour: { poolForListener } });
  const body = { listenerId: listener.id, name: 'new', algorithm: 'roundRobin', protocol: 'http' };
  const answer = await client.call('POST', `${root}/pool`, body);
  expect(answer.status).toBe(status);
  await balancer.settled();
  const { defaultPoolId } = await client.get(`${root}/listener/${listener.id}`);
  expect(defaultPoolId).toBe(status === 200 ? answer.body.id : pool.id);
  expect(balancer.applied.get('listener', listener.id)?.fields['defaultPoolId']).toBe(defaultPoolId);
});

test('creates a load balancer in its own time, told by an operation', async () => {
  const { client, root, project, hold } = await aBalancer();
  const letGo = hold();
  const network = { private: { network: { id: 'n', subnetId: 's' } } };
  const [flavor] = await client.get(`${root}/flavor`);
  const operation = await client.post(`${root}/loadbalancer`, {
    flavorId: flavor.id,
    name: 'second',
    network,
  });
  expect(operation).toMatchObject({ status: 'in-progress', action: 'loadbalancer#create' });
  const made = `${root}/loadbalancer/${operation.resourceId}`;
  expect(await client.get(made)).toMatchObject({ provisioningStatus: 'creating', name: 'second' });
  letGo();
  await until(async () => (await client.get(`${project}/operation/${operation.id}`)).status === 'completed');
  expect(await client.get(made)).toMatchObject({ provisioningStatus: 'active' });
  await client.delete(made);
  expect(await client.call('GET', made)).toMatchObject({ status: 404 });
});

test('carries what was applied: default pools, weights, and policies that have rules', async () => {
  const [blue, green] = [await program('blue'), await program('green')];
  cleanups.push(
    () => blue.stop(),
    () => green.stop(),
  );
  const dataPlane = startDataPlane();
  cleanups.push(() => dataPlane.close());
  const { balancer, client, root, hold, post, aPool, listener } = await aBalancer({}, dataPlane);
  const pools = { blue: (await aPool('b')).id, green: (await aPool('g')).id };
  for (const [pool, { port }] of [
    [pools.blue, blue],
    [pools.green, green],
  ] as const)
    await post(`pool/${pool}/member`, { members: [{ address: '127.0.0.1', protocolPort: port }] });
  const point = async (to: string): Promise<void> => {
    await client.put(`${root}/listener/${listener.id}`, { defaultPoolId: to });
    await balancer.settled();
  };
  const port = () => dataPlane.portOf(balancer.numberOf(listener.id));
  await point(pools.blue);
  expect((await ask(port())).body).toBe('blue');

  const letGo = hold();
  await client.put(`${root}/listener/${listener.id}`, { defaultPoolId: pools.green });
  expect((await ask(port())).body).toBe('blue');
  letGo();
  await balancer.settled();
  expect((await ask(port())).body).toBe('green');

  const policy = await post('l7Policy', {
    listenerId: listener.id,
    action: 'redirectToPool',
    redirectPoolId: pools.blue,
  });
  expect((await ask(port())).body).toBe('green');
  await post(`l7Policy/${policy.id}/l7Rule`, {
    ruleType: 'header',
    compareType: 'equalTo',
    key: 'x-tester',
    value: 'yes',
  });
  expect((await ask(port(), { headers: { 'x-tester': 'yes' } })).body).toBe('blue');
  expect((await ask(port())).body).toBe('green');
});

test('is as it was after a restart, and applies what was being applied', async () => {
  const { api, balancer, client, root, hold, pool, listener } = await aBalancer();
  const letGo = hold();
  await client.put(`${root}/pool/${pool.id}`, { algorithm: 'sourceIP' });
  const state = JSON.parse(JSON.stringify(api.publicCloud.state())) as unknown;
  letGo();

  const next = await startOvhApi({ behaviour: { updatingMs: 0 } });
  cleanups.push(() => next.close());
  const dataPlane = new SilentDataPlane();
  const again = next.publicCloud.add(dataPlane, balancer.place, balancer.id);
  await next.publicCloud.restore(state);
  await again.settled();
  const there = clientOf(next);
  expect(await there.get(`${root}/pool/${pool.id}`)).toMatchObject({
    algorithm: 'sourceIP',
    provisioningStatus: 'active',
  });
  expect(await there.get(`${root}/listener/${listener.id}`)).toMatchObject({ defaultPoolId: pool.id });
  expect(dataPlane.applied.get(dataPlane.instances[0]!.instanceId)?.farms[0]?.balance).toBe('source');
});
