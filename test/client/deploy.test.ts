import { describe, expect, onTestFinished } from 'vitest';
import { test, type World } from '../support/world.js';
import { commandLineFor, printed, type CommandLine } from './support/command-line.js';

async function aCommandLine(world: World): Promise<CommandLine> {
  const cli = await commandLineFor(world);
  onTestFinished(() => cli.close());
  return cli;
}

describe('deploy', () => {
  test('follows a deployment to its promotion, one line per phase, and repeats what matters', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const cli = await aCommandLine(world);
    const deploying = cli.start(`deploy --wait ${cli.artifact('v2')}`);
    await printed(deploying, /approve {3,}waits for/);
    const approved = await cli.run('approve --by ann --reason "looks good"');
    const deployed = await deploying;

    expect(approved).toMatchObject({ exitCode: 0 });
    expect(deployed.exitCode).toBe(0);
    console.log(approved.stdout, deployed.all);
  });
});
