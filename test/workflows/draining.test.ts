import { describe, expect } from 'vitest';
import type { DrainSettings, Service } from '../../domain/service.js';
import { workflowTypes } from '../../workflows/messages.js';
import { test, type World } from '../support/world.js';

const drain = (changes: Partial<DrainSettings>): Partial<Service> => ({
  drain: { atLeastMs: 0, atMostMs: 300, lingering: 'refuse', ...changes },
  bake: {
    durationMs: 600_000,
    maxErrorRate: 0.01,
    maxLatencyRatio: 2,
    latencyFloorMs: 50,
    minRequests: 20,
    watchEveryMs: 100,
  },
});

async function toBake(world: World) {
  const handle = await world.start('v2');
  await world.untilStage('approve');
  await world.send('approve');
  await world.untilStage('bake');
  return handle;
}

describe.concurrent('connections that linger on an idle server', () => {
  test('refuse the activation by default, and nothing is stopped', async ({ aWorld }) => {
    const world = await aWorld(drain({}));
    world.server('green-1').connections = 2;
    const outcome = await world.deploy('v2');
    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'activate',
      because: { failure: 'ConnectionsLinger' },
    });
  });

  test('are cut and counted where the service says so', async ({ aWorld }) => {
    const world = await aWorld(drain({ lingering: 'cut' }));
    world.server('green-1').connections = 2;
    const handle = await world.start('v2');
    const { notes } = await world.untilStage('approve');
    expect(notes).toContain('2 connections still lingered on green-1 when its program was told to stop');
    await handle.terminate();
  });

  test('are asked about where the service says so: waited for again, then cut', async ({ aWorld }) => {
    const world = await aWorld(drain({ lingering: 'ask' }));
    world.server('green-1').connections = 1;
    world.server('green-2').connections = 1;
    const handle = await world.start('v2');
    const { problem } = await world.untilStage('needs a person');
    expect(problem).toMatchObject({ failure: 'ConnectionsLinger' });
    expect(problem?.message).toMatch(/green-1[^]*green-2[^]*verdigris retry --force/);

    world.server('green-2').connections = 0;
    await world.send('retry');
    await world.until((status) => status.problem?.message.includes('green-2') === false);
    expect(world.server('green-2').look().active).toBe(true);

    await world.send('retry', { force: true });
    const { notes } = await world.untilStage('approve');
    expect(notes.join('\n')).toContain('1 connection still lingered on green-1');
    await handle.terminate();
  });
});

describe.concurrent('connections that linger when it goes back', () => {
  test('are cut at the cap and counted, whatever holds on the way forward', async ({ aWorld }) => {
    const world = await aWorld(drain({}));
    const handle = await toBake(world);
    world.server('green-1').connections = 3;
    await world.send('rollback');
    const outcome = await handle.result();
    expect(outcome).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(outcome.notes).toContain(
      '3 connections still lingered on green-1 when its program was told to stop',
    );
  });

  test('are asked about where the service says so; the traffic is back by then', async ({ aWorld }) => {
    const world = await aWorld(drain({ lingering: 'ask' }));
    const handle = await toBake(world);
    world.server('green-1').connections = 3;
    await world.send('rollback');
    await world.until(({ problem }) => problem?.failure === 'ConnectionsLinger');
    expect(world.servedBy()).toBe('v1');
    expect(world.server('green-1').look().active).toBe(true);

    await world.send('retry', { force: true });

    const outcome = await handle.result();
    expect(outcome).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(outcome.notes.join('\n')).toContain('3 connections still lingered on green-1');
  });

  test('or none: what has lost its traffic is left running as long as the service says', async ({
    aWorld,
  }) => {
    const world = await aWorld(drain({ atLeastMs: 3_000 }));
    const handle = await toBake(world);
    const running = () => world.server('green-1').look().active;
    const backAt = new Promise<number>((resolve) => {
      const publish = world.loadBalancer.publish.bind(world.loadBalancer);
      world.loadBalancer.publish = async () => {
        await publish();
        resolve(Date.now());
      };
    });
    await world.send('rollback');
    const lostAt = await backAt;
    while (running()) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(Date.now() - lostAt).toBeGreaterThanOrEqual(3_000);
    expect(await handle.result()).toMatchObject({ kind: 'rolled back' });
  });
});

/** What runs there was not put there by Verdigris. */
async function adoptBlue(world: World): Promise<void> {
  const adoption = await world.client.workflow.start(workflowTypes.adoption, {
    workflowId: world.workflowId,
    taskQueue: world.taskQueue,
    args: [{ service: world.service, requestedBy: 'ann', searchAttributes: true }],
  });
  await adoption.result();
}

describe.concurrent('the old environment that is to stop', () => {
  const stopping = (lingering: DrainSettings['lingering']): Partial<Service> => ({
    retire: { old: 'stop' },
    drain: { atLeastMs: 0, atMostMs: 300, lingering },
  });

  test.for(['refuse', 'cut', 'ask'] as const)(
    'while connections linger: %s',
    async (lingering, { aWorld }) => {
      const world = await aWorld(stopping(lingering));
      await world.deploy('v2'); // to green; blue is foreign, and stays
      await adoptBlue(world);
      world.release('v3');
      const handle = await world.start('v3'); // to blue
      await world.untilStage('approve');
      world.server('green-1').connections = 2;
      world.server('green-2').ignoresStop = true;
      await world.send('approve');
      if (lingering === 'ask') {
        await world.until(({ problem }) => problem?.failure === 'ConnectionsLinger');
        await world.send('retry', { force: true });
      }
      const outcome = await handle.result();
      const notes = outcome.notes.join('\n');
      expect(outcome).toMatchObject({ kind: 'promoted', live: 'blue' });
      expect(world.server('green-1').look().active).toBe(lingering === 'refuse');
      expect(notes).toMatch(
        lingering === 'refuse' ? /green was not stopped: 2 connections/ : /2 connections still/,
      );
      if (lingering !== 'refuse')
        expect(notes).toContain('Incident: systemd had to kill (SIGKILL) what ran on green-2');
    },
  );

  test('taken over while a person is asked: it ends so, and nothing is stopped', async ({ aWorld }) => {
    const world = await aWorld(stopping('ask'));
    await world.deploy('v2'); // to green; blue is foreign, and stays
    await adoptBlue(world);
    world.release('v3');
    const handle = await world.start('v3'); // to blue
    await world.untilStage('approve');
    world.server('green-1').connections = 2;
    await world.send('approve');
    await world.until(({ problem }) => problem?.failure === 'ConnectionsLinger');

    await world.send('take-over', { by: 'bob' });

    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'TakenOver' } });
    expect(world.servedBy()).toBe('v3');
    expect(world.server('green-1').look().active).toBe(true);
  });
});

test('a server that cannot be reached keeps nobody else from being stopped, and is told by name', async ({
  aWorld,
}) => {
  const world = await aWorld({ retire: { old: 'stop' } });
  await world.deploy('v2'); // to green; blue is foreign, and stays
  await adoptBlue(world);
  world.release('v3');
  const handle = await world.start('v3'); // to blue
  await world.untilStage('approve');
  await world.send('approve');
  await world.until(({ stage }) => stage === 'bake' || stage === 'retire');
  world.server('green-1').link = 'refused';

  const outcome = await handle.result();
  const notes = outcome.notes.join('\n');
  expect(outcome).toMatchObject({ kind: 'promoted', live: 'blue' });
  expect(notes).toContain('green-1 was not stopped: ');
  expect(notes).not.toContain('green was not stopped');
  expect(world.server('green-1').look().active).toBe(true);
  expect(world.server('green-2').look().active).toBe(false);
});

test('what a server tells beside an installation is in status and outcome', async ({ aWorld }) => {
  const world = await aWorld();
  world.server('green-2').notes = ['the unit was not checked: there is no systemd-analyze'];
  const outcome = await world.deploy('v2');
  expect(outcome.kind === 'promoted' && outcome.notes).toContain(
    'green-2: the unit was not checked: there is no systemd-analyze',
  );
  expect((await world.status()).notes).toEqual(outcome.kind === 'promoted' && outcome.notes);
});

describe.concurrent('a program that systemd has to kill', () => {
  test('is an incident in status and outcome, going back too', async ({ aWorld }) => {
    const world = await aWorld(drain({}));
    const handle = await toBake(world);
    world.server('green-1').ignoresStop = true;
    await world.send('rollback');
    const outcome = await handle.result();
    expect(outcome.notes.join('\n')).toContain('Incident: systemd had to kill (SIGKILL) what ran on green-1');
    expect((await world.status()).notes).toEqual(outcome.notes);
  });

  test('on activation, and the new release goes on', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v1'); // to green
    await adoptBlue(world);
    world.server('blue-2').ignoresStop = true;
    const outcome = await world.deploy('v2'); // to blue
    expect(outcome).toMatchObject({ kind: 'promoted', live: 'blue' });
    expect(outcome.kind === 'promoted' && outcome.notes.join('\n')).toContain('what ran on blue-2');
  });
});

test('a process that dumps core while the main one lives is no release to believe', async ({ aWorld }) => {
  const world = await aWorld();
  world.server('green-2').coreDumps = 1;
  const outcome = await world.deploy('v2');
  expect(outcome).toMatchObject({
    kind: 'rolled back',
    during: 'verify',
    because: { failure: 'ReleaseUnhealthy' },
  });
  expect(outcome.kind === 'rolled back' && outcome.because.message).toContain('has dumped core once');
});
