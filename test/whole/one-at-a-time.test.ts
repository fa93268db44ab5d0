import { describe, expect, vi } from 'vitest';
import { test } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('two deployments of one service at once', () => {
  test('the second command is refused with 2, and told who holds the service and since when', async ({
    aSandbox,
  }) => {
    const running = await aSandbox({ serversPerEnvironment: 1 });
    const { archive } = await running.build('2.0.0');
    const deploy = (by: string, ...words: readonly string[]) =>
      running.verdigris(['deploy', '--artifact', archive, '--version', '2.0.0', '--by', by, ...words]);
    expect(await deploy('bea', '--until', 'approve')).toMatchObject({ exitCode: 0 });
    const starts = running.starts('green-1');

    const second = await deploy('carl', '--wait');

    expect(second.exitCode).toBe(2);
    expect(second.output).toMatch(
      /^Cannot deploy "greeter-\w+@production": a deployment \(\w{8}, asked for by bea\) is open since \S+/,
    );
    expect(second.output).toMatch(/verdigris status --watch/);
    expect(running.starts('green-1')).toBe(starts);
  });
});
