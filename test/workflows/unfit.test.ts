import { describe, expect } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { hashOf } from '../../domain/hash.js';
import { ReleaseId } from '../../domain/names.js';
import type { ImaginedProgram } from '../../drivers/servers/imagined-program.js';
import { workflowTypes } from '../../workflows/messages.js';
import { test, type World } from '../support/world.js';

const marksOn = (world: World, server: string) => Object.entries(world.server(server).facts().unfitReleases);
const shorty = { exits: { kind: 'exits', afterMs: 150 }, crashes: { kind: 'crashes at start' } } as const;

describe.concurrent('a release that was taken back because it was ill', () => {
  test.for([
    ['it crashes at start', shorty.crashes],
    ['it does not prove itself', shorty.exits],
  ] as const)('is marked unfit on every server it was on: %s', async ([, behaviour], { aWorld }) => {
    const world = await aWorld();
    world.release('bad', behaviour);
    expect(await world.deploy('bad')).toMatchObject({ kind: 'rolled back' });

    const artifact = world.request('bad').artifact.sha256;
    for (const server of ['green-1', 'green-2']) {
      const [[release, unfit] = []] = marksOn(world, server);
      expect(release).toMatch(new RegExp(`^${artifact.slice(0, 12)}-`));
      expect(unfit?.because).toContain('Cannot');
      expect(world.server(server).facts().installedReleases).toEqual([]);
    }
    expect(marksOn(world, 'blue-1'), 'it never was there').toEqual([]);
  });

  test('is marked when it falls ill under traffic, refused when it is tried again, and accepted with a reason', async ({
    aWorld,
  }) => {
    const world = await aWorld({ bake: longBake });
    await falsIll(world);
    expect(marksOn(world, 'green-2')).toHaveLength(1);

    const again = (await (await world.start('v2')).result()) as Outcome;
    expect(again).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'ReleaseUnfit', message: expect.stringMatching(/on \d{4}-.*--again/s) }],
    });

    const handle = await world.start('v2', 'the disk of both machines was full');
    const { plan, notes } = await world.untilStage('approve');
    expect(plan?.warnings.join('\n')).toMatch(
      /was taken back as unfit on .* from green-1, green-2.*\n.*the disk of both/,
    );
    expect(notes).toContain('Deployed again by a test: the disk of both machines was full');
    await world.send('approve');
    await world.untilStage('bake');
    expect(marksOn(world, 'green-1'), 'it has not proved itself yet').toHaveLength(1);
    await world.send('advance');
    expect(await handle.result()).toMatchObject({
      kind: 'promoted',
      notes: expect.arrayContaining([expect.stringContaining('the disk of both machines was full')]),
    });
    expect(marksOn(world, 'green-1'), 'what stood the bake is fit').toEqual([]);
    expect(marksOn(world, 'green-2')).toEqual([]);
  });

  test('is marked also where the same release was installed before', async ({ aWorld }) => {
    const world = await aWorld();
    const first = await world.start('v2');
    const { release } = await world.untilStage('approve');
    await world.send('reject');
    await first.result();
    for (const name of ['green-1', 'green-2']) {
      world.server(name).serveRelease(release!.id, { ...program('v2'), behaviour: shorty.crashes });
      world.server(name).serveRelease(ReleaseId('0123456789ab-01234567'), program('v0'));
    }

    expect(await world.deploy('v2')).toMatchObject({ kind: 'rolled back', during: 'activate' });
    expect(marksOn(world, 'green-1')).toHaveLength(1);
    expect(world.server('green-1').facts()).toMatchObject({
      installedReleases: expect.arrayContaining([release!.id]), // not ours to remove
      activeRelease: '0123456789ab-01234567',
    });
  });
});

describe.concurrent('a release that was gone back from for another reason', () => {
  test('is not marked: a person rejected it', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('reject', { by: 'ann', reason: 'not today' });
    await handle.result();
    expect(marksOn(world, 'green-1')).toEqual([]);
    expect(await world.deploy('v2')).toMatchObject({ kind: 'promoted' });
  });

  test('is not marked: a person asked for the rollback', async ({ aWorld }) => {
    const world = await aWorld({ bake: longBake });
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    await world.send('rollback', { by: 'ann' });
    expect(await handle.result()).toMatchObject({ kind: 'rolled back' });
    expect(marksOn(world, 'green-1')).toEqual([]);
  });

  test('is not marked: somebody edited the load balancer', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.editAsSomebodyElse('farm/green');
    expect(await handle.result()).toMatchObject({ kind: 'rolled back' });
    expect(marksOn(world, 'green-1')).toEqual([]);
  });
});

describe.concurrent('a way back', () => {
  test('does not lead to a release that is marked unfit, unless a person insists', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    const handle = await begin(world, workflowTypes.adoption, { color: 'blue' });
    await handle.result();
    for (const name of ['blue-1', 'blue-2']) {
      const { activeRelease } = world.server(name).facts();
      world.server(name).markUnfit(ReleaseId(activeRelease!), 'the schema has moved on');
    }

    expect(await (await begin(world)).result()).toMatchObject({
      kind: 'refused',
      complaints: [
        { failure: 'ReleaseUnfit', message: expect.stringMatching(/blue-1 runs .*the schema has moved on/) },
      ],
    });
    expect(world.servedBy()).toBe('v2');
  });
});

async function falsIll(world: World): Promise<void> {
  const handle = await world.start('v2');
  await world.untilStage('approve');
  await world.send('approve');
  await world.untilStage('bake');
  for (const name of ['green-1', 'green-2']) world.server(name).crash();
  expect(await handle.result()).toMatchObject({
    kind: 'rolled back',
    because: { failure: 'IllUnderTraffic' },
  });
}

const begin = (world: World, type: string = workflowTypes.rollback, more: object = {}) =>
  world.client.workflow.start(type, {
    workflowId: world.workflowId,
    taskQueue: world.taskQueue,
    args: [{ service: world.service, requestedBy: 'ann', searchAttributes: true, ...more }],
  });

const program = (identity: string): ImaginedProgram => ({
  executable: hashOf(`program ${identity}`),
  behaviour: { kind: 'answers' },
  identity,
});

const longBake = {
  durationMs: 600_000,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 100,
} as const;
