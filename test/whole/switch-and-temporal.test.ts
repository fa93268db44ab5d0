import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { startTemporal } from '../../sandbox/temporal/server.js';
import { lost, test, underLoad } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 300_000 });
takeTurns();

test('a switch by hand while Temporal is down is found by the next deployment, and by one that was open, which asks a person', async ({
  aSandbox,
}) => {
  const folder = await mkdtemp(join(tmpdir(), 'verdigris-without-temporal-'));
  // Where the worker and the command keep what they have on record.
  vi.stubEnv('XDG_STATE_HOME', join(folder, 'state'));
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });
  const temporal = await startTemporal({ directory: join(folder, 'temporal') });
  onTestFinished(() => temporal.close());
  const running = await aSandbox({ serversPerEnvironment: 1, temporal: temporal.address });
  await running.promote('2.0.0');

  const { tally } = await underLoad(running, async () => {
    // No deployment is open.
    expect((await running.switchByHand('blue', ['--by', 'bea'])).output).toMatch(
      /^Temporal answers, and no run of \S+ is open: verdigris rollback/,
    );
    expect(await running.servedBy()).toBe('1.0.0');
    expect(await running.verdigris(['rollback'])).toMatchObject({
      exitCode: 2,
      output: expect.stringMatching(/it was switched to blue by hand[\s\S]*by bea[\s\S]*rollback --force/),
    });
    expect((await running.verdigris(['check'])).output).toMatch(/by hand +green -> blue by bea/);

    // The next deployment carries on from there, and says what it found.
    const handle = await running.start(await running.build('3.0.0'), '3.0.0');
    const { plan } = await running.untilStage('approve');
    expect(plan).toMatchObject({ live: 'blue', idle: 'green' });
    expect(plan?.warnings.join()).toMatch(/made by hand, without Temporal: green -> blue by bea/);

    // It is open while it waits. A worker lives, so that it is the one to go back.
    expect(await running.switchByHand('green', ['--force'])).toMatchObject({
      exitCode: 2,
      output: expect.stringMatching(
        /a deployment \(\w+, asked for by a test\) is open[\s\S]*verdigris rollback/,
      ),
    });

    await temporal.kill();
    const moved = await running.switchByHand('green', ['--by', 'cleo']);
    expect(moved.output).toMatch(/^Going on without Temporal\. /);
    expect([moved.exitCode, await running.servedBy()]).toEqual([0, '3.0.0']);
    await temporal.restart();

    const { problem } = await running.untilStage('needs a person');
    expect(problem?.message).toMatch(/somebody moved the traffic[\s\S]*verdigris retry/);
    expect((await running.switchByHand('blue')).output).toMatch(/is open/);
    await temporal.kill();
    expect(await running.switchByHand('blue', ['--by', 'cleo'])).toMatchObject({ exitCode: 0 });
    await temporal.restart();
    await running.until(({ stage }) => stage === 'needs a person');
    await running.send('retry', { by: 'ann' });
    await running.untilStage('approve');
    await running.send('approve', { by: 'ann' });
    expect((await handle.result()) as Outcome).toMatchObject({ kind: 'promoted', live: 'green' });
  });

  expect(lost(tally), JSON.stringify(tally)).toBe(0);
  expect(await running.servedBy()).toBe('3.0.0');
});
