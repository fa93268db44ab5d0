import type { WorkflowHandle } from '@temporalio/client';
import { describe } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { queue, type Turns } from '../../domain/turns.js';
import {
  holdTurn,
  loadBalancerOf,
  queueOf,
  sharedLoadBalancer,
  untilItWaitsForItsTurn,
} from '../support/turns.js';
import { test, type World } from '../support/world.js';

const longBake = {
  durationMs: 600_000,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 60_000,
};

/** Notes when the load balancer of a world is written to, and when that was published. */
function watchWrites(world: World, log: string[]): void {
  const { loadBalancer } = world;
  const [store, publish] = [loadBalancer.store.bind(loadBalancer), loadBalancer.publish.bind(loadBalancer)];
  loadBalancer.store = async (...edit) => {
    log.push(`${world.service.name} stores`);
    await store(...edit);
  };
  loadBalancer.publish = async () => {
    await publish();
    log.push(`${world.service.name} has published`);
  };
}

async function toApproval(world: World, release = 'v2'): Promise<WorkflowHandle> {
  const handle = await world.start(release);
  await world.untilStage('approve');
  return handle;
}

async function toBake(world: World): Promise<WorkflowHandle> {
  const handle = await toApproval(world);
  await world.send('approve', { by: 'ann' });
  await world.untilStage('bake');
  return handle;
}

const pick = ({ client, service }: World) => ({ client, service });

const hasEnded = async (handle: WorkflowHandle): Promise<boolean> =>
  (await handle.describe()).status.name !== 'RUNNING';

describe.concurrent('services that share a load balancer', () => {
  test('publish one after the other, and whoever waits says for whom', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [first, second] = [await aWorld(shared), await aWorld(shared)];
    const log: string[] = [];
    for (const world of [first, second]) watchWrites(world, log);
    const { held, release } = first.loadBalancer.hold();
    const handles = [await toApproval(first), await toApproval(second)];
    await first.send('approve', { by: 'ann' });
    await held;
    await second.send('approve', { by: 'ann' });

    const waiting = await untilItWaitsForItsTurn(second);
    expect(waiting).toMatchObject({
      stage: 'switch',
      awaits: expect.stringMatching(
        new RegExp(`^its turn at ${loadBalancerOf(first)}: ${first.service.id} publishes since 20..-`),
      ),
      accepts: ['rollback'],
    });
    release();
    expect(await Promise.all(handles.map((handle) => handle.result()))).toMatchObject([
      { kind: 'promoted' },
      { kind: 'promoted' },
    ]);
    const [one, other] = [first.service.name, second.service.name];
    expect(log).toEqual([
      `${one} stores`,
      `${one} has published`,
      `${other} stores`,
      `${other} has published`,
    ]);
    await expect.poll(() => hasEnded(queueOf(first))).toBe(true);
  });

  test('name the task queue of a queue whose workers are gone, and what to do', async ({
    aWorld,
    expect,
  }) => {
    const world = await aWorld(sharedLoadBalancer());
    await toApproval(world);
    await holdTurn({ ...pick(world), taskQueue: 'gone-for-good' });
    await world.send('approve', { by: 'ann' });
    const { awaits } = await world.until(({ awaits: now }) => now?.includes('gone-for-good') ?? false);
    expect(awaits).toMatch(
      /its queue does not answer: start a worker of task queue "gone-for-good" .*terminate "verdigris\/load-balancer\//,
    );
    await queueOf(world).terminate('its workers are gone');
  });

  test('let a way back go before what waits to go forward', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [holding, forward, back] = [
      await aWorld(shared),
      await aWorld(shared),
      await aWorld({ ...shared, bake: longBake }),
    ];
    const rolledBack = await toBake(back);
    await toApproval(holding);
    const promoted = await toApproval(forward);
    const log: string[] = [];
    for (const world of [forward, back]) watchWrites(world, log);
    const turn = await holdTurn(holding);
    await forward.send('approve', { by: 'ann' });
    await untilItWaitsForItsTurn(forward);
    await back.send('rollback', { by: 'ann' });
    await untilItWaitsForItsTurn(back);
    expect(await queueOf(holding).query<Turns>(queue.turns)).toMatchObject({
      holder: { id: turn.id },
      waiting: [{ service: back.service.id }, { service: forward.service.id }],
    });
    await turn.giveBack();

    expect(await rolledBack.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(await promoted.result()).toMatchObject({ kind: 'promoted' });
    expect(log[0]).toBe(`${back.service.name} stores`);
    expect(log[1]).toBe(`${back.service.name} has published`);
  });

  test.for(['terminate', 'cancel', 'rollback'] as const)(
    'go on when whoever publishes is ended by %s',
    async (how, { aWorld, expect }) => {
      const shared = sharedLoadBalancer();
      const [ending, waiting] = [await aWorld(shared), await aWorld(shared)];
      const { held, release } = ending.loadBalancer.hold();
      const [ended, promoted] = [await toApproval(ending), await toApproval(waiting)];
      await ending.send('approve');
      await held;
      await waiting.send('approve');
      await untilItWaitsForItsTurn(waiting);
      if (how === 'terminate') await ended.terminate('a test');
      if (how === 'cancel') await ended.cancel();
      if (how === 'rollback') await ending.send('rollback');
      release();

      expect(await promoted.result()).toMatchObject({ kind: 'promoted' });
      await expect.poll(() => hasEnded(queueOf(waiting)), { timeout: 30_000 }).toBe(true);
    },
  );

  test('go on when a run dies that only waits', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [holding, dying, waiting] = [await aWorld(shared), await aWorld(shared), await aWorld(shared)];
    const handles = [await toApproval(holding), await toApproval(dying), await toApproval(waiting)];
    const turn = await holdTurn(holding);
    for (const world of [dying, waiting]) {
      await world.send('approve');
      await untilItWaitsForItsTurn(world);
    }
    await handles[1]?.terminate('a test');
    await turn.giveBack();
    expect(await handles[2]?.result()).toMatchObject({ kind: 'promoted' });
  });

  test('ask again when their queue was ended, and it goes on', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [holding, waiting] = [await aWorld(shared), await aWorld(shared)];
    await toApproval(holding);
    const promoted = await toApproval(waiting);
    await holdTurn(holding);
    await waiting.send('approve');
    await untilItWaitsForItsTurn(waiting);
    await queueOf(holding).terminate('a test');
    expect(await promoted.result()).toMatchObject({ kind: 'promoted' });
  });

  test('are remembered when a queue that never ends hands on to a new run', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [holding, waiting] = [await aWorld(shared), await aWorld(shared)];
    await toApproval(holding);
    const promoted = await toApproval(waiting);
    const turn = await holdTurn(holding, { turnsPerRun: 1 });
    const { runId: before } = await queueOf(holding).describe();
    await waiting.send('approve');
    await untilItWaitsForItsTurn(waiting);
    await turn.giveBack();

    expect(await promoted.result()).toMatchObject({ kind: 'promoted' });
    const { runId: after } = await queueOf(holding).describe();
    expect(after).not.toBe(before);
  });

  test('prove the new environment again after a wait: what was started again meanwhile gets no traffic', async ({
    aWorld,
    expect,
  }) => {
    const shared = sharedLoadBalancer();
    const [holding, waiting] = [await aWorld(shared), await aWorld(shared)];
    await toApproval(holding);
    const handle = await toApproval(waiting);
    const turn = await holdTurn(holding);
    await waiting.send('approve');
    await untilItWaitsForItsTurn(waiting);
    for (const { name } of waiting.service.environments.green) waiting.server(name).crash();
    await turn.giveBack();

    expect(await handle.result()).toMatchObject({ kind: 'rolled back', during: 'switch', live: 'blue' });
    expect(waiting.loadBalancer.calls.filter(({ operation }) => operation !== 'read')).toEqual([]);
  });
});

describe.concurrent('a server that fails while its service waits for its turn', () => {
  test('is not gone on without, however many may fail: it was approved with it', async ({
    aWorld,
    expect,
  }) => {
    const shared = sharedLoadBalancer();
    const fleet = { mayFail: 1, minCapacity: 1, serverDeadlineMs: 60_000, progressDeadlineMs: 60_000 };
    const [holding, waiting] = [await aWorld(shared), await aWorld({ ...shared, fleet })];
    await toApproval(holding);
    const handle = await toApproval(waiting);
    const turn = await holdTurn(holding);
    await waiting.send('approve');
    await untilItWaitsForItsTurn(waiting);
    waiting.server('green-1').crash();
    await turn.giveBack();

    expect(await handle.result()).toMatchObject({
      kind: 'rolled back',
      during: 'switch',
      because: { failure: 'PlanDrifted', message: expect.stringContaining('green-1') },
      live: 'blue',
    });
    expect(waiting.servedBy()).toBe('v1');
  });
});

describe.concurrent('what one service has stored and not published yet', () => {
  test('does not stop another one that only looks: it looks again', async ({ aWorld, expect }) => {
    const shared = sharedLoadBalancer();
    const [publishing, looking] = [await aWorld(shared), await aWorld(shared)];
    await toApproval(publishing);
    const turn = await holdTurn(publishing);
    looking.loadBalancer.stageAsSomebodyElse('farm/other');
    await looking.start('v2');
    const looks = () => looking.loadBalancer.calls.filter(({ operation }) => operation === 'read').length;
    await expect.poll(looks).toBeGreaterThan(2);
    looking.loadBalancer.moveInPanel({ blue: 100, green: 0 });
    await turn.giveBack();

    expect(await looking.untilStage('approve', 'ended')).toMatchObject({ stage: 'approve' });
  });

  test('is refused when nobody publishes: it is somebody who does not queue', async ({ aWorld, expect }) => {
    const world = await aWorld();
    world.loadBalancer.stageAsSomebodyElse('farm/other');
    expect(await (await world.start('v2')).result()).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'StagedEditsFound' }],
    });
  });
});

describe.concurrent('a way back that publishes edits of somebody else', () => {
  test('lists them in its report and in the status', async ({ aWorld, expect }) => {
    const world = await aWorld({ bake: longBake });
    const handle = await toBake(world);
    world.loadBalancer.stageAsSomebodyElse('farm/other');
    await world.send('rollback', { by: 'ann' });

    const told = expect.arrayContaining([
      expect.stringMatching(/^Somebody else's edits were published with it: .*farm\/other/),
    ]);
    expect((await handle.result()) as Outcome).toMatchObject({
      kind: 'rolled back',
      live: 'blue',
      notes: told,
    });
    expect((await world.status()).notes).toEqual(told);
  });
});
