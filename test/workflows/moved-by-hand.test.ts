import { describe, type ExpectStatic } from 'vitest';
import type { WorkflowHandle } from '@temporalio/client';
import { Failure } from '../../domain/failures.js';
import type { LoadBalancerSettings, Service } from '../../domain/service.js';
import { allTo } from '../../domain/split.js';
import type { ServerMethod } from '../../drivers/servers/in-memory.js';
import { workflowTypes } from '../../workflows/messages.js';
import { holdTurn, sharedLoadBalancer, untilItWaitsForItsTurn } from '../support/turns.js';
import { test, type World } from '../support/world.js';

/** How long a step is held in which somebody moves the traffic. */
const heldMs = 1_500;

const longBake = {
  durationMs: 600_000,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 60_000,
};

const mayLoseOne = (more: Partial<Service> = {}): Partial<Service> => ({
  fleet: { mayFail: 1, minCapacity: 1, serverDeadlineMs: 60_000, progressDeadlineMs: 60_000 },
  ...more,
});

let balancers = 0;
const balancer = (more: object): Pick<Service, 'loadBalancer'> => ({
  loadBalancer: { driver: 'in-memory', world: `by-hand-${++balancers}`, ...more } as LoadBalancerSettings,
});
const testers = () =>
  balancer({ testers: { route: 1, by: { kind: 'header', name: 'X-Preview', value: 'please' } } });

/** An idle server that an earlier deployment has left out: the next one takes it in again. */
const leaveOutGreen2 = ({ loadBalancer }: World) =>
  loadBalancer.editAsSomebodyElse('server/green-2', { status: 'inactive' });

const leaveGreen2Behind = (world: World) =>
  world
    .server('green-2')
    .failNext('activate', new Failure('StartFailed', 'Cannot start on "green-2": it ended'));

/** Somebody sends everybody to an environment while a call to a server is held. */
async function moveDuring(
  world: World,
  call: { readonly server: string; readonly method: ServerMethod },
  expect: ExpectStatic,
  split = allTo('green'),
  act: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  world.server(call.server).delay(call.method, heldMs);
  const before = world.servers.calls.length;
  await act();
  const isHeld = () =>
    world.servers.calls
      .slice(before)
      .some(({ server, method }) => server === call.server && method === call.method);
  await expect.poll(isHeld, { timeout: 60_000, interval: 20 }).toBe(true);
  world.loadBalancer.moveInPanel(split);
}

/** Somebody does so while the run waits for its turn behind another service. */
async function moveWhileItWaits(
  world: World,
  other: World,
  split: World['loadBalancer']['split'],
  act: () => Promise<unknown>,
): Promise<void> {
  await other.start('v2');
  const turn = await holdTurn(other);
  await act();
  await untilItWaitsForItsTurn(world);
  world.loadBalancer.moveInPanel(split);
  await turn.giveBack();
}

const toApproval = async (world: World): Promise<void> => {
  await world.start('v2');
  await world.untilStage('approve');
};

const untilAsked = (world: World) => world.untilStage('needs a person', 'ended');

describe.concurrent('traffic that somebody moves by hand is not sent back', () => {
  test('by taking a server in again', async ({ aWorld, expect }) => {
    const world = await aWorld();
    leaveOutGreen2(world);
    await moveDuring(world, { server: 'green-1', method: 'activate' }, expect, allTo('green'), () =>
      world.start('v2'),
    );
    expect((await untilAsked(world)).problem?.failure).toBe('TrafficMoved');
    expect(world.loadBalancer.split).toEqual(allTo('green'));
    expect(world.loadBalancer.inactive).toEqual(['green-2']);
  });

  test('by taking a server in again after a wait for its turn', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [world, other] = [await aWorld(shared), await aWorld(shared)];
    leaveOutGreen2(world);
    await moveWhileItWaits(world, other, allTo('green'), () => world.start('v2'));
    expect((await untilAsked(world)).problem?.failure).toBe('EnvironmentHasTraffic');
    expect(world.loadBalancer.split).toEqual(allTo('green'));
    expect(world.loadBalancer.inactive).toEqual(['green-2']);
  });

  test('by leaving out again what was taken in', async ({ aWorld, expect }) => {
    const world = await aWorld();
    leaveOutGreen2(world);
    await toApproval(world);
    world.loadBalancer.moveInPanel(allTo('green'));
    await untilAsked(world);
    await world.send('rollback', { by: 'ann' });
    const { problem } = await world.until(({ problem: now }) => now?.failure === 'EnvironmentHasTraffic');
    expect(problem?.message).toMatch(/^Cannot leave green-2 out of the load balancer again: /);
    expect(world.loadBalancer.split).toEqual(allTo('green'));

    world.loadBalancer.moveInPanel(allTo('blue'));
    await world.send('retry');
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.loadBalancer.inactive).toEqual(['green-2']);
  });

  test('by letting testers in', async ({ aWorld, expect }) => {
    const world = await aWorld(testers());
    await moveDuring(world, { server: 'green-1', method: 'activate' }, expect, allTo('green'), () =>
      world.start('v2'),
    );
    expect((await untilAsked(world)).problem?.failure).toBe('TrafficMoved');
    expect(world.loadBalancer.split).toEqual(allTo('green'));
    expect(world.loadBalancer.testersReach).toBeUndefined();
  });

  test('by closing it to testers after a wait for its turn', async ({ aWorld, expect }) => {
    const shared = testers();
    const [world, other] = [await aWorld(shared), await aWorld(shared)];
    await toApproval(world);
    await moveWhileItWaits(world, other, allTo('green'), () => world.send('reject', { by: 'ann' }));
    expect((await untilAsked(world)).problem?.failure).toBe('EnvironmentHasTraffic');
    expect(world.loadBalancer.split).toEqual(allTo('green'));
  });

  test('by putting the list of idle servers back', async ({ aWorld, expect }) => {
    const world = await aWorld(mayLoseOne());
    leaveGreen2Behind(world);
    await toApproval(world);
    await moveDuring(world, { server: 'green-1', method: 'remove' }, expect, allTo('green'), () =>
      world.send('reject', { by: 'ann' }),
    );
    const { problem } = await untilAsked(world);
    expect(problem?.message).toMatch(
      /^Cannot leave out of the load balancer only what could not be put back: /,
    );
    expect(world.loadBalancer.split).toEqual(allTo('green'));
  });

  test('by ending the fallback', async ({ aWorld, expect }) => {
    const shared = balancer({ fallback: 'old-environment' });
    const [world, other] = [await aWorld({ ...shared, bake: longBake }), await aWorld(shared)];
    await toApproval(world);
    await world.send('approve');
    await world.untilStage('bake');
    await moveWhileItWaits(world, other, allTo('blue'), () => world.send('advance'));
    expect((await untilAsked(world)).problem?.failure).toBe('TrafficMoved');
    expect(world.loadBalancer.split).toEqual(allTo('blue'));
  });
});

describe.concurrent('a server whose environment somebody sends traffic to', () => {
  test('is not stopped as one that was left behind', async ({ aWorld, expect }) => {
    const world = await aWorld(mayLoseOne());
    leaveGreen2Behind(world);
    await toApproval(world);
    // The last look before the switch ends with the live servers.
    await moveDuring(world, { server: 'blue-1', method: 'observe' }, expect, allTo('green'), () =>
      world.send('approve', { by: 'ann' }),
    );
    expect((await untilAsked(world)).problem?.failure).toBe('TrafficMoved');
    expect(world.servers.calls.filter(({ method }) => method === 'stop')).toEqual([]);
  });

  test('keeps its share where that was given while one was stopped that was left behind', async ({
    aWorld,
    expect,
  }) => {
    const world = await aWorld(mayLoseOne());
    leaveGreen2Behind(world);
    await toApproval(world);
    await moveDuring(world, { server: 'green-2', method: 'stop' }, expect, { blue: 50, green: 50 }, () =>
      world.send('approve', { by: 'ann' }),
    );
    expect((await untilAsked(world)).problem?.failure).toBe('EnvironmentHasTraffic');
    expect(world.loadBalancer.split).toEqual({ blue: 50, green: 50 });
  });

  test('is not started again where the old environment was being stopped', async ({ aWorld, expect }) => {
    const world = await aWorld({ retire: { old: 'stop' } });
    for (const server of world.service.environments.blue) world.server(server.name).adopt();
    world.server('blue-2').delay('stop', 600_000);
    await toApproval(world);
    await world.send('approve', { by: 'ann' });
    const stopping = () =>
      world.servers.calls.some(({ server, method }) => server === 'blue-2' && method === 'stop');
    await expect.poll(stopping, { timeout: 60_000 }).toBe(true);
    world.loadBalancer.moveInPanel(allTo('blue'));
    await world.send('rollback', { by: 'ann' });

    const { problem } = await world.untilStage('needs a person', 'ended');
    expect(problem?.message).toMatch(/^Cannot start blue-1, blue-2 again: /);
    expect(
      world.servers.calls.filter(({ server, method }) => server === 'blue-1' && method === 'activate'),
    ).toEqual([]);
    world.loadBalancer.moveInPanel(allTo('green'));
    await world.send('retry', { by: 'ann' });
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.servedBy()).toBe('v1');
  });
});

describe.concurrent('a convergence does not send traffic back that somebody has moved', () => {
  async function begin(world: World, before: () => void = () => undefined): Promise<WorkflowHandle> {
    leaveGreen2Behind(world);
    await world.deploy('v2');
    before();
    return world.client.workflow.start(workflowTypes.convergence, {
      workflowId: world.workflowId,
      taskQueue: world.taskQueue,
      args: [{ service: world.service, requestedBy: 'ann', searchAttributes: true }],
    });
  }

  test('by giving servers their share again', async ({ aWorld, expect }) => {
    const world = await aWorld(mayLoseOne());
    const converging = await begin(world);
    await moveDuring(world, { server: 'green-2', method: 'activate' }, expect, allTo('blue'));
    expect(await converging.result()).toMatchObject({
      kind: 'converged',
      broughtBack: [],
      leftBehind: [
        { because: expect.stringMatching(/has moved it away from green .*\n.*verdigris converge/) },
      ],
    });
    expect(world.loadBalancer.split).toEqual(allTo('blue'));
    expect(world.loadBalancer.inactive).toEqual(['green-2']);
  });

  test('by leaving out again those that are not up', async ({ aWorld, expect }) => {
    const verify = {
      passes: 2,
      everyMs: 50,
      minimumMs: 100,
      deadlineMs: 3_000,
      loadBalancerDeadlineMs: 1_500,
    };
    const world = await aWorld(mayLoseOne({ verify }));
    const converging = await begin(world, () => {
      const { backendState } = world.loadBalancer;
      world.loadBalancer.backendState = (server) => (server === 'green-2' ? 'down' : backendState(server));
    });
    await expect.poll(() => world.loadBalancer.inactive, { timeout: 60_000, interval: 20 }).toEqual([]);
    world.loadBalancer.moveInPanel(allTo('blue'));
    expect(await converging.result()).toMatchObject({
      kind: 'converged',
      broughtBack: [],
      notes: expect.arrayContaining([expect.stringMatching(/^The load balancer was left as it is: /)]),
    });
    expect(world.loadBalancer.split).toEqual(allTo('blue'));
  });
});
