import { describe, expect } from 'vitest';
import type { HandSwitch } from '../../domain/hand-switch.js';
import { queue } from '../../domain/turns.js';
import { test, type World } from '../support/world.js';
import { aCommandLine } from './support/command-line.js';

describe('verdigris switch --without-temporal, with Temporal there and a deployment open', () => {
  test('is refused while a worker carries it, and may be forced while none does', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);

    for (const words of ['switch green --without-temporal', 'switch green --without-temporal --force']) {
      const { exitCode, stderr } = await cli.run(words);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(
        /^Cannot switch "shop-\w+@test": a deployment \(\w+, .*\) is open since .*, at "approve"/,
      );
      expect(stderr).toContain('go back, in every situation: verdigris rollback');
      expect(stderr).toContain('out of its hands first: verdigris take-over');
      expect(stderr).not.toContain('go on all the same: --force');
    }

    await world.stopWorker();
    expect((await cli.run('switch green --without-temporal')).stderr).toMatch(
      /no worker answers; once one does, it finds the traffic moved and asks a person\n {2}go on all the same: --force/,
    );
    // Forced, it comes as far as the keys, which are not here.
    const { exitCode, stderr } = await cli.run(
      'switch green --without-temporal --force --worker-config nowhere',
    );
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^Going on all the same \(--force\):\nCannot switch/);
    expect(stderr).toContain('there is no "nowhere", needs the file that a worker of this service has');
  });
});

describe('verdigris switch --without-temporal, with Temporal there and a neighbour publishing', () => {
  test('is refused until the neighbour has given its turn back, or forced', async ({ aWorld }) => {
    const [world, neighbour] = [await aWorld(), await aWorld()];
    const cli = await aCommandLine(world);
    const handle = await neighbour.start('v2');
    await neighbour.untilStage('approve');
    // The load balancer that the command line's configuration names.
    const loadBalancer = 'loadbalancer-0123456789abcdef';
    const { runId, workflowId } = await handle.describe();
    const request = { id: 'its turn', service: neighbour.service.id, workflowId, runId, purpose: 'forward' };
    const turns = await world.client.workflow.signalWithStart(queue.workflowType, {
      workflowId: queue.workflowId(loadBalancer),
      taskQueue: neighbour.taskQueue,
      args: [{ loadBalancer }],
      signal: queue.ask,
      signalArgs: [request],
    });
    const words = 'switch green --without-temporal --worker-config nowhere';
    const publishing = `${neighbour.service.id} publishes at ${loadBalancer} since `;

    const refused = await cli.run(words);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(`Cannot switch "${world.service.id}": ${publishing}`);
    expect((await cli.run(`${words} --force`)).stderr).toContain(
      `Going on all the same (--force): ${publishing}`,
    );

    await turns.signal(queue.giveBack, request.id);
    await turns.result();
    expect((await cli.run(words)).stderr).toMatch(
      /^Temporal answers, and no run of \S+ is open: verdigris rollback/,
    );
  });
});

describe('a switch that was made by hand', () => {
  const made = (world: World, to: HandSwitch['to'], beganAt: Date): HandSwitch => ({
    service: world.service.id,
    by: 'bea',
    from: to === 'blue' ? 'green' : 'blue',
    to,
    beganAt: beganAt.toISOString(),
    state: 'proved',
  });

  test('is told in check and plan, and not gone back over, until a run has ended since', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    await world.deploy('v2');
    const cli = await aCommandLine(world);
    world.loadBalancer.moveInPanel({ blue: 100, green: 0 });
    world.handSwitch = made(world, 'blue', new Date());

    expect((await cli.run('check')).stdout).toMatch(/by hand +green -> blue by bea at .*: moved, and proved/);
    expect((await cli.run(`plan ${cli.artifact('v2')}`)).stdout).toContain(
      'The last switch was made by hand, without Temporal: green -> blue by bea',
    );
    const refused = await cli.run('rollback');
    expect(refused.exitCode).toBe(2);
    expect(refused.stdout).toMatch(/it was switched to blue by hand[\s\S]*verdigris rollback --force/);
    expect(world.servedBy()).toBe('v1');
    // A refusal has settled nothing.
    expect((await cli.run('check')).stdout).toMatch(/by hand +green -> blue/);

    expect((await cli.run('rollback --force --by ann')).exitCode).toBe(0);
    expect(world.servedBy()).toBe('v2');
    expect((await cli.run('check')).stdout).not.toContain('by hand');
  });

  test('that moved nothing, or that somebody has moved away from since, says nothing of what is live', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    for (const handSwitch of [
      { ...made(world, 'blue', new Date()), state: 'not moved' as const },
      made(world, 'green', new Date()),
    ]) {
      world.handSwitch = handSwitch;
      expect((await cli.run(`plan ${cli.artifact('v2')}`)).stdout).not.toContain('made by hand');
    }
  });
});
