import { describe, expect, onTestFinished, vi } from 'vitest';
import { aCommandLine, documentsOf, printed } from './support/command-line.js';
import { serversOf } from '../../domain/service.js';
import { binariesOf, debian12, tooNew } from '../support/binaries.js';
import { test } from '../support/world.js';

describe('status', () => {
  test('of a service that was never deployed says how to begin', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run('status');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /has never been deployed from this Temporal namespace \("default"\)\.\n {2}begin: verdigris check/,
    );
  });

  test('in a namespace that there is not says so, and which there are', async ({ aWorld }) => {
    const cli = await aCommandLine(await aWorld());
    const { exitCode, stderr } = await cli.run('status --namespace nowhere');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^Cannot use namespace "nowhere" at .+: there is none of that name/);
  });

  test('tells everything about an open deployment, with and without a worker', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve --by bea ${cli.artifact('v2')}`);
    const alive = await cli.run('status');
    const checked = await cli.run('check');
    expect([checked.exitCode, checked.stdout]).toEqual([
      2,
      expect.stringMatching(/is open since .*at "approve"/),
    ]);
    expect(checked.stdout).not.toContain('Ready');
    await world.stopWorker();
    const alone = await cli.run('status');

    expect(alive.exitCode).toBe(0);
    for (const { stdout } of [alive, alone]) {
      expect(stdout).toMatch(/^shop-\w+@test: approve, for /);
      expect(stdout).toMatch(/deployment +\w{8}, a deployment asked for by bea at /);
      expect(stdout).toMatch(/release +v2 \(/);
      expect(stdout).toMatch(/live +blue/);
      expect(stdout).toMatch(/waits for +an approval/);
      expect(stdout).toMatch(/until +\S+ \(in /);
      expect(stdout).toMatch(/plan +[0-9a-f]{12}/);
      expect(stdout).toMatch(/evidence +[0-9a-f]{12}/);
      expect(stdout).toMatch(/green-2 +green +verified/);
      expect(stdout).toMatch(/What can be done now \(each with .*--destination test .*\)\n/);
      expect(stdout).toMatch(/verdigris approve +gives the new release the traffic/);
    }
    expect(alone.stdout).toContain('No worker answers: this is what was last written down.');
    expect(alive.stdout).not.toContain('No worker answers');
  });

  test('of a finished deployment says how it ended, for machines too', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    const cli = await aCommandLine(world);
    const { stdout } = await cli.run('status');
    expect(stdout).toMatch(
      /^No deployment of shop-\w+@test is open\. The last run was a deployment that ended .* ago/,
    );
    expect(stdout).toMatch(/Promoted shop-\w+@test to v2/);
    expect(JSON.parse((await cli.run('status --json')).stdout)).toMatchObject({
      run: { kind: 'ended', end: { kind: 'outcome', outcome: { kind: 'promoted', live: 'green' } } },
    });
  });

  test('--watch of one that has ended before ends as it did', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    await cli.run('reject --wait');
    const { exitCode, stdout } = await cli.run('status --watch');
    expect({ exitCode, stdout }).toEqual({
      exitCode: 11,
      stdout: expect.stringMatching(/^No deployment of/),
    });
    const [told] = documentsOf((await cli.run('status --watch --json')).stdout);
    expect(told).toMatchObject({ event: 'ended', exitCode: 11, end: { outcome: { kind: 'rejected' } } });
    expect(await cli.run('status')).toMatchObject({ exitCode: 0 });
  });

  test('--watch follows to the end, and says once that no worker answers', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    const watching = cli.start('status --watch');
    await printed(watching, /approve +waits for/);
    await world.stopWorker();
    await printed(watching, 'no worker answers on task queue');
    await world.startWorker();
    // Sent at the moment when the new worker takes the run up: it is heard all the same.
    expect(await cli.run('reject --by ann')).toMatchObject({ exitCode: 0, stderr: '' });
    const { exitCode, stdout } = await watching;
    expect(exitCode).toBe(11);
    expect(stdout.match(/no worker answers/g)).toHaveLength(1);
  });
});

describe('approve', () => {
  test('is for exactly the plan, the evidence and the deployment that it names', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    expect((await cli.run('approve')).stderr).toMatch(
      /^Cannot approve "shop-\w+@test": it has never been deployed/,
    );
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    const { deployment, plan, evidence } = await world.status();

    expect(await cli.run('approve --deployment 00000000')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('needs 00000000 as --deployment says'),
    });
    expect(await cli.run('approve --version v3')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/^Cannot approve "shop-\w+@test": v2 waits for an approval, needs v3 as/),
    });
    expect(await cli.run('approve --plan 000000000000')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('the approval is for 000000000000'),
    });
    expect(await cli.run('approve --evidence 000000000000')).toMatchObject({ exitCode: 2 });
    expect(await world.status()).toMatchObject({ stage: 'approve' });

    const approved = await cli.run(
      `approve --json --by ann --version v2 --deployment ${deployment.slice(-8)} --plan ${plan?.hash.slice(0, 12)}`,
    );
    expect(approved.exitCode).toBe(0);
    expect(JSON.parse(approved.stdout)).toMatchObject({ by: 'ann', evidence: evidence?.hash, deployment });
    expect(await world.handle().result()).toMatchObject({ kind: 'promoted' });
  });

  test('waits for nothing when no worker is alive, and says so', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    await world.stopWorker();
    const { exitCode, stderr } = await cli.run('approve');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/no worker on task queue "test-.*" answered within 15 s, needs one that is alive/);
  });

  test('reads like a sentence where it, or another message, is refused', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    expect((await cli.run('take-over --yes')).stderr).toMatch(
      /^Cannot take over "shop-\w+@test": it has never .*\n {2}begin: verdigris check /,
    );
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    expect((await cli.run('take-over')).stderr).toMatch(/needs --yes\n {2}verdigris take-over --yes /);
    expect((await cli.run('take-over --yes')).stderr).toMatch(
      /^Cannot take over "shop-\w+@test": it goes on by itself \(it is at "approve"/,
    );
    expect((await cli.run('status')).stdout).toMatch(/traffic +counted when this phase ends/);
  });

  test('is refused at another stage with the reason', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    const cli = await aCommandLine(world);
    expect((await cli.run('approve')).stderr).toMatch(
      /^Cannot approve "shop-\w+@test": no deployment is open \(the last run, a deployment, ended .* ago\), needs one\n/,
    );
  });

  test('names the person behind a CI job', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    vi.stubEnv('GITLAB_USER_LOGIN', 'dora');
    onTestFinished(() => void vi.unstubAllEnvs());
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    expect(await world.status()).toMatchObject({ requestedBy: 'dora' });
  });
});

describe('rollback', () => {
  test('undoes an open deployment, and is done when it is back', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    const { exitCode, stdout } = await cli.run('rollback --by ann --reason "wrong one"');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/Rolled back shop-\w+@test during approve\./);
    expect(stdout).toContain('wrong one');
    expect(world.servedBy()).toBe('v1');
  });

  test('switches back after a finished deployment, with the same words', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    const cli = await aCommandLine(world);
    const { exitCode, stdout } = await cli.run('rollback --by ann --reason "too slow"');
    expect(exitCode).toBe(0);
    const [asked, report] = stdout.split('\nRolled back ');
    expect(asked).toContain(
      'all new traffic goes back to it, and that is proved from outside. No server is changed',
    );
    expect(asked).not.toContain('in flight');
    expect(report).toContain('Rollback asked for by ann: too slow');
    expect(report).toContain('blue is live again');
    expect(report).toMatch(/next +verdigris deploy .* with the mended version/);
    expect(world.servedBy()).toBe('v1');
    expect(JSON.parse((await cli.run('status --json')).stdout)).toMatchObject({
      run: { end: { outcome: { kind: 'rolled back', live: 'blue' } } },
    });
  });

  test('is stored while no worker is alive, and begins with the first that comes back', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
    await world.stopWorker();
    const { exitCode, stderr } = await cli.run('rollback --no-wait --by ann');
    expect(exitCode).toBe(0);
    expect(stderr).toContain('the rollback is stored and begins as soon as one is back');
    await world.startWorker();
    expect(await world.handle().result()).toMatchObject({ kind: 'rolled back', during: 'approve' });
  });
});

describe('a rollback that was sent before any worker took the deployment up', () => {
  test('stops it before it begins, with its reason', async ({ aWorld }) => {
    const world = await aWorld();
    await world.stopWorker();
    const handle = await world.start('v2');
    await world.signal('rollback', { by: 'ann', reason: 'wrong one' });
    await world.startWorker();
    expect(await handle.result()).toMatchObject({
      kind: 'rolled back',
      because: { message: expect.stringContaining('ann: wrong one') },
    });
    expect(world.servedBy()).toBe('v1');
  });
});

describe('check and plan', () => {
  test('tell what is, what stands in the way and what would be done', async ({ aWorld }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    world.loadBalancer.recentSwitchesMs.push(1_000, 1_000, 1_000);
    const checked = await cli.run('check');
    expect(checked.stdout).toMatch(/a switch took +1 s lately/);
    expect(checked).toMatchObject({ exitCode: 0, stderr: '' });
    expect(checked.stdout).toMatch(/^shop-\w+@test: all to blue\n/);
    expect(checked.stdout).toMatch(/blue-1 +blue +active, a release that Verdigris did not install/);
    expect(checked.stdout).toContain('Ready: a deployment of');

    const planned = await cli.run(`plan ${cli.artifact('v2')}`);
    expect(planned).toMatchObject({ exitCode: 0, stderr: '' });
    expect(planned.stdout).toMatch(
      /Plan for shop-\w+@test: v2 \(\w+\) on green; blue stays live until the switch/,
    );
    expect(documentsOf((await cli.run(`plan --json ${cli.artifact('v2')}`)).stdout, 'one')[0]).toMatchObject({
      planning: { kind: 'planned', plan: { idle: 'green' } },
    });
  });

  test('end with 2 and every complaint where a deployment would be refused', async ({ aWorld }) => {
    const world = await aWorld();
    world.runForeign('green', 'old');
    world.loadBalancer.stageAsSomebodyElse();
    const cli = await aCommandLine(world);
    for (const words of ['check', `plan ${cli.artifact('v2')}`]) {
      const { exitCode, stdout } = await cli.run(words);
      expect(exitCode).toBe(2);
      expect(stdout).toContain('holds edits that are not published');
      expect(stdout).toContain('Cannot deploy to "green-2"');
    }
    expect(await cli.run('adopt --environment blue')).toMatchObject({ exitCode: 2 });
  });

  test('say whether an artifact would run on the idle servers', async ({ aWorld }) => {
    const world = await aWorld();
    world.release('v2', { kind: 'answers' }, binariesOf({ buildId: 'c0ffee'.repeat(6) }));
    world.release('v3', { kind: 'answers' }, tooNew);
    for (const { name } of serversOf(world.service)) world.server(name).platform = debian12;
    const cli = await aCommandLine(world);
    const withoutVersion = (release: string) => cli.artifact(release).replace(/ --version.*/, '');

    const good = await cli.run(`check ${withoutVersion('v2')}`);
    expect(good).toMatchObject({ exitCode: 0, stderr: '' });
    expect(good.stdout).toMatch(/\w{12} fits the idle servers\n {2}bin\/greeter: x86-64, needs GLIBC_2.34, /);
    expect(good.stdout).toMatch(/green-1 .*; Debian GNU\/Linux 12, x86-64, glibc 2\.36; load balancer: down/);
    expect((await cli.run(`plan ${cli.artifact('v2')}`)).stdout).toMatch(/program +bin\/greeter: x86-64/);

    for (const words of [`check ${withoutVersion('v3')}`, `plan ${cli.artifact('v3')}`]) {
      const { exitCode, stdout } = await cli.run(words);
      expect(exitCode).toBe(2);
      expect(stdout).toContain('on green-1, green-2: it needs GLIBC_2.38 (`__isoc23_strtol`) of libc.so.6');
    }
    const json = documentsOf((await cli.run(`check --json ${withoutVersion('v3')}`)).stdout, 'one')[0];
    expect(json).toMatchObject({ ready: false, complaints: [{ failure: 'ProgramIncompatible' }] });
  });

  test('say that nobody works, instead of waiting for ever', async ({ aWorld }) => {
    const world = await aWorld();
    await world.stopWorker();
    const cli = await aCommandLine(world);
    const { exitCode, stderr } = await cli.run('check --timeout 1s');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/Cannot look at "shop-\w+@test": no answer came within 1 s/);
  });
});
