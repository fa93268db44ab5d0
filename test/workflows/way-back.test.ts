import { describe, expect } from 'vitest';
import type { WorkflowHandle } from '@temporalio/client';
import { failingByName } from '../../activities/fail.js';
import type { TrafficProof } from '../../activities/public-proof.js';
import { createTrafficActivities } from '../../activities/traffic.js';
import { Failure } from '../../domain/failures.js';
import type { Drivers } from '../../drivers/drivers.js';
import { createInMemoryProber } from '../../drivers/traffic/in-memory.js';
import { workflowTypes } from '../../workflows/messages.js';
import { test, type World } from '../support/world.js';

describe.concurrent('a way back over what somebody else has stored', () => {
  test('does not publish edits of our objects by itself: a person decides', async ({ aWorld }) => {
    const world = await aWorld({ bake: { ...quickBake, durationMs: 600_000, watchEveryMs: 60_000 } });
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    world.loadBalancer.stageAsSomebodyElse('farm/blue');
    await world.signal('rollback');

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('farm/blue was changed');
    expect(world.servedBy()).toBe('v2');
    await world.send('rollback', { by: 'ann', force: true });

    expect(await handle.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.servedBy()).toBe('v1');
  });
});

describe.concurrent('a way back that was found necessary while the traffic moved', () => {
  test('is not taken where the old environment is as slow: a person decides', async ({ aWorld }) => {
    const world = await aWorld({ bake: { ...quickBake, durationMs: 60_000 } });
    const behaviour = { kind: 'slow' as const, byMs: 0 };
    world.runForeign('blue', 'v1', behaviour);
    world.release('v2', behaviour);
    const { held, release } = world.loadBalancer.hold();
    await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await held;
    behaviour.byMs = 400; // something that both use
    release();

    const { problem, phase } = await world.untilStage('needs a person', 'ended');
    expect({ failure: problem?.failure, phase }).toEqual({ failure: 'RollbackBlind', phase: 'switch' });
    expect(world.servedBy()).toBe('v2');
  });
});

describe.concurrent('a drain on the way back', () => {
  test('ends with another look: what somebody has sent the traffic to meanwhile is not stopped', async ({
    aWorld,
    expect,
  }) => {
    const world = await aWorld({
      bake: { ...quickBake, durationMs: 600_000, watchEveryMs: 60_000 },
      drain: { atLeastMs: 0, atMostMs: 11_000, lingering: 'refuse' },
    });
    await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    const before = world.fingerprint('green');
    for (const { name } of world.service.environments.green) world.server(name).connections = 3;
    await world.send('rollback', { by: 'ann' });
    await expect.poll(() => world.servers.calls.some(({ method }) => method === 'drain')).toBe(true);
    world.loadBalancer.moveInPanel({ blue: 0, green: 100 });

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.failure).toBe('EnvironmentHasTraffic');
    expect(world.fingerprint('green')).toEqual(before);
  });
});

/** Four processes of a load balancer, which visitors meet in turn. `isBehind` tells whether one runs what was before. */
function throughFourProcesses({ publicAddress }: World, isBehind: (instance: string) => boolean): void {
  const published = publicAddress.current;
  let turn = 0;
  publicAddress.current = (headers) => {
    const instance = String(16300 + (turn++ % 4));
    return { ...published(headers), instance, ...(isBehind(instance) ? { identity: 'v1' } : {}) };
  };
}

/** The proof of a switch gives up sooner: nobody wants to wait for minutes. */
async function provingQuickly(world: World): Promise<void> {
  await world.stopWorker();
  const prober = createInMemoryProber(world.publicAddress);
  const traffic = failingByName(createTrafficActivities({ prober } as unknown as Drivers));
  await world.startWorker(undefined, {
    proveTraffic: (input: TrafficProof) => traffic.proveTraffic({ ...input, deadlineMs: 300 }),
  });
}

describe.concurrent('a load balancer of which one process does not follow', () => {
  test('costs the switch: it is taken back, and says which process and which share', async ({ aWorld }) => {
    const world = await aWorld();
    await provingQuickly(world);
    throughFourProcesses(world, (instance) => instance === '16302');

    expect(await world.deploy('v2')).toMatchObject({
      kind: 'rolled back',
      during: 'switch',
      live: 'blue',
      because: {
        failure: 'TrafficNotMoved',
        message: expect.stringMatching(
          /\(\d+ %\) from "v1"; instance [\d, ]*16302[\d, ]* is behind \(\d of 4\)/,
        ),
      },
    });
    expect(world.servedBy()).toBe('v1');
  });

  test('costs the promotion where it has fallen back by the end of the bake, and nobody is asked', async ({
    aWorld,
  }) => {
    const world = await aWorld({ bake: { ...quickBake, durationMs: 600_000 } });
    await provingQuickly(world);
    const hasFallen = { back: false };
    throughFourProcesses(world, (instance) => hasFallen.back && instance === '16303');
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    const { notes } = await world.untilStage('bake');
    expect(notes.join()).toMatch(/green answers through instance 16300 .*, instance 16303 \(/);
    hasFallen.back = true;
    await world.send('advance');

    expect(await handle.result()).toMatchObject({
      kind: 'rolled back',
      during: 'bake',
      live: 'blue',
      because: { failure: 'TrafficNotMoved', message: expect.stringContaining('16303') },
    });
    expect(world.servedBy()).toBe('v1');
  });

  test('keeps the next deployment from what it still sends visitors to', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    throughFourProcesses(world, (instance) => instance === '16301');
    expect(await (await world.start('v3')).result()).toMatchObject({
      kind: 'refused',
      complaints: expect.arrayContaining([
        {
          failure: 'EnvironmentHasTraffic',
          message: expect.stringMatching(
            /blue answers at http:\S+ \("v1" through instance 16301\), and the load balancer says/,
          ),
        },
      ]),
    });
    expect(world.servedBy()).toBe('v2');
  });
});

const quickBake = {
  durationMs: 800,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 100,
};

describe.concurrent('a rollback when no deployment is open', () => {
  test('never says that nothing was changed while the traffic may have moved: it waits and is tried again', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    await world.deploy('v2');
    world.loadBalancer.failNext(new Failure('CredentialRefused', 'Cannot call PUT: not granted'), {
      operation: 'publish',
    });
    const wayBack = await start(world, workflowTypes.rollback);

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('Cannot send the traffic back to blue');
    await world.send('retry');

    expect(await wayBack.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.servedBy()).toBe('v1');
  });

  test('publishes what somebody has stored only where a person insists: nobody can tell what it touches', async ({
    aWorld,
    expect,
  }) => {
    const world = await aWorld();
    await world.deploy('v2');
    world.loadBalancer.stageAsSomebodyElse('farm/blue');
    expect(await (await start(world, workflowTypes.rollback)).result()).toMatchObject({
      kind: 'refused',
      complaints: [
        { failure: 'StagedEditsFound', message: expect.stringMatching(/farm\/blue(.|\n)*rollback --force/) },
      ],
    });
    expect(world.servedBy()).toBe('v2');

    const insisting = await world.client.workflow.signalWithStart(workflowTypes.rollback, {
      ...startOptions(world),
      signal: 'rollback',
      signalArgs: [{ by: 'ann', force: true }],
    });
    expect(await insisting.result()).toMatchObject({
      kind: 'rolled back',
      live: 'blue',
      notes: expect.arrayContaining([expect.stringMatching(/edits were published with it: .*farm\/blue/)]),
    });
  });

  test('goes to an old environment of which one server is down, and says so', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    world.server('blue-2').crash();
    const wayBack = await start(world, workflowTypes.rollback);
    await world.untilStage('needs a person', 'ended');
    if ((await world.status()).stage === 'needs a person') await world.send('rollback', { force: true });

    expect(await wayBack.result()).toMatchObject({
      kind: 'rolled back',
      live: 'blue',
      notes: expect.arrayContaining([expect.stringContaining('blue-2 does not run')]),
    });
  });

  test('does not go forward again when it is asked for twice', async ({ aWorld, expect }) => {
    const world = await aWorld();
    await world.deploy('v2');
    await (await start(world, workflowTypes.rollback)).result();
    expect(world.servedBy()).toBe('v1');

    await expect
      .poll(async () => (await start(world, workflowTypes.rollback)).result())
      .toMatchObject({ kind: 'refused' });
    expect(world.servedBy()).toBe('v1');
  });

  test('is refused where nothing runs that it could go back to', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    for (const name of ['blue-1', 'blue-2']) world.server(name).crash();
    expect(await (await start(world, workflowTypes.rollback)).result()).toMatchObject({ kind: 'refused' });
    expect(world.servedBy()).toBe('v2');
  });
});

describe.concurrent('a repair', () => {
  test('whose switch fails waits and is tried again', async ({ aWorld }) => {
    const world = await aWorld();
    world.loadBalancer.moveInPanel({ blue: 50, green: 50 });
    world.loadBalancer.failNext(new Failure('CredentialRefused', 'Cannot call PUT: not granted'), {
      operation: 'publish',
    });
    const repair = await start(world, workflowTypes.repair, { live: 'blue' });
    await world.untilStage('needs a person');
    await world.send('retry');
    expect(await repair.result()).toMatchObject({ kind: 'repaired', live: 'blue' });
  });
});

describe.concurrent('an adoption', () => {
  test('refuses a rollback, which it could not carry out', async ({ aWorld }) => {
    const world = await aWorld();
    world.runForeign('green', 'v0');
    world.server('green-1').delay('adopt', 2_000);
    const adoption = await start(world, workflowTypes.adoption);
    await world.untilStage('install');
    await expect(world.send('rollback')).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/open run is an adoption/) },
    });
    expect(await adoption.result()).toMatchObject({ kind: 'adopted', color: 'green' });
  });
});

describe.concurrent('an old environment that is being stopped', () => {
  test.for(['update', 'signal'] as const)(
    'is started again on a rollback by %s, and only then compared and given the traffic back',
    async (door, { aWorld, expect }) => {
      const world = await aWorld({ retire: { old: 'stop' } });
      await world.deploy('v2');
      await (await start(world, workflowTypes.adoption)).result();
      world.release('v3');
      world.release('v4');
      await world.deploy('v3');
      for (const name of ['blue-1', 'blue-2']) world.server(name).delay('stop', 600_000);
      const handle = await world.start('v4');
      await world.untilStage('approve');
      await world.send('approve');
      await world.until(({ stage }) => stage === 'retire');
      await expect.poll(() => world.servers.calls.some(({ method }) => method === 'stop')).toBe(true);
      await (door === 'signal' ? world.signal('rollback') : world.send('rollback', { by: 'ann' }));

      expect(await handle.result()).toMatchObject({ kind: 'rolled back', live: 'blue', during: 'retire' });
      expect(world.servedBy()).toBe('v3');
    },
  );
});

const startOptions = ({ workflowId, taskQueue, service }: World, more: object = {}) => ({
  workflowId,
  taskQueue,
  args: [{ service, requestedBy: 'a test', searchAttributes: true, ...more }] as [object],
});

const start = (world: World, type: string, more: object = {}): Promise<WorkflowHandle> =>
  world.client.workflow.start(type, startOptions(world, more));
