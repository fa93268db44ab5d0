import { describe, expect } from 'vitest';
import { shortId } from '../../domain/names.js';
import { aCommandLine, documentsOf, printed } from './support/command-line.js';
import { test } from '../support/world.js';

describe('deploy --wait', () => {
  test('follows a deployment to its promotion: a line per phase, and what matters again at the end', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const deploying = cli.start(`deploy --wait ${cli.artifact('v2')} --by bea`);
    await printed(deploying, /approve +waits for an approval/);
    const approved = await cli.run('approve --by ann --reason "looks good"');
    const { exitCode, stdout, stderr } = await deploying;

    expect(approved).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('green-1 runs') });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    const phases = stdout.split('\n').map((line) => /^ {2}(\w+) {3,}/.exec(line)?.[1]);
    expect(phases.filter((phase) => phase && phase !== 'deployment')).toEqual(
      expect.arrayContaining([
        'inspect',
        'fetch',
        'install',
        'activate',
        'verify',
        'approve',
        'switch',
        'bake',
        'retire',
      ]),
    );
    const report = stdout.slice(stdout.indexOf('Promoted'));
    expect(report).toMatch(/^Promoted shop-\w+@test to v2 \(/);
    expect(report).toContain('green is live');
    expect(report).toContain('Approved by ann: looks good');
    expect(report).toMatch(/[\d,]+ requests from outside, none failed/);
    expect(report).toMatch(/watched [\d.]+ % of the time/);
    expect(report).toMatch(/http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/verdigris%2F/);
    expect(report).toMatch(/verdigris rollback --destination test .*takes it back/);
  });

  test('ends with 10 when the deployment was rolled back, and says why and what is live', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    world.release('bad', { kind: 'crashes at start' });
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run(`deploy --wait ${cli.artifact('bad')}`);
    expect(exitCode).toBe(10);
    expect(stdout).toMatch(/Rolled back shop-\w+@test during (activate|verify)\.\n {2}\S/);
    expect(stdout).toContain('blue is live, as before');
  });

  test('refuses what was taken back as ill, and deploys it again with a reason, which is in the report', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    world.release('bad', { kind: 'crashes at start' });
    const cli = await aCommandLine(world);
    await cli.run(`deploy --wait ${cli.artifact('bad')}`);

    const refused = await cli.run(`deploy --wait ${cli.artifact('bad')}`);
    expect(refused.exitCode).toBe(2);
    expect(refused.stdout).toMatch(
      /was taken back as unfit on \d{4}-\d\d-\d\dT.* from green-1, green-2: Cannot/,
    );
    expect(refused.stdout).toContain('verdigris deploy --again "why"');
    expect((await cli.run(`plan ${cli.artifact('bad')}`)).exitCode).toBe(2);
    expect((await cli.run(`deploy --again " " ${cli.artifact('bad')}`)).exitCode).toBe(2);

    const planned = await cli.run(`plan --again "the port is free now" ${cli.artifact('bad')}`);
    expect(planned).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('the port is free now') });
    const again = await cli.run(
      `deploy --wait --by bea --again "the port is free now" ${cli.artifact('bad')}`,
    );
    expect(again.exitCode).toBe(10);
    expect(again.stdout).toContain('Deployed again by bea: the port is free now');
  });

  test('ends with 11 when a person said no', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const deploying = cli.start(`deploy --wait ${cli.artifact('v2')}`);
    await printed(deploying, /approve +waits for/);
    expect(await cli.run('reject --by ann --reason "not today"')).toMatchObject({ exitCode: 0 });
    const { exitCode, stdout } = await deploying;
    expect(exitCode).toBe(11);
    expect(stdout).toContain('Rejected by ann: not today.');
  });

  test('ends with 2 when the deployment was refused, with every complaint', async ({ aWorld }) => {
    const world = await aWorld();
    world.runForeign('green', 'old');
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run(`deploy --wait ${cli.artifact('v2')}`);
    expect(exitCode).toBe(2);
    expect(stdout).toMatch(/Refused: nothing was changed on shop/);
    expect(stdout).toContain('Cannot deploy to "green-1"');
    expect(stdout).toContain('Cannot deploy to "green-2"');
  });

  test('tells machines the same as JSON lines and nothing else', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run(`deploy --until approve --json ${cli.artifact('v2')}`);
    expect(exitCode).toBe(0);
    const events = documentsOf(stdout);
    expect(events[0]).toMatchObject({ event: 'started', service: world.service.id });
    expect(events.slice(1, -1).every(({ event }) => event === 'status')).toBe(true);
    expect(events.at(-1)).toMatchObject({
      event: 'approval awaited',
      exitCode: 0,
      status: { stage: 'approve', accepts: expect.arrayContaining(['approve', 'reject', 'rollback']) },
    });
  });
});

describe('deploy leaves the deployment going', () => {
  test('when it was to wait until the approval only', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/Deployment \w{8} waits for an approval\./);
    expect(stdout).toMatch(/approve it: +verdigris approve .*--destination test/);
    expect(await world.status()).toMatchObject({ stage: 'approve' });
  });

  test('and waits as long as it was told, be it for months', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const { exitCode } = await cli.run(`deploy --until approve --timeout 1000h ${cli.artifact('v2')}`);
    expect(exitCode).toBe(0);
    await world.untilStage('approve');
  });

  test('when its own time is over, with 21', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run(`deploy --wait --timeout 200ms ${cli.artifact('v2')}`);
    expect(exitCode).toBe(21);
    expect(stdout).toMatch(/Stopped waiting after 200 ms; deployment \w{8} goes on\./);
    expect(stdout).toMatch(/take it back: verdigris rollback/);
    await world.untilStage('approve');
  });

  test.for([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('when it is told to stop by %s, with %i', async ([signal, code], { aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const deploying = cli.start(`deploy --wait ${cli.artifact('v2')}`);
    await printed(deploying, /approve +waits for/);
    // Twice, as it comes through npm.
    deploying.kill(signal);
    deploying.kill(signal);
    const { exitCode, stdout } = await deploying;
    expect(exitCode).toBe(code);
    expect(stdout).toMatch(/Stopped following; deployment \w{8} goes on\./);
    expect(stdout).toMatch(/follow it: +verdigris status --watch/);
    expect(await world.status()).toMatchObject({ stage: 'approve' });
  });

  test('when a person is needed, with 20; and once taken over nothing but a repair is accepted', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const deploying = cli.start(`deploy --wait ${cli.artifact('v2')}`);
    await printed(deploying, /approve +waits for/);
    world.loadBalancer.moveInPanel({ blue: 0, green: 100 });
    const { exitCode, stdout } = await deploying;
    expect(exitCode).toBe(20);
    expect(stdout).toMatch(/Deployment \w{8} needs a person; it goes on waiting\./);
    expect(stdout).toMatch(/verdigris take-over +takes what is left/);

    const taken = await cli.run('take-over --yes --by ann --reason "by hand"');
    expect(taken.exitCode).toBe(0);
    await expect(world.handle().result()).rejects.toThrow();
    expect(await cli.run('status')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/Taken over by ann: by hand\.\n +left undone: /),
    });
    for (const words of [`deploy ${cli.artifact('v2')}`, 'rollback', 'adopt']) {
      const refused = await cli.run(words);
      expect(refused).toMatchObject({ exitCode: 2, stdout: '' });
      expect(refused.stderr).toMatch(
        /^Cannot (deploy|roll back|adopt) "shop-\w+@test": deployment \w{8} was taken over by ann \(by hand\), needs to be settled first\n/,
      );
      expect(refused.stderr).toMatch(/settle it: verdigris repair/);
    }

    for (const words of ['check', `plan ${cli.artifact('v2')}`]) {
      expect(await cli.run(words)).toMatchObject({
        exitCode: 2,
        stdout: expect.stringMatching(
          /\nCannot deploy "shop-\w+@test": deployment \w{8} was taken over by ann \(by hand\), needs to be settled first\n/,
        ),
      });
    }

    const repaired = await cli.run('repair --live blue --yes');
    expect(repaired).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('all traffic goes to blue'),
    });
    expect(world.loadBalancer.split).toEqual({ blue: 100, green: 0 });
    for (const [words, instead] of [
      ['repair --yes', /look again: verdigris check/],
      ['repair --live green --yes', /send the traffic to green: verdigris rollback/],
    ] as const) {
      const again = await cli.run(words);
      expect(again.exitCode).toBe(2);
      expect(again.stderr).toMatch(
        /^Cannot repair "shop-\w+@test": there is nothing to settle \(all traffic goes to blue,/,
      );
      expect(again.stderr).toMatch(instead);
    }
    expect(await cli.run(`deploy ${cli.artifact('v2')}`)).toMatchObject({ exitCode: 0, stderr: '' });
  });
});

describe('one deployment at a time', () => {
  test('a second one is refused with who holds the service, since when, where it is and how to follow it', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve --by bea ${cli.artifact('v2')}`);
    const second = await cli.run(`deploy ${cli.artifact('v2')}`);
    expect(second).toMatchObject({ exitCode: 2, stdout: '' });
    const { deployment } = await world.status();
    expect(second.stderr).toMatch(
      new RegExp(
        `^Cannot deploy "shop-\\w+@test": a deployment \\(${shortId(deployment)}, asked for by bea\\) is open since \\S+, at "approve" since \\S+, needs to end first\\n  it waits for an approval.*\\n  follow it: verdigris status --watch`,
      ),
    );
  });

  test('the same is told while no worker is alive', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve --by bea ${cli.artifact('v2')}`);
    await world.stopWorker();
    const second = await cli.run(`deploy ${cli.artifact('v2')}`);
    expect(second.exitCode).toBe(2);
    expect(second.stderr).toMatch(/asked for by bea\) is open since .* at "approve"/);
  });
});
