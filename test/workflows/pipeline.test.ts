import { describe, expect, vi } from 'vitest';
import type { Color } from '../../domain/color.js';
import type { Outcome } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { phases, type Phase } from '../../domain/phase.js';
import type { Behaviour } from '../../drivers/servers/imagined-program.js';
import { serversOf, type Service } from '../../domain/service.js';
import { workflowTypes } from '../../workflows/messages.js';
import { binariesOf, debian12, tooNew } from '../support/binaries.js';
import { serverNamed, test, type World } from '../support/world.js';

describe.concurrent('a deployment', () => {
  test('releases to the idle environment, is approved, switched, baked and promoted', async ({ aWorld }) => {
    const world = await aWorld();
    const before = world.fingerprint('blue');

    const outcome = await world.deploy('v2');

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', tally: { failed: 0 } });
    expect(world.servedBy()).toBe('v2');
    expect(world.fingerprint('blue')).toEqual(before);
  });

  test('goes to an empty environment first, with nothing to go back to, and says so', async ({ aWorld }) => {
    const world = await aWorld();
    for (const { name } of world.service.environments.blue) world.server(name).crash();

    const handle = await world.start('v2');
    const { plan } = await world.untilStage('approve');
    await world.send('approve');

    expect(plan?.live).toBe('nothing');
    expect(plan?.warnings.join()).toContain('first deployment');
    expect(await handle.result()).toMatchObject({ kind: 'promoted', live: 'green' });
  });

  test('keeps the old environment running as the warm way back', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');

    expect(world.server('blue-1').answer()).toMatchObject({ identity: 'v1' });
  });

  test('drains and stops the old environment where the service wants it, when it is its own', async ({
    aWorld,
  }) => {
    const world = await aWorld({ retire: { old: 'stop' } });
    await world.deploy('v2');
    expect(world.server('blue-1').facts().unit.state, 'a foreign release is never stopped').toBe('active');
  });

  test('is refused while another one is open', async ({ aWorld }) => {
    const world = await aWorld();
    await world.start('v2');
    await expect(world.start('v2')).rejects.toThrow(/already started/);
  });
});

describe.concurrent('a program that its servers cannot load', () => {
  test('is refused before anything is changed, with symbol, library, server and cure', async ({ aWorld }) => {
    const world = await aWorld();
    world.release('v2', { kind: 'answers' }, tooNew);
    for (const { name } of serversOf(world.service)) world.server(name).platform = debian12;
    const before = world.fingerprint('green');

    const outcome = await world.deploy('v2');

    expect(outcome).toMatchObject({
      kind: 'refused',
      complaints: [
        {
          failure: 'ProgramIncompatible',
          message:
            'Cannot run "bin/greeter" on green-1, green-2: it needs GLIBC_2.38 (`__isoc23_strtol`) of libc.so.6, green-1, green-2 have 2.36\n  build on Debian 12, or where glibc is 2.36 at most, not in gcc:latest',
        },
      ],
    });
    expect(world.fingerprint('green')).toEqual(before);
  });

  test('is undone where a loader shows it during install only', async ({ aWorld }) => {
    const world = await aWorld();
    world.release('v2', { kind: 'answers' }, binariesOf({ interpreter: '/opt/loaders/ld.so' }));
    for (const { name } of serversOf(world.service)) world.server(name).platform = debian12;
    expect(await world.deploy('v2')).toMatchObject({
      kind: 'rolled back',
      during: 'install',
      because: { failure: 'ProgramIncompatible', message: expect.stringContaining('/opt/loaders/ld.so') },
    });
  });

  test('is told before people approve when it does fit, as a part of the evidence', async ({ aWorld }) => {
    const world = await aWorld();
    world.release('v2', { kind: 'answers' }, binariesOf());
    for (const { name } of serversOf(world.service)) world.server(name).platform = debian12;
    await world.start('v2');
    const { plan, evidence } = await world.untilStage('approve');
    expect(plan?.program).toEqual(['bin/greeter: x86-64, needs GLIBC_2.34, build id abababababab, hardened']);
    expect(evidence?.lines[0]).toBe(plan?.program?.[0]);
  });
});

describe.concurrent('machines that OVHcloud finds ill', () => {
  const named = (name: string) => ({ kind: 'vps', name: `vps-${name}` }) as const;
  const withProducts = (unhealthy: 'warn' | 'refuse'): Partial<Service> => {
    const two = (color: Color) =>
      [1, 2].map((number) => ({ ...serverNamed('shop', color, number), ovh: named(`${color}-${number}`) }));
    return {
      environments: { blue: two('blue'), green: two('green') },
      machines: { unhealthy, unequal: 'warn' },
    };
  };
  const healthy = {
    state: 'running',
    healthy: true,
    size: { cores: 4, memoryMb: 8192 },
    interventions: [],
    seenAtMs: 0,
    unknown: [],
  };
  const tell = (world: World) => {
    for (const { name } of serversOf(world.service)) world.machines.tell(named(name), healthy);
    world.machines.tell(named('green-2'), { ...healthy, state: 'rescued', healthy: false });
  };

  test('are a warning and a part of the evidence', async ({ aWorld }) => {
    const world = await aWorld(withProducts('warn'));
    tell(world);
    await world.start('v2');
    const { plan, evidence } = await world.untilStage('approve');
    expect(plan?.warnings).toContain('green-2 (VPS vps-green-2) is not well: rescued');
    expect(evidence?.lines).toContain('green-2 is VPS vps-green-2, rescued, 4 cores with 8 GB');
  });

  test('are a refusal where the service says so, before anything is changed', async ({ aWorld }) => {
    const world = await aWorld(withProducts('refuse'));
    tell(world);
    const before = world.fingerprint('green');
    expect(await world.deploy('v2')).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'MachineUnhealthy', message: expect.stringContaining('rescued') }],
    });
    expect(world.fingerprint('green')).toEqual(before);
  });

  test('refuse nothing when they cannot be seen', async ({ aWorld }) => {
    const world = await aWorld(withProducts('refuse'));
    const refusal = 'Cannot look at VPS vps-green-2: the consumer key may not GET /vps/vps-green-2';
    tell(world);
    world.machines.tell(named('green-2'), new Failure('CredentialRefused', refusal));
    await world.start('v2');
    const { plan } = await world.untilStage('approve');
    expect(plan?.warnings).toContain(
      "green-2: OVHcloud's view of it is not known: the consumer key may not GET /vps/vps-green-2",
    );
  });
});

describe.concurrent('a program that does not prove itself', () => {
  test.for<[string, Behaviour, Phase, RegExp]>([
    ['crashes at start', { kind: 'crashes at start' }, 'activate', /green-/],
    ['exits 0 after a while', { kind: 'exits', afterMs: 150 }, 'verify', /has ended/],
    [
      'crashes again and again',
      { kind: 'crashes every', everyMs: 150 },
      'verify',
      /restarted|another process|has ended/,
    ],
    ['is never healthy', { kind: 'never healthy' }, 'verify', /HTTP 503/],
  ])('%s: it never gets traffic and is undone', async ([, behaviour, during, words], { aWorld }) => {
    const world = await aWorld({
      verify: { passes: 2, everyMs: 50, minimumMs: 400, deadlineMs: 1_000, loadBalancerDeadlineMs: 2_000 },
    });
    world.release('bad', behaviour);
    const before = world.fingerprint('blue');

    const outcome = await world.deploy('bad');

    expect(outcome).toMatchObject({ kind: 'rolled back', during, live: 'blue', tally: { failed: 0 } });
    expect(because(outcome)).toMatch(words);
    expect(world.fingerprint('blue')).toEqual(before);
    expect(world.loadBalancer.calls.filter(({ operation }) => operation === 'publish')).toEqual([]);
    for (const { name } of world.service.environments.green) {
      expect(world.server(name).facts()).toMatchObject({ unit: { pid: 0 }, installedReleases: [] });
    }
  });

  test('falls ill under traffic: the traffic goes back by itself, then the rest is undone', async ({
    aWorld,
  }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 60_000 } });
    const behaviour = { kind: 'ill after' as const, afterMs: Infinity };
    world.release('ill', behaviour);
    const handle = await world.start('ill');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    behaviour.afterMs = 0;

    expect(await handle.result()).toMatchObject({ kind: 'rolled back', during: 'bake', live: 'blue' });
    expect(world.servedBy()).toBe('v1');
    expect(world.server('green-1').facts().installedReleases).toEqual([]);
  });
});

describe.concurrent('what is found at the start', () => {
  test.for<[string, (world: World) => void, RegExp]>([
    ['an unreachable server', (w) => (w.server('green-1').link = 'refused'), /green-1/],
    ["somebody else's staged edits", (w) => w.loadBalancer.stageAsSomebodyElse(), /not published/],
    ['divided traffic', (w) => w.loadBalancer.moveInPanel({ blue: 50, green: 50 }), /traffic is divided/],
    ['a foreign program on idle', (w) => w.runForeign('green', 'v0'), /verdigris adopt/],
    [
      'refused credentials',
      (w) =>
        w.loadBalancer.failNext(
          new Failure(
            'CredentialRefused',
            'Cannot call GET /ipLoadbalancing: this call has not been granted',
          ),
        ),
      /not been granted/,
    ],
    [
      'a wrong digest',
      (w) => w.artifacts.failNext(new Failure('DigestMismatch', 'Cannot use "v2": it is aa, needs bb')),
      /needs bb/,
    ],
    [
      'an archive that is not safe',
      (w) => w.artifacts.failNext(new Failure('ArchiveUnsafe', 'Cannot use "v2": it holds ../etc/passwd')),
      /\.\.\/etc/,
    ],
  ])('%s: refused, and nothing is changed', async ([, spoil, words], { aWorld }) => {
    const world = await aWorld();
    spoil(world);
    const before = [world.fingerprint('blue'), world.fingerprint('green')];

    const outcome = await world.deploy('v2');

    expect(outcome.kind).toBe('refused');
    expect(outcome.kind === 'refused' && outcome.complaints.map(({ message }) => message).join('\n')).toMatch(
      words,
    );
    expect([world.fingerprint('blue'), world.fingerprint('green')]).toEqual(before);
  });
});

describe.concurrent('people', () => {
  test('reject: everything is put back', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('reject', { by: 'ann', reason: 'not on a Friday' });

    expect(await handle.result()).toMatchObject({
      kind: 'rejected',
      by: 'ann',
      reason: 'not on a Friday',
      live: 'blue',
    });
    expect(world.server('green-1').facts().installedReleases).toEqual([]);
  });

  test('do not answer: time rejects', async ({ aWorld }) => {
    const world = await aWorld({ approve: { timeoutMs: 300, onTimeout: 'reject', watchEveryMs: 100 } });
    const handle = await world.start('v2');
    expect(await handle.result()).toMatchObject({
      kind: 'rejected',
      by: 'time',
      reason: 'nobody approved within 1 min',
    });
  });

  test('end the bake early', async ({ aWorld }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 600_000 } });
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.signal('approve');
    await world.untilStage('bake');
    await world.send('advance', { by: 'ann' });
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
  });

  test.for([[], ['because'], [{ by: 'ann' }], [null], [42], [[1, 2]], [{ reason: { deep: true } }]] as const)(
    'send a bare or odd signal %j: it counts, and nothing breaks',
    async (input, { aWorld }) => {
      const world = await aWorld();
      const handle = await world.start('v2');
      await world.untilStage('approve');
      await world.signal('retry', ...input);
      await world.signal('approve', ...input);
      expect(await handle.result()).toMatchObject({ kind: 'promoted' });
    },
  );

  test('cannot approve too early, another deployment, or what they have not seen', async ({ aWorld }) => {
    const world = await aWorld();
    world.server('green-1').delay('install', 1_000);
    const handle = await world.start('v2');
    await world.untilStage('install');
    await expect(world.send('approve')).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/does not wait for an approval/) },
    });
    await world.untilStage('approve');
    await expect(world.send('approve', { deployment: '00000000' })).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/is for deployment 00000000/) },
    });
    await expect(world.send('approve', { plan: 'abc' })).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/the approval is for abc/) },
    });
    await world.send('approve', { deployment: handle.workflowId ? (await world.status()).deployment : '' });
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
  });

  test('cannot take an answer back by another one: what is accepted happens', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.server('green-1').delay('watch', 700);
    await world.send('approve', { by: 'ann' });
    expect(await world.status()).toMatchObject({
      accepts: ['rollback'],
      next: expect.stringMatching(/^approved; every server is verified once more/),
    });
    await expect(world.send('reject', { by: 'bob' })).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/answered already.*verdigris rollback/) },
    });
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
  });

  test('cancel the workflow: that is a rollback', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await handle.cancel();
    expect(await handle.result()).toMatchObject({
      kind: 'rolled back',
      because: { failure: 'Cancelled' },
      live: 'blue',
    });
    expect(world.server('green-1').facts().installedReleases).toEqual([]);
  });
});

/** In `retire` there is only something to end where the old environment is stopped: that has a test of its own. */
describe.concurrent('a rollback asked for', () => {
  for (const phase of phases.filter((name) => name !== 'retire')) {
    for (const door of ['signal', 'update'] as const) {
      test(`by ${door} during ${phase} ends where it began`, async ({ aWorld }) => {
        const world = await aWorld({ bake: { ...bake, durationMs: 60_000 } });
        const before = world.fingerprint('blue');
        const { held, release } = slowDown(world, phase);
        const handle = await world.start('v2');
        await reach(world, phase);
        await held;

        await (door === 'signal' ? world.signal('rollback') : world.send('rollback', { by: 'ann' }));
        release?.();

        expect(await handle.result()).toMatchObject({
          kind: 'rolled back',
          because: { failure: 'RollbackAsked' },
        });
        expect(world.servedBy()).toBe('v1');
        expect(world.fingerprint('blue')).toEqual(before);
        expect(world.server('green-1').facts()).toMatchObject({ unit: { pid: 0 }, installedReleases: [] });
      });
    }
  }
});

describe.concurrent('a rollback that was asked for', () => {
  test.for([
    ['a message', { failure: 'RollbackAsked', message: 'Rollback asked for by ann: the wrong day' }],
    ['a cancelled workflow', { failure: 'Cancelled', message: 'It was cancelled in Temporal' }],
  ] as const)(
    'by %s is shown at once, and the step in flight is waited for',
    async ([how, problem], { aWorld }) => {
      const world = await aWorld();
      const { held, release } = world.loadBalancer.hold();
      const handle = await world.start('v2');
      await reach(world, 'switch');
      await held;

      if (how === 'a message') await world.send('rollback', { by: 'ann', reason: 'the wrong day' });
      else await handle.cancel();

      const shown = await world.until((status) => status.problem !== undefined);
      expect(shown).toMatchObject({
        stage: 'switch',
        problem,
        next: expect.stringMatching(/^the step in flight ends/),
      });
      release();
      expect(await handle.result()).toMatchObject({ kind: 'rolled back', during: 'switch', live: 'blue' });
    },
  );
});

describe.concurrent('what was verified is what is baked', () => {
  test('a process that was started again while the traffic moved is ill', async ({ aWorld }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 60_000 } });
    const { held, release } = world.loadBalancer.hold();
    const handle = await world.start('v2');
    await reach(world, 'switch');
    await held;
    world.server('green-1').reboot();
    release();

    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(because(outcome)).toMatch(/green-1: another process runs/);
  });

  test('a process that dumps core under the traffic is ill, found by one stream for each server and nothing else', async ({
    aWorld,
  }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 60_000 } });
    const handle = await world.start('v2');
    await reach(world, 'bake');
    const asked = () => world.servers.calls.map(({ method }) => method);
    const before = asked().length;
    await vi.waitUntil(
      () =>
        asked()
          .slice(before)
          .filter((method) => method === 'probe').length > 12,
      {
        timeout: 30_000,
      },
    );
    const others = asked()
      .slice(before)
      .filter((method) => method !== 'probe');
    expect(others.length).toBeLessThanOrEqual(4);
    expect(new Set(others)).toEqual(new Set(others.length > 0 ? ['watch'] : []));
    world.server('green-2').coreDumps = 1;

    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'bake', live: 'blue' });
    expect(because(outcome)).toMatch(/green-2: a process of it has dumped core once/);
  });

  test('another program than was released is ill, also when a person lets the bake go on', async ({
    aWorld,
  }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 60_000 } });
    const handle = await world.start('v2');
    await reach(world, 'bake');
    world.loadBalancer.editAsSomebodyElse('farm/green');
    await world.untilStage('needs a person');
    world.runForeign('green', 'a hotfix');
    await world.send('retry', { by: 'ann' });
    await world.until(({ stage }) => stage === 'rolling back' || stage === 'needs a person');

    expect((await world.status()).problem?.message).toMatch(/runs another program|did not install/);
    await world.send('take-over');
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'TakenOver' } });
  });
});

describe.concurrent('a load balancer that cannot be asked at the end of the bake', () => {
  test.for([
    ['LoadBalancerUnreachable', 5],
    ['CredentialRefused', 1],
    ['SecretRefused', 1],
  ] as const)(
    'says nothing against the release: it is told and asked again (%s)',
    async ([failure, tries], { aWorld }) => {
      const world = await aWorld({ bake: { ...bake, durationMs: 60_000, watchEveryMs: 60_000 } });
      const handle = await world.start('v2');
      await reach(world, 'bake');
      for (let times = 0; times < tries; times++)
        world.loadBalancer.failNext(new Failure(failure, 'Cannot call GET: no answer'));
      await world.send('advance');

      const { problem } = await world.untilStage('needs a person');
      expect(problem?.failure).toBe(failure);
      await world.send('retry');
      expect(await handle.result()).toMatchObject({ kind: 'promoted' });
    },
  );
});

describe.concurrent('somebody else at the load balancer', () => {
  test('edits an object of ours before the activation: undone, and the object is named', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    world.server('green-1').delay('install', 700);
    const handle = await world.start('v2');
    await world.untilStage('install');
    world.loadBalancer.editAsSomebodyElse('farm/green');

    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'activate', live: 'blue' });
    expect(because(outcome)).toContain('farm/green was changed');
  });

  test('edits an object of ours while it waits for approval: the plan is void', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.editAsSomebodyElse('farm/green');

    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({ kind: 'rolled back', during: 'approve', live: 'blue' });
    expect(because(outcome)).toContain('farm/green was changed');
  });

  test('edits an object of ours during the bake: a person decides whether it goes on', async ({ aWorld }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 2_000 } });
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    world.loadBalancer.editAsSomebodyElse('farm/green');

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('farm/green was changed');
    await world.send('retry', { by: 'ann' });
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
  });

  test('moves the traffic during the wait: the environment that has it is left alone, and a person is asked', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.moveInPanel({ blue: 0, green: 100 });
    const calls = world.servers.calls.length;

    await world.untilStage('needs a person');
    await world.signal('rollback');
    await world.until(({ problem }) => problem?.failure === 'EnvironmentHasTraffic');
    expect(world.servers.calls.slice(calls).filter(({ token }) => token !== undefined)).toEqual([]);

    world.loadBalancer.moveInPanel({ blue: 100, green: 0 });
    await world.send('retry');
    expect(await handle.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
  });
});

describe.concurrent('a take-over', () => {
  test('taken over while somebody else has moved the traffic: nothing more is touched', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    expect(await world.status()).toMatchObject({ live: 'blue', split: { blue: 100, green: 0 } });
    world.loadBalancer.moveInPanel({ blue: 0, green: 100 });
    const asking = await world.untilStage('needs a person');
    expect(asking.live, 'what is not so any more is not told').toBe('unknown');
    expect(asking).not.toHaveProperty('split');
    world.loadBalancer.moveInPanel({ blue: 100, green: 0 });
    await world.send('retry');
    expect(await world.untilStage('approve')).toMatchObject({ live: 'blue', split: { blue: 100, green: 0 } });
    world.loadBalancer.moveInPanel({ blue: 0, green: 100 });
    await world.untilStage('needs a person');
    const calls = world.servers.calls.length;
    await world.send('take-over', { by: 'ann' });

    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'TakenOver' } });
    expect(world.servers.calls.slice(calls).filter(({ token }) => token !== undefined)).toEqual([]);
    expect(world.servedBy()).toBe('v2');
  });
});

describe.concurrent('the way back', () => {
  test('is not taken blindly: where both look dead nothing moves and a person is asked', async ({
    aWorld,
  }) => {
    const world = await aWorld({ bake: { ...bake, durationMs: 60_000 } });
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await world.send('approve');
    await world.untilStage('bake');
    for (const name of ['blue-1', 'blue-2', 'green-1', 'green-2']) world.server(name).crash();

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.failure).toBe('RollbackBlind');
    expect(world.loadBalancer.split).toEqual({ blue: 0, green: 100 });

    for (const name of ['blue-1', 'blue-2']) world.server(name).reboot();
    await world.send('rollback', { by: 'ann', force: true });
    expect(await handle.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(world.servedBy()).toBe('v1');
  });

  test('never gives up: a step that fails is told, and tried again on request', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world
      .server('green-2')
      .failNext(
        'restore',
        new Failure('ExecutorFenced', 'Cannot restore "green-2": a newer executor was here'),
      );
    await world.send('reject');

    const { problem } = await world.untilStage('needs a person');
    expect(problem?.message).toContain('green-2');
    await world.send('retry');
    expect(await handle.result()).toMatchObject({ kind: 'rejected' });
  });

  test('can be taken over: what is left undone is listed, and only a repair is accepted next', async ({
    aWorld,
    expect,
  }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world
      .server('green-2')
      .failNext(
        'restore',
        new Failure('ExecutorFenced', 'Cannot restore "green-2": a newer executor was here'),
      );
    await world.send('reject');
    await world.untilStage('needs a person');
    await world.send('take-over', { by: 'ann', reason: 'by hand' });

    await expect(handle.result()).rejects.toMatchObject({
      cause: {
        type: 'TakenOver',
        message: expect.stringContaining('left undone: put back what ran on green'),
      },
    });
    await expect.poll(async () => (await world.deploy('v2')).kind).toBe('refused');
    expect(await world.deploy('v2'), 'being refused settles nothing').toMatchObject({ kind: 'refused' });

    const calls = world.servers.calls.length;
    for (const [type, action] of [
      [workflowTypes.rollback, 'roll back'],
      [workflowTypes.adoption, 'adopt'],
      [workflowTypes.convergence, 'converge'],
    ] as const) {
      expect(await world.begin(type).then((run) => run.result())).toMatchObject({
        kind: 'refused',
        complaints: [
          {
            failure: 'RepairNeeded',
            message: expect.stringMatching(
              new RegExp(
                `^Cannot ${action} "shop-\\w+@test": deployment \\w{8} was taken over by ann \\(by hand\\), needs to be settled first\\n {2}left undone: put back what ran on green\\n(.|\\n)* {2}settle it: verdigris repair$`,
              ),
            ),
          },
        ],
      });
    }
    expect(world.servers.calls.slice(calls).filter(({ token }) => token !== undefined)).toEqual([]);
    expect(world.servedBy()).toBe('v1');
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

const because = (outcome: Outcome): string =>
  outcome.kind === 'rolled back' ? outcome.because.message : JSON.stringify(outcome);

/** Makes a phase last until it is ended, or let go where nothing ends it: what is published is seen through. */
function slowDown(world: World, phase: Phase): Partial<ReturnType<World['loadBalancer']['hold']>> {
  const methods = { install: 'install', activate: 'activate', verify: 'watch', inspect: 'observe' } as const;
  if (phase in methods) world.server('green-1').delay(methods[phase as keyof typeof methods], 600_000);
  if (phase === 'fetch') world.artifacts.delayMs = 600_000;
  return phase === 'switch' ? world.loadBalancer.hold() : {};
}

async function reach(world: World, phase: Phase): Promise<void> {
  if (phase === 'switch' || phase === 'bake') {
    await world.untilStage('approve');
    await world.send('approve');
  }
  await world.untilStage(phase);
}
