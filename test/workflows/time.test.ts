import { Context, heartbeat } from '@temporalio/activity';
import { Connection } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test as base } from 'vitest';
import type { EnvironmentReport, EnvironmentWatch } from '../../activities/environment-watch.js';
import { createTurnActivities } from '../../activities/turns.js';
import { timeSkippingExecutable } from '../../sandbox/temporal/executable.js';
import type { Outcome } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { ServerName } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { emptyTally, type TrafficReport } from '../../domain/traffic.js';
import { workflowTypes } from '../../workflows/messages.js';
import { World } from '../support/world.js';

const hourMs = 3_600_000;

const executable = await timeSkippingExecutable().catch((error: unknown) => {
  if (process.env['VERDIGRIS_DEMAND_ALL']) throw error;
  console.error(`Skips the tests of time: ${String(error)}`);
  return undefined;
});

let time: TestWorkflowEnvironment;

beforeAll(async () => {
  if (executable === undefined) return;
  time = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: executable } },
  });
});
afterAll(() => time?.teardown());

/**
 * Time does not jump while an activity runs. What is watched for hours in a real world is looked at once in a week here, and finds
 * nothing; only what the prober has seen is told.
 */
const watching = async (): Promise<never> => {
  throw ApplicationFailure.create({ message: 'nothing is seen yet', nextRetryDelay: '7 days' });
};
const wellWatched: EnvironmentReport = { because: '', unwatched: [] };

const seesAll: (input: Pick<EnvironmentWatch, 'color'>) => Promise<EnvironmentReport> = async () =>
  wellWatched;

const unwatched = (server: string, ms: number): EnvironmentReport => ({
  because: '',
  unwatched: [{ server: ServerName(server), ms, because: 'nobody answers' }],
});

const instead = {
  unsettledTakeOver: async () => '', // asks the visibility that this server lacks
  watchLoadBalancer: watching,
  watchEnvironment: seesAll,
  probeTraffic: proberThatSees(100 * hourMs),
};

/**
 * Every stretch of probing tells of as much observed time. It lasts a moment: this server loses a workflow that cancels an activity
 * just as that one ends, and short stretches are cancelled.
 */
function proberThatSees(observedMs: number) {
  return async ({ judge }: { readonly judge?: object }): Promise<TrafficReport> => {
    const { cancellationSignal } = Context.current();
    for (let turn = 0; turn < 40 && !cancellationSignal.aborted; turn++) {
      heartbeat();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return {
      tally: { ...emptyTally, sent: 1_000_000, observedMs },
      windows: [],
      verdict: { kind: judge ? 'pass' : 'undecided' },
    };
  };
}

const test = base.extend<{
  readonly aWorld: (changes?: Partial<Service>, more?: Parameters<World['startWorker']>[1]) => Promise<World>;
}>({
  // oxlint-disable-next-line no-empty-pattern -- the runner reads the pattern to learn what a fixture needs
  aWorld: async ({}, use) => {
    const worlds: World[] = [];
    await use(async (changes = {}, more = {}) => {
      const world = new World(await Connection.connect({ address: time.address }), changes);
      worlds.push(world);
      world.release('v2');
      world.runForeign('blue', 'v1');
      await world.startWorker(time.address, { ...instead, ...more });
      return world;
    });
    for (const world of worlds) await world.close();
  },
});

async function begin(world: World): Promise<void> {
  await world.client.workflow.start(workflowTypes.deployment, {
    workflowId: world.workflowId,
    taskQueue: world.taskQueue,
    args: [{ ...world.request('v2'), searchAttributes: false }],
  });
}

async function toApproval(world: World): Promise<void> {
  await begin(world);
  await world.untilStage('approve');
}

/** Lets time jump until the run has ended. */
const outcomeOf = (world: World): Promise<Outcome> =>
  time.client.workflow.getHandle(world.workflowId).result() as Promise<Outcome>;

async function lastedMs(world: World): Promise<number> {
  const { startTime, closeTime } = await world.handle().describe();
  return (closeTime?.getTime() ?? NaN) - startTime.getTime();
}

describe.skipIf(executable === undefined)('days in seconds', () => {
  test('an approval that nobody gives for 72 hours is a rejection', async ({ aWorld }) => {
    const world = await aWorld({
      approve: { timeoutMs: 72 * hourMs, onTimeout: 'reject', watchEveryMs: 60_000 },
    });
    await toApproval(world);

    expect(await outcomeOf(world)).toMatchObject({
      kind: 'rejected',
      by: 'time',
      reason: 'nobody approved within 72 h',
      live: 'blue',
    });
    expect(await lastedMs(world)).toBeGreaterThanOrEqual(72 * hourMs);
    expect(world.server('green-1').facts().installedReleases).toEqual([]);
  });

  test('an approval that may take as long as it takes is still taken after 100 hours', async ({ aWorld }) => {
    const world = await aWorld({
      approve: { timeoutMs: 72 * hourMs, onTimeout: 'keep waiting', watchEveryMs: 60_000 },
    });
    await toApproval(world);
    expect((await world.status()).deadline).toBeUndefined();

    await time.sleep(100 * hourMs);
    expect(await world.status()).toMatchObject({
      stage: 'approve',
      accepts: expect.arrayContaining(['approve']),
    });
    await world.send('approve', { by: 'ann' });

    expect(await outcomeOf(world)).toMatchObject({ kind: 'promoted', live: 'green' });
  });

  test('a bake of six hours ends after six hours, and is as long as it was made', async ({ aWorld }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 6 * hourMs } });
    await toApproval(world);
    await world.send('approve');
    await world.untilStage('bake');
    await time.sleep(5 * hourMs);
    expect(await world.status()).toMatchObject({ stage: 'bake' });
    await world.send('extend', { byMs: 3 * hourMs });
    await time.sleep(3 * hourMs);
    expect(await world.status()).toMatchObject({ stage: 'bake' });

    expect(await outcomeOf(world)).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(await lastedMs(world)).toBeGreaterThanOrEqual(9 * hourMs);
    expect(await lastedMs(world)).toBeLessThan(10 * hourMs);
  });

  test('a bake that was watched half of the time lasts as much longer as is missing, and no more', async ({
    aWorld,
  }) => {
    const world = await aWorld(
      { bake: { ...bake, durationMs: 6 * hourMs } },
      { probeTraffic: proberThatSees(3 * hourMs) },
    );
    await toApproval(world);
    await world.send('approve');

    const outcome = await outcomeOf(world);
    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(outcome.kind === 'promoted' && outcome.notes.join()).toContain('were not watched');
    expect(await lastedMs(world)).toBeGreaterThanOrEqual(7 * hourMs);
    expect(await lastedMs(world)).toBeLessThan(9 * hourMs);
  });

  test('a bake in which a server was out of sight for a third lasts as much longer as is missing', async ({
    aWorld,
  }) => {
    let stretches = 0;
    const world = await aWorld(
      { bake: { ...bake, durationMs: 6 * hourMs } },
      {
        watchEnvironment: async ({ color }) =>
          color === 'green' && ++stretches === 1 ? unwatched('green-1', 2 * hourMs) : wellWatched,
      },
    );
    await toApproval(world);
    await world.send('approve');

    const outcome = await outcomeOf(world);
    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(outcome.kind === 'promoted' && outcome.notes.join('\n')).toContain(
      'In the bake green-1 was not watched for 7200 s: nobody answers',
    );
    expect(await lastedMs(world)).toBeGreaterThanOrEqual(6.8 * hourMs);
    expect(await lastedMs(world)).toBeLessThan(8 * hourMs);
  });

  test('a server that nobody saw in the bake is no good evidence: a person decides', async ({ aWorld }) => {
    let stretches = 0;
    const world = await aWorld(
      { bake: { ...bake, durationMs: 6 * hourMs } },
      {
        watchEnvironment: async ({ color }) =>
          // By the clock of a worker that is days ahead.
          color === 'green' && ++stretches === 1 ? unwatched('green-2', 100 * hourMs) : wellWatched,
      },
    );
    await toApproval(world);
    await world.send('approve');
    await world.untilStage('bake');
    await time.sleep(7 * hourMs);

    const { problem } = await world.untilStage('needs a person');
    expect(problem).toMatchObject({ failure: 'EvidenceMissing' });
    expect(problem?.message).toContain('green-2 was not watched for 21600 s: nobody answers');
    await world.send('retry', { by: 'ann' });
    expect(await outcomeOf(world)).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(await lastedMs(world)).toBeGreaterThanOrEqual(13 * hourMs);
  });

  test('a way back that comes and goes all the time is told, and does not fill the history', async ({
    aWorld,
  }) => {
    const world = await aWorld(
      { bake: { ...bake, durationMs: 6 * hourMs } },
      {
        watchEnvironment: async ({ color, until }) =>
          color === 'blue' && until === 'ill'
            ? { because: 'blue-1: it is gone', unwatched: [] }
            : wellWatched,
      },
    );
    await toApproval(world);
    await world.send('approve');

    const outcome = await outcomeOf(world);
    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(outcome.kind === 'promoted' && outcome.notes).toEqual(
      expect.arrayContaining(['The way back decays: blue-1: it is gone', 'The way back is well again: blue']),
    );
    expect((await world.handle().fetchHistory()).events?.length).toBeLessThan(2_000);
  });

  test('an undo that fails is tried again by itself, for hours, until it succeeds', async ({ aWorld }) => {
    const world = await aWorld();
    await toApproval(world);
    world.server('green-2').link = 'refused';
    await world.send('reject', { by: 'ann' });

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('green-2');
    // What is put back is looked at first, and that already fails.
    const calls = (name: string, wanted: string) =>
      world.servers.calls.filter(({ server, method }) => server === name && method === wanted).length;
    const before = calls('green-2', 'observe');
    await time.sleep(6 * hourMs);
    expect(calls('green-2', 'observe')).toBeGreaterThan(before);
    // What is back already is left alone: each step costs events, and a history has an end.
    expect(calls('green-1', 'restore')).toBe(1);
    expect(await world.status()).toMatchObject({
      stage: expect.stringMatching(/needs a person|rolling back/),
    });

    world.server('green-2').link = 'up';
    expect(await outcomeOf(world)).toMatchObject({ kind: 'rejected', live: 'blue' });
    expect(world.server('green-2').facts().installedReleases).toEqual([]);
  });

  test('an undo in whose way a full disk stands is tried again by itself: whoever frees it tells nobody here', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    await toApproval(world);
    world.server('green-2').failNext('restore', new Failure('DiskFull', 'Cannot restore: 0 KB are free'));
    await world.send('reject', { by: 'ann' });

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('0 KB are free');
    expect(await outcomeOf(world)).toMatchObject({ kind: 'rejected', live: 'blue' });
  });
});

describe.skipIf(executable === undefined)('a machine that goes away while it is installed on', () => {
  const minuteMs = 60_000;
  const fleet = {
    mayFail: 0,
    minCapacity: 1,
    serverDeadlineMs: 10 * minuteMs,
    progressDeadlineMs: 30 * minuteMs,
  };

  async function goneInInstall(world: World): Promise<void> {
    const machine = world.server('green-2');
    machine.delay('install', 200);
    await begin(world);
    await expect.poll(() => world.servers.calls.some(({ method }) => method === 'install')).toBe(true);
    machine.link = 'refused';
    machine.delay('install', 0);
    await world.until(({ servers }) =>
      servers.some(({ server, state }) => server === 'green-2' && state === 'unreachable'),
    );
  }

  test('is waited for, and the deployment goes on when it is back', async ({ aWorld }) => {
    const world = await aWorld({
      fleet,
      approve: { timeoutMs: hourMs, onTimeout: 'keep waiting', watchEveryMs: minuteMs },
    });
    await goneInInstall(world);
    await time.sleep(5 * minuteMs);
    expect(await world.status()).toMatchObject({
      stage: 'install',
      servers: expect.arrayContaining([
        expect.objectContaining({
          server: 'green-2',
          detail: expect.stringContaining('refuses connections'),
        }),
      ]),
    });
    world.server('green-2').link = 'up';
    await time.sleep(3 * minuteMs);
    expect(await world.untilStage('approve', 'ended')).toMatchObject({ stage: 'approve' });
  });

  test('is given up at its deadline, with what kept it away, and put back when it is there again', async ({
    aWorld,
  }) => {
    const world = await aWorld({ fleet });
    await goneInInstall(world);
    await time.sleep(11 * minuteMs);
    const { problem } = await world.untilStage('rolling back', 'needs a person');
    expect(problem?.message).toContain('refuses connections');
    world.server('green-2').link = 'up';

    const outcome = await outcomeOf(world);
    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'install',
      because: {
        failure: 'ServerUnreachable',
        message: expect.stringMatching(
          /refuses connections; it has taken 610 s, needs to be done by then\n {2}.*verdigris server doctor\n {2}.*fleet\.serverDeadline/,
        ),
      },
    });
  });
});

describe.skipIf(executable === undefined)('a queue of the load balancer that never answers', () => {
  /** The queue of a world whose questions are lost until it is told otherwise. */
  const aQueue = (answers: boolean) => {
    const link = { answers };
    const real = createTurnActivities();
    return {
      link,
      activities: {
        askForTurn: async (input: Parameters<typeof real.askForTurn>[0]) =>
          link.answers ? real.askForTurn(input) : undefined,
      },
    };
  };

  test('keeps a switch waiting for hours, which says so and asks again', async ({ aWorld }) => {
    const { link, activities } = aQueue(false);
    const world = await aWorld({}, activities);
    await toApproval(world);
    await world.send('approve', { by: 'ann' });
    await world.until(({ stage }) => stage === 'switch');
    await time.sleep(3 * hourMs);
    expect(await world.status()).toMatchObject({
      stage: 'switch',
      awaits: expect.stringMatching(/^its turn at .*: its queue does not answer$/),
    });
    expect(world.loadBalancer.calls.filter(({ operation }) => operation !== 'read')).toEqual([]);
    link.answers = true;

    expect(await outcomeOf(world)).toMatchObject({ kind: 'promoted', live: 'green' });
  });

  test('keeps no way back waiting for more than minutes', async ({ aWorld }) => {
    const { link, activities } = aQueue(true);
    const world = await aWorld({ bake: { ...bake, durationMs: 100 * hourMs } }, activities);
    await toApproval(world);
    await world.send('approve');
    await world.untilStage('bake');
    link.answers = false;
    const askedAtMs = await time.currentTimeMs();
    await world.send('rollback', { by: 'ann' });

    expect(await outcomeOf(world)).toMatchObject({
      kind: 'rolled back',
      live: 'blue',
      notes: expect.arrayContaining([expect.stringMatching(/^Went on without its turn at /)]),
    });
    // Not the time by now: that jumps on while nobody looks.
    const { closeTime } = await world.handle().describe();
    expect((closeTime?.getTime() ?? NaN) - askedAtMs).toBeLessThan(hourMs / 6);
  });
});

const bake = {
  durationMs: 800,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 100,
};
