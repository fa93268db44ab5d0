import { describe, expect } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import type { LoadBalancerSettings, Service } from '../../domain/service.js';
import { allTo } from '../../domain/split.js';
import { test, type World } from '../support/world.js';

let balancers = 0;

/** Of its own for each deployment: those that share one take turns at it. */
const balancer = (more: Partial<LoadBalancerSettings>): Partial<Service> => ({
  loadBalancer: { driver: 'in-memory', world: `standing-by-${++balancers}`, ...more } as LoadBalancerSettings,
});
const fallback = () => balancer({ fallback: 'old-environment' });
const mark = { kind: 'header', name: 'X-Preview', value: 'please' } as const;
const testers = () => balancer({ testers: { route: 1, by: mark } });
const longBake = {
  durationMs: 60_000,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 100,
};

const approved = async (world: World): Promise<void> => {
  await world.start('v2');
  await world.untilStage('approve');
  await world.send('approve');
};

describe.concurrent('a deployment with a fallback', () => {
  test('lets the old servers stand by during the bake, and leaves none when it is promoted', async ({
    aWorld,
  }) => {
    const world = await aWorld({ ...fallback(), bake: longBake });
    await approved(world);
    await world.untilStage('bake');
    expect(world.loadBalancer.backups).toEqual(['blue-1', 'blue-2']);
    await world.send('advance');

    const outcome = (await world.handle().result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(outcome.kind === 'promoted' && outcome.notes.join('\n')).toMatch(
      /blue stands by.*\n[\s\S]*blue no longer stands by/,
    );
    expect(world.loadBalancer.backups).toEqual([]);
  });

  test('ends with all on the old environment, and no fallback, when all of the new one dies', async ({
    aWorld,
  }) => {
    const world = await aWorld({ ...fallback(), bake: longBake });
    await approved(world);
    await world.untilStage('bake');
    for (const name of ['green-1', 'green-2']) world.server(name).crash();
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.loadBalancer.split).toEqual(allTo('blue'));
    expect(world.loadBalancer.backups).toEqual([]);
  });

  test('is not promoted before the old servers are taken out, and asks a person where that fails', async ({
    aWorld,
  }) => {
    const world = await aWorld({ ...fallback(), bake: longBake });
    await approved(world);
    await world.untilStage('bake');
    world.loadBalancer.failNext(new Failure('CredentialRefused', 'Cannot publish: the key has expired'), {
      operation: 'publish',
    });
    await world.send('advance');
    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('expired');
    expect(world.loadBalancer.backups).toEqual(['blue-1', 'blue-2']);
    await world.send('retry');
    expect(await world.handle().result()).toMatchObject({ kind: 'promoted' });
    expect(world.loadBalancer.backups).toEqual([]);
  });

  test('publishes with its end nothing that somebody has stored, whoever says to go on', async ({
    aWorld,
  }) => {
    const world = await aWorld({ ...fallback(), bake: longBake });
    await approved(world);
    await world.untilStage('bake');
    world.loadBalancer.stageAsSomebodyElse('farm/other');
    await world.send('advance');
    const first = await world.until(({ problem }) => problem?.failure === 'StagedEditsFound');
    await world.send('retry');
    await world.until(
      ({ problem, since }) => problem?.failure === 'StagedEditsFound' && since !== first.since,
    );
    expect(world.loadBalancer.backups).toEqual(['blue-1', 'blue-2']);
    world.loadBalancer.editAsSomebodyElse('farm/other');
    await world.send('retry');
    expect(await world.handle().result()).toMatchObject({ kind: 'promoted' });
    expect(world.loadBalancer.backups).toEqual([]);
  });

  test('does not send the traffic forward again where somebody has moved it meanwhile', async ({
    aWorld,
  }) => {
    const world = await aWorld({ ...fallback(), bake: longBake });
    await approved(world);
    await world.untilStage('bake');
    world.loadBalancer.failNext(new Failure('CredentialRefused', 'Cannot publish: the key has expired'), {
      operation: 'publish',
    });
    await world.send('advance');
    await world.untilStage('needs a person');
    world.loadBalancer.moveInPanel(allTo('blue'));
    await world.send('retry');
    await world.until(({ problem }) => problem?.failure === 'TrafficMoved');
    expect(world.loadBalancer.split).toEqual(allTo('blue'));
    await world.send('rollback');
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.loadBalancer.backups).toEqual([]);
  });

  test('is refused while an earlier fallback is left', async ({ aWorld }) => {
    const world = await aWorld(fallback());
    world.loadBalancer.stageAsSomebodyElse('backup/green-1', { standsBy: true });
    await world.loadBalancer.publish();
    expect(await (await world.start('v2')).result()).toMatchObject({
      kind: 'refused',
      complaints: [
        { failure: 'StateUnclear', message: expect.stringContaining('green-1 would get all traffic') },
      ],
    });
  });
});

describe.concurrent('a deployment with testers', () => {
  const asTester = (world: World) => world.publicAddress.behaviour({ [mark.name]: mark.value }).identity;

  test('lets them reach the new environment before anybody else, and closes that with the switch', async ({
    aWorld,
  }) => {
    const world = await aWorld(testers());
    await world.start('v2');
    const { notes } = await world.untilStage('approve');
    expect(notes).toContain('Testers, told by header X-Preview, reach green; everybody else reaches blue');
    expect(asTester(world)).toBe('v2');
    expect(world.publicAddress.behaviour().identity).toBe('v1');
    await world.send('approve');
    expect(await world.handle().result()).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(world.loadBalancer.testersReach).toBeUndefined();
  });

  test('closes it before anything on the new environment is undone', async ({ aWorld }) => {
    const world = await aWorld(testers());
    await world.start('v2');
    await world.untilStage('approve');
    await world.send('reject');
    expect(await world.handle().result()).toMatchObject({ kind: 'rejected', live: 'blue' });
    expect(world.loadBalancer.testersReach).toBeUndefined();
    expect(world.loadBalancer.split).toEqual(allTo('blue'));
  });

  test('is left open where somebody has moved the traffic by hand: a person is asked, and nothing moves', async ({
    aWorld,
  }) => {
    const world = await aWorld(testers());
    await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.moveInPanel(allTo('green'));
    await world.untilStage('needs a person');
    await world.signal('rollback');
    await world.until(({ problem }) => problem?.failure === 'EnvironmentHasTraffic');
    expect(world.loadBalancer.split).toEqual(allTo('green'));

    world.loadBalancer.moveInPanel(allTo('blue'));
    await world.send('retry');
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.loadBalancer.testersReach).toBeUndefined();
  });

  test("does not publish somebody's edit of the farm when it closes it: a person decides", async ({
    aWorld,
  }) => {
    const world = await aWorld(testers());
    await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.stageAsSomebodyElse('farm/blue'); // which ends the wait for an approval
    const { problem } = await world.untilStage('needs a person', 'ended');
    expect(problem?.message).toMatch(/^Cannot close green to testers: [\s\S]*farm\/blue/);
    expect(world.loadBalancer.calls.filter(({ operation }) => operation === 'publish')).toHaveLength(1);

    await world.send('rollback', { by: 'ann', force: true });
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.loadBalancer.testersReach).toBeUndefined();
  });
});
