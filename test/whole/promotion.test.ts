import { describe, expect, vi } from 'vitest';
import { workflowIdOf } from '../../domain/names.js';
import { stepsOf } from '../support/history-size.js';
import { lost, test, underLoad, type RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('a release of a real program', () => {
  test('goes live without losing a request, with one refresh, one start and one installation per server', async ({
    aSandbox,
  }) => {
    const running = await aSandbox();
    const before = await running.fingerprint('blue');

    const { result: outcome, tally } = await underLoad(running, () => running.deploy('2.0.0'));

    expect(outcome).toMatchObject({ kind: 'promoted', live: 'green', tally: { failed: 0 } });
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(tally.sent).toBeGreaterThan(100);
    expect(await running.servedBy()).toBe('2.0.0');
    expect(await running.fingerprint('blue')).toEqual(before);
    expect(running.refreshes()).toBe(1);
    expect(await servicesInSteps(running), 'the built workflows name it').toEqual([running.service.id]);
    for (const { name } of running.servers('green')) {
      expect(running.starts(name)).toBe(1);
      expect(await running.stepsOn(name)).toEqual([
        expect.stringMatching(/^installs /),
        expect.stringMatching(/^stops .* activates /),
        expect.stringMatching(/^starts /),
      ]);
    }
  });

  test('takes one connection and at most 12 commands per server from start to verified', async ({
    aSandbox,
  }) => {
    const running = await aSandbox();
    await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');

    for (const { name, machine } of running.sandbox.servers) {
      const kinds = machine.log().map(({ kind }) => kind);
      expect({ name, logins: kinds.filter((kind) => kind === 'login').length }).toEqual({ name, logins: 1 });
      expect(kinds.filter((kind) => kind === 'exec').length, name).toBeLessThanOrEqual(12);
    }
  });
});

/** What stands for the service in the inputs of a deployment's steps. */
async function servicesInSteps({ client, service }: RunningSandbox): Promise<readonly unknown[]> {
  const steps = await stepsOf(client.workflow.getHandle(workflowIdOf(service.id)));
  const inputs = steps.map(({ input }) => JSON.parse(input || '{}') as object);
  return [...new Set(inputs.flatMap((input) => ('service' in input ? [input.service] : [])))];
}
