import { describe, expect } from 'vitest';
import type { Color } from '../../domain/color.js';
import { Failure } from '../../domain/failures.js';
import { ServerName } from '../../domain/names.js';
import type { FleetSettings, Server, Service } from '../../domain/service.js';
import { workflowTypes } from '../../workflows/messages.js';
import { test, type World } from '../support/world.js';

const fleet: FleetSettings = {
  mayFail: { share: 0.1 },
  minCapacity: 1,
  serverDeadlineMs: 60_000,
  progressDeadlineMs: 60_000,
};

const tenServers = (color: Color): readonly Server[] =>
  Array.from({ length: 10 }, (_, index) => ({
    name: ServerName(`${color}-${index + 1}`),
    color,
    address: `10.0.${color === 'blue' ? 0 : 1}.${index + 1}`,
    port: 8080,
    unit: 'shop.service',
    directory: '/srv/shop',
    probe: { address: '127.0.0.1', port: 8080 },
    connection: { driver: 'in-memory', world: 'ten' } as const,
  }));

const ten = (changes: Partial<FleetSettings> = {}): Partial<Service> => ({
  environments: { blue: tenServers('blue'), green: tenServers('green') },
  fleet: { ...fleet, ...changes },
});

const published = (world: World) =>
  world.loadBalancer.calls.filter(({ operation }) => operation === 'publish');
const left = 'green-10';

const startFailed = () => new Failure('StartFailed', `Cannot start on "${left}": the program ended at once`);

describe.concurrent('one of ten idle servers that is down', () => {
  test('refuses the deployment where none may fail', async ({ aWorld }) => {
    const world = await aWorld(ten({ mayFail: 0 }));
    world.server(left).link = 'refused';

    const outcome = await world.deploy('v2');

    expect(outcome).toMatchObject({ kind: 'refused', complaints: [{ failure: 'ServerUnreachable' }] });
    expect(world.servers.calls.filter(({ token }) => token !== undefined)).toEqual([]);
  });

  test('is left behind where 10 % may fail: told, stopped where it can be, and out in the same change', async ({
    aWorld,
  }) => {
    const world = await aWorld(ten());
    world.server(left).link = 'refused';

    const handle = await world.start('v2');
    const { leftBehind, evidence, plan, servers } = await world.untilStage('approve');
    await world.send('approve');
    const outcome = await handle.result();

    expect(leftBehind).toMatchObject([{ server: left }]);
    expect(evidence?.lines.join('\n')).toContain(`left behind, and gets no traffic: ${left}`);
    expect(plan?.warnings.join('\n')).toContain(`Left behind: ${left}`);
    expect(servers.find(({ server }) => server === left)?.state).toBe('left behind');
    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', leftBehind: [{ server: left }] });
    expect(outcome.notes.join('\n')).toMatch(/Left behind: green-10.*refuses connections/);
    expect(world.loadBalancer.inactive).toEqual([left]);
    expect(published(world)).toHaveLength(1);
    expect(world.server('green-9').answer()).toMatchObject({ identity: 'v2' });
  });

  test('refuses where two are down and one may be', async ({ aWorld }) => {
    const world = await aWorld(ten());
    for (const name of ['green-9', left]) world.server(name).link = 'refused';
    const outcome = await world.deploy('v2');
    expect(outcome).toMatchObject({ kind: 'refused' });
    expect(outcome.kind === 'refused' && outcome.complaints).toHaveLength(2);
  });

  test('refuses where capacity would fall below what is needed', async ({ aWorld }) => {
    const world = await aWorld(ten({ minCapacity: { share: 1 } }));
    world.server(left).link = 'refused';
    expect(await world.deploy('v2')).toMatchObject({ kind: 'refused' });
  });
});

describe.concurrent('one of ten servers that fails on the way', () => {
  test.for<[string, string, (world: World) => void]>([
    [
      'install',
      'no space',
      (world) => world.server(left).failNext('install', new Failure('DiskFull', 'Cannot install: no space')),
    ],
    ['activate', 'ended at once', (world) => world.server(left).failNext('activate', startFailed())],
    [
      'activate, after it took effect',
      'ended at once',
      (world) => world.server(left).failNext('activate', startFailed(), 'done'),
    ],
    [
      'verify',
      'is down',
      (world) => {
        const { backendState } = world.loadBalancer;
        world.loadBalancer.backendState = (server) => (server === left ? 'down' : backendState(server));
      },
    ],
  ])('in %s is left behind, stopped and out in the same change', async ([, words, spoil], { aWorld }) => {
    const world = await aWorld(ten());
    spoil(world);

    const outcome = await world.deploy('v2');

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', tally: { failed: 0 } });
    expect(outcome.kind === 'promoted' && outcome.leftBehind.map(({ because }) => because).join()).toContain(
      words,
    );
    expect(world.server(left).facts().unit.pid).toBe(0);
    expect(world.loadBalancer.inactive).toEqual([left]);
    expect(published(world)).toHaveLength(1);
  });

  test('in verify, because its program dies: the load balancer is asked about the others only', async ({
    aWorld,
  }) => {
    const world = await aWorld({
      ...ten(),
      verify: { passes: 2, everyMs: 50, minimumMs: 2_000, deadlineMs: 5_000, loadBalancerDeadlineMs: 60_000 },
    });
    const handle = await world.start('v2');
    await world.until(({ servers }) =>
      servers.some(({ server, state }) => server === left && state === 'verifying'),
    );
    world.server(left).crash();
    const { evidence } = await world.untilStage('approve');
    await world.send('approve');

    expect(await handle.result()).toMatchObject({ kind: 'promoted', leftBehind: [{ server: left }] });
    expect(evidence?.lines.join('\n')).toContain('finds all 9 servers of green up');
  });

  test('after the approval voids it: what was approved had one server more', async ({ aWorld }) => {
    const world = await aWorld(ten());
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.server(left).crash();
    await world.send('approve', { by: 'ann' });
    const { notes } = await world.until(({ notes: told }) => told.some((note) => note.includes('once more')));
    expect(notes.join('\n')).toContain(`Left behind: ${left}`);
    await world.untilStage('approve');
    await world.send('approve', { by: 'ann' });
    expect(await handle.result()).toMatchObject({ kind: 'promoted', leftBehind: [{ server: left }] });
  });

  test('never answers: its own deadline ends it, and the others are not kept waiting', async ({ aWorld }) => {
    const world = await aWorld(ten({ serverDeadlineMs: 6_000 }));
    world.server(left).delay('install', 600_000);
    const outcome = await world.deploy('v2');
    expect(outcome).toMatchObject({ kind: 'promoted', leftBehind: [{ server: left }] });
    expect(outcome.kind === 'promoted' && outcome.leftBehind[0]?.because).toContain(
      'needs to be done by then',
    );
  });

  test('where none gets anywhere the progress deadline ends them all', async ({ aWorld }) => {
    const world = await aWorld(ten({ progressDeadlineMs: 2_000 }));
    for (const { name } of world.service.environments.green) world.server(name).delay('install', 600_000);
    const outcome = await world.deploy('v2');
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'install', live: 'blue' });
    expect(outcome.kind === 'rolled back' && outcome.because.message).toContain('no server has got anywhere');
  });
});

describe.concurrent('more servers that fail than may', () => {
  test('undo the deployment, name them all, and leave the load balancer as it was', async ({ aWorld }) => {
    const world = await aWorld(ten());
    for (const name of ['green-9', left]) world.server(name).failNext('activate', startFailed());
    const before = world.fingerprint('blue');

    const outcome = await world.deploy('v2');

    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'activate', live: 'blue' });
    const message = outcome.kind === 'rolled back' ? outcome.because.message : '';
    expect(message).toContain('2 of 10 servers of green have failed, at most 1 may be left behind');
    expect(message).toContain('green-9');
    expect(message).toContain('green-10');
    expect(published(world)).toEqual([]);
    expect(world.fingerprint('blue')).toEqual(before);
    for (const { name } of world.service.environments.green) {
      expect(world.server(name).facts()).toMatchObject({ unit: { pid: 0 }, installedReleases: [] });
    }
  });
});

describe.concurrent('going back with a server left behind', () => {
  async function toBake(world: World) {
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    return handle;
  }

  test('puts it back like the others, active in the load balancer again', async ({ aWorld }) => {
    const world = await aWorld({ ...ten(), bake: { ...longBake, durationMs: 1_500 } });
    await world.deploy('v1'); // to green
    await adoptBlue(world);
    await world.deploy('v2'); // to blue
    world.server(left).failNext('activate', startFailed());
    world.release('v3');
    const handle = await world.start('v3');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    expect(world.loadBalancer.inactive).toEqual([left]);
    await world.send('rollback', { by: 'ann' });

    expect(await handle.result()).toMatchObject({ kind: 'rolled back', during: 'bake', live: 'blue' });
    expect(world.server(left).answer()).toMatchObject({ identity: 'v1' });
    expect(world.loadBalancer.inactive).toEqual([]);
  });

  test('keeps nobody waiting for one that is gone, and leaves it out', async ({ aWorld }) => {
    const world = await aWorld({ ...ten(), bake: longBake });
    world.server(left).failNext('activate', startFailed());
    const handle = await toBake(world);
    world.server(left).link = 'refused';
    await world.send('rollback', { by: 'ann' });

    const outcome = await handle.result();
    expect(outcome).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(outcome.notes.join('\n')).toContain('it stays out of the load balancer');
    expect(world.loadBalancer.inactive).toEqual([left]);
  });

  test('does not compare with it: that it is silent makes the old environment no better', async ({
    aWorld,
  }) => {
    const world = await aWorld({ ...ten(), bake: longBake });
    world.server(left).link = 'refused';
    const handle = await toBake(world);
    world.publicAddress.current = () => ({ errorRate: 1, latencyMs: 5 });

    const { problem } = await world.untilStage('needs a person', 'ended');

    expect(problem).toMatchObject({ failure: 'RollbackBlind' });
    expect(problem?.message).toContain('the old environment is not better');
    await handle.terminate();
  });

  test('by load balancer alone does not give it traffic', async ({ aWorld }) => {
    const world = await aWorld(ten());
    world.server(left).failNext('activate', startFailed());
    await world.deploy('v2');
    await adoptBlue(world);
    world.release('v3');
    await world.deploy('v3'); // to blue; green is the way back, without one server
    expect(world.loadBalancer.inactive).toEqual([left]);

    const rollback = await world.client.workflow.start(workflowTypes.rollback, {
      workflowId: world.workflowId,
      taskQueue: world.taskQueue,
      args: [{ service: world.service, requestedBy: 'ann', searchAttributes: true }],
    });

    expect(await rollback.result()).toMatchObject({ kind: 'rolled back', live: 'green' });
    expect(world.loadBalancer.inactive).toEqual([left]);
  });
});

describe.concurrent('the next deployment', () => {
  test('brings a server that was left behind back: probed again before it gets traffic', async ({
    aWorld,
  }) => {
    const world = await aWorld(ten());
    world.server(left).failNext('activate', startFailed());
    await world.deploy('v2');
    await adoptBlue(world);
    world.release('v3');
    await world.deploy('v3'); // to blue
    world.release('v4');
    const outcome = await world.deploy('v4'); // to green

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', leftBehind: [] });
    expect(world.loadBalancer.inactive).toEqual([]);
    expect(world.server(left).answer()).toMatchObject({ identity: 'v4' });
  });
});

describe.concurrent('a live server that is unreachable', () => {
  test('is borne like an idle one, and told: the way back carries less', async ({ aWorld }) => {
    const world = await aWorld(ten());
    world.server('blue-3').link = 'refused';
    const handle = await world.start('v2');
    const { plan } = await world.untilStage('approve');
    await world.send('approve');
    expect(plan?.warnings.join('\n')).toContain(
      'blue-3 does not run (unreachable): the way back to blue carries less',
    );
    expect(await handle.result()).toMatchObject({ kind: 'promoted', live: 'green', leftBehind: [] });
  });

  test('refuses where none may fail: nobody knows whether the way back works', async ({ aWorld }) => {
    const world = await aWorld(ten({ mayFail: 0 }));
    world.server('blue-3').link = 'refused';
    expect(await world.deploy('v2')).toMatchObject({ kind: 'refused' });
  });
});

describe.concurrent('an adoption', () => {
  const full = () => new Failure('DiskFull', 'Cannot adopt on "green-2": no space');

  test('takes over what it can, and tells what it could not and why', async ({ aWorld }) => {
    const world = await aWorld();
    world.runForeign('green', 'v0');
    world.server('green-2').failNext('adopt', full());
    expect(await adopted(world)).toMatchObject({
      kind: 'adopted',
      releases: { 'green-1': expect.stringMatching(/-/) },
      notAdopted: [{ server: 'green-2', because: expect.stringContaining('no space') }],
    });
    expect(await adopted(world), 'the second time').toMatchObject({
      releases: { 'green-1': expect.anything(), 'green-2': expect.anything() },
      notAdopted: [],
    });
  });

  test('is refused where nothing at all could be taken over', async ({ aWorld }) => {
    const world = await aWorld();
    world.runForeign('green', 'v0');
    for (const name of ['green-1', 'green-2']) world.server(name).failNext('adopt', full());
    expect(await adopted(world)).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'DiskFull' }, { failure: 'DiskFull' }],
    });
  });

  const adopted = async (world: World): Promise<unknown> =>
    (await world.begin(workflowTypes.adoption)).result();
});

describe.concurrent('a convergence', () => {
  async function converge(world: World) {
    const handle = await world.client.workflow.start(workflowTypes.convergence, {
      workflowId: world.workflowId,
      taskQueue: world.taskQueue,
      args: [{ service: world.service, requestedBy: 'ann', searchAttributes: true }],
    });
    return handle.result();
  }

  async function promotedWithout(world: World): Promise<void> {
    world.server(left).failNext('activate', startFailed());
    await world.deploy('v2');
    expect(world.loadBalancer.inactive).toEqual([left]);
  }

  test('brings what was left behind to the live release, and touches nobody else', async ({ aWorld }) => {
    const world = await aWorld(ten());
    await promotedWithout(world);
    const before = [world.fingerprint('blue'), (world.fingerprint('green') as unknown[]).slice(0, 9)];
    const publishes = published(world).length;

    expect(await converge(world)).toMatchObject({ kind: 'converged', broughtBack: [left], leftBehind: [] });

    expect(world.loadBalancer.inactive).toEqual([]);
    expect(world.server(left).answer()).toMatchObject({ identity: 'v2' });
    expect(published(world)).toHaveLength(publishes + 1);
    expect([world.fingerprint('blue'), (world.fingerprint('green') as unknown[]).slice(0, 9)]).toEqual(
      before,
    );
  });

  test('gives no traffic to one that fails again, and says so', async ({ aWorld }) => {
    const world = await aWorld(ten());
    await promotedWithout(world);
    world.server(left).failNext('activate', startFailed());
    expect(await converge(world)).toMatchObject({
      kind: 'converged',
      broughtBack: [],
      leftBehind: [{ server: left }],
    });
    expect(world.loadBalancer.inactive).toEqual([left]);
    expect(world.server(left).facts().unit.pid).toBe(0);
  });

  test('never gives up to leave out again what is not up: a person is asked, and may take over', async ({
    aWorld,
  }) => {
    const verify = {
      passes: 2,
      everyMs: 50,
      minimumMs: 100,
      deadlineMs: 3_000,
      loadBalancerDeadlineMs: 500,
    };
    const world = await aWorld({ ...ten(), verify });
    await promotedWithout(world);
    const { backendState } = world.loadBalancer;
    world.loadBalancer.backendState = (server) => (server === left ? 'down' : backendState(server));
    const converging = converge(world);
    await expect.poll(() => world.loadBalancer.inactive, { timeout: 60_000, interval: 20 }).toEqual([]);
    world.loadBalancer.failNext(
      new Failure('CredentialRefused', 'Cannot change it: 403, needs a credential'),
      {
        operation: 'store',
      },
    );

    const { problem, accepts, awaits } = await world.untilStage('needs a person', 'ended');
    expect(problem?.message).toMatch(new RegExp(`^Cannot leave ${left} out of the load balancer again: `));
    expect({ accepts, awaits }).toEqual({
      accepts: ['retry', 'take-over'],
      awaits: 'a person: retry or take-over',
    });
    await world.send('retry');
    expect(await converging).toMatchObject({
      kind: 'converged',
      broughtBack: [],
      leftBehind: [{ server: left }],
      notes: expect.arrayContaining([expect.stringMatching(/^Left out again: /)]),
    });
    expect(world.loadBalancer.inactive).toEqual([left]);
  });

  test('is refused while somebody gives it traffic meanwhile: it is not touched', async ({ aWorld }) => {
    const world = await aWorld(ten());
    await promotedWithout(world);
    world.server(left).delay('install', 2_000);
    const converging = converge(world);
    await world.until(({ servers }) =>
      servers.some(({ server, state }) => server === left && state === 'installing'),
    );
    world.loadBalancer.editAsSomebodyElse(`server/${left}`, { status: 'active' });
    expect(await converging).toMatchObject({ kind: 'converged', broughtBack: [] });
    expect(
      world.servers.calls.filter(({ server, method }) => server === left && method === 'activate'),
    ).toHaveLength(1);
  });

  test.for<[string, (world: World) => Promise<void>, RegExp]>([
    ['nobody is left behind', async (world) => void (await world.deploy('v2')), /leaves out no server/],
    [
      'live servers run different releases',
      async (world) => {
        await promotedWithout(world);
        world.server('green-1').crash();
      },
      /not one release of ours/,
    ],
    [
      'a live server cannot be seen',
      async (world) => {
        await promotedWithout(world);
        world.server('green-1').link = 'refused';
      },
      /green-1 is unreachable/,
    ],
    [
      'what is live was never installed by a deployment',
      async (world) => {
        await Promise.resolve();
        world.loadBalancer.editAsSomebodyElse('server/blue-1', { status: 'inactive' });
      },
      /not ours/,
    ],
    [
      'edits are stored that are not published',
      async (world) => {
        await promotedWithout(world);
        world.loadBalancer.stageAsSomebodyElse();
      },
      /not published/,
    ],
  ])('is refused where %s', async ([, prepare, words], { aWorld }) => {
    const world = await aWorld(ten());
    await prepare(world);
    const calls = world.servers.calls.length;
    const result = await converge(world);
    expect(result).toMatchObject({ kind: 'refused' });
    expect(JSON.stringify(result)).toMatch(words);
    expect(world.servers.calls.slice(calls).filter(({ token }) => token !== undefined)).toEqual([]);
  });
});

const longBake = {
  durationMs: 600_000,
  maxErrorRate: 0.01,
  maxLatencyRatio: 2,
  latencyFloorMs: 50,
  minRequests: 20,
  watchEveryMs: 100,
} as const;

async function adoptBlue(world: World): Promise<void> {
  const adoption = await world.client.workflow.start(workflowTypes.adoption, {
    workflowId: world.workflowId,
    taskQueue: world.taskQueue,
    args: [{ service: world.service, requestedBy: 'ann', searchAttributes: true }],
  });
  await adoption.result();
}
