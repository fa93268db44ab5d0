import { afterEach, expect, test } from 'vitest';

import { startOvhApi, type OvhApi, type OvhApiBehaviour } from '../../../sandbox/ovh-api/ovh-api.js';
import { until } from '../program.js';
import { clientOf, refresh } from '../signed-client.js';

let api: OvhApi | undefined;
afterEach(() => api?.close());

/** A load balancer with one farm, under a clock that the test moves. */
async function aLoadBalancer(behaviour: Partial<OvhApiBehaviour> = {}) {
  let now = Date.UTC(2026, 0, 1);
  api = await startOvhApi({ clock: () => now, behaviour: { todoMs: 1000, doingMs: 10_000, ...behaviour } });
  const client = clientOf(api, () => now);
  const root = `/ipLoadbalancing/${api.serviceName}`;
  const { farmId } = await client.post(`${root}/http/farm`, { zone: 'all', port: 1 });
  const taskIs = (id: number, status: string) =>
    until(async () => (await client.get(`${root}/task/${id}`)).status === status);
  return {
    api,
    client,
    root,
    order: async () => client.post(`${root}/refresh`),
    setPort: (port: number) => client.put(`${root}/http/farm/${farmId}`, { port }),
    publishedPort: () => api!.admin.appliedOn(16_300)?.get('farm', farmId)?.fields['port'],
    pass: (ms: number) => void (now += ms),
    taskIs,
  };
}

test('goes from todo over doing to done as its clock goes', async () => {
  const { client, root, order, pass, taskIs, publishedPort } = await aLoadBalancer();

  const task = await order();
  expect(task).toEqual({
    id: expect.any(Number),
    action: 'refreshIplb',
    status: 'todo',
    progress: 0,
    creationDate: '2026-01-01T00:00:00+00:00',
    doneDate: null,
    zones: ['gra'],
  });
  pass(1000);
  await taskIs(task.id, 'doing');
  expect(publishedPort()).toBeUndefined();
  pass(5000);
  await until(() => publishedPort() === 1);
  expect((await client.get(`${root}/pendingChanges`)).length).toBe(1);
  pass(5000);
  await taskIs(task.id, 'done');

  expect(await client.get(`${root}/task/${task.id}`)).toMatchObject({
    progress: 100,
    doneDate: '2026-01-01T00:00:11+00:00',
  });
  expect(await client.get(`${root}/pendingChanges`)).toEqual([]);
});

test.each([
  ['order', 1, 1],
  ['start', 2, 0],
] as const)('publishes what was edited until its %s', async (snapshotAt, port, pending) => {
  const { client, root, order, pass, taskIs, setPort, publishedPort } = await aLoadBalancer({ snapshotAt });
  const { id } = await order();
  await setPort(2);

  pass(1000);
  await taskIs(id, 'doing');
  pass(5000);
  await until(() => publishedPort() !== undefined);
  pass(5000);
  await taskIs(id, 'done');

  expect(publishedPort()).toBe(port);
  expect((await client.get(`${root}/pendingChanges`)).length).toBe(pending);
});

test('queues an order while another is carried out', async () => {
  const { order, pass, taskIs } = await aLoadBalancer({ todoMs: 0, doingMs: 0, whileBusy: 'queue' });
  api!.admin.behave({ todoMs: 1000 });
  const first = await order();
  const second = await order();
  expect(second.id).not.toBe(first.id);

  pass(1000);
  await taskIs(first.id, 'done');
  await taskIs(second.id, 'todo');
  pass(1000);
  await taskIs(second.id, 'done');
});

test('refuses an order while another is carried out, where that is asked for', async () => {
  const { client, root, order } = await aLoadBalancer({ whileBusy: 'reject409' });
  await order();

  expect(await client.call('POST', `${root}/refresh`)).toMatchObject({
    status: 409,
    body: { class: 'Client::Conflict' },
  });
});

test('answers with the running task while it runs, where that is asked for', async () => {
  const { order } = await aLoadBalancer({ whileBusy: 'merge' });

  expect((await order()).id).toBe((await order()).id);
});

test.each(['blocked', 'cancelled', 'error'] as const)('ends as %s when told so', async (status) => {
  const { client, root, api } = await aLoadBalancer({ todoMs: 0, doingMs: 0 });
  api.admin.endNextRefresh({ status });

  expect((await refresh(client, api.serviceName)).status).toBe(status);
  expect((await client.get(`${root}/pendingChanges`)).length).toBe(1);
  expect((await refresh(client, api.serviceName)).status).toBe('done');
});

test('stays at doing when stuck', async () => {
  const { api, client, root, order, taskIs } = await aLoadBalancer({ todoMs: 0, doingMs: 0 });
  api.admin.endNextRefresh({ status: 'stuck', afterInstances: 1 });

  await taskIs((await order()).id, 'doing');

  expect((await client.get(`${root}/task?action=refreshIplb&status=doing`)).length).toBe(1);
});

test('lists tasks by status and by date', async () => {
  const { client, root, pass, api } = await aLoadBalancer({ todoMs: 0, doingMs: 0 });
  const early = await refresh(client, api.serviceName);
  pass(60_000);
  const late = await refresh(client, api.serviceName);
  const listed = (query: string) => client.get(`${root}/task?${query}`);

  expect(await listed('action=refreshIplb&status=done')).toEqual([early.id, late.id]);
  expect(await listed('status=doing')).toEqual([]);
  expect(await listed('creationDate.from=2026-01-01T00:00:30Z')).toEqual([late.id]);
  expect(await listed('creationDate.to=2026-01-01T00:00:30Z')).toEqual([early.id]);
  api.admin.forgetTask(early.id);
  expect((await client.call('GET', `${root}/task/${early.id}`)).status).toBe(404);
});

test('shows what somebody else edited and refreshed meanwhile', async () => {
  const { client, root, api, publishedPort } = await aLoadBalancer({ todoMs: 0, doingMs: 0 });
  await refresh(client, api.serviceName);

  await api.admin.editAsSomebodyElse('POST', `${root}/http/farm`, { zone: 'all', displayName: 'theirs' });
  expect(await client.get(`${root}/pendingChanges`)).toEqual([{ zone: 'gra', number: 1 }]);
  await api.admin.refreshAsSomebodyElse();

  await until(async () => (await client.get(`${root}/pendingChanges`)).length === 0);
  expect(publishedPort()).toBe(1);
  expect(api.journal.calls('POST', '/refresh').map(({ by }) => by)).toEqual(['client', 'somebody else']);
});
