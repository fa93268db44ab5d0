import { describe, expect, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { lost, test, type RunningSandbox } from './support/running-sandbox.js';
import { holdTurn } from '../support/turns.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 300_000 });
takeTurns();

describe('services that share a load balancer', () => {
  test('deploy and roll back at once: one refresh each, nothing of another one in it, and no request lost', async ({
    aSandbox,
  }) => {
    const first = await aSandbox({ serversPerEnvironment: 1 });
    const { sandbox } = first;
    const beside = (index: number) => ({
      sandbox,
      ports: { production: 80 + index, staging: 8888 + index },
    });
    const second = await aSandbox({ serversPerEnvironment: 1, beside: beside(1) });
    const third = await aSandbox({
      serversPerEnvironment: 1,
      beside: beside(2),
      settings: { bake: { duration: '10m' } },
    });
    const services = [first, second, third];
    sandbox.api.admin.behave({ doingMs: 2_000 });
    const control = services.map((service) => service.visitors());
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    for (const load of control)
      expect(lost(await load.stop()), 'void: the control has lost requests').toBe(0);
    const loads = services.map((service) => service.visitors());

    // At once.
    const atOnce = [await toApproval(first, '2.0.0'), await toApproval(second, '2.0.0')];
    await Promise.all([first.send('approve'), second.send('approve')]);
    const outcomes = await Promise.all(atOnce.map((handle) => handle.result() as Promise<Outcome>));
    expect(outcomes).toMatchObject([
      { kind: 'promoted', live: 'green', tally: { failed: 0 } },
      { kind: 'promoted', live: 'green', tally: { failed: 0 } },
    ]);
    expect(publications(first, services).toSorted()).toEqual(['service 1', 'service 2']);

    for (const service of [first, second])
      expect(await service.verdigris(['adopt'])).toMatchObject({ exitCode: 0 });

    // One publishes and loses its worker, another one waits, and a third one has to go back.
    const back = await toApproval(third, '2.0.0');
    await third.send('approve');
    await third.untilStage('bake');
    const [holding, waiting] = [await toApproval(first, '3.0.0'), await toApproval(second, '3.0.0')];
    // The queue lives with the worker of whoever asks first: the second one's, who keeps it.
    const turn = await holdTurn({ ...pickFrom(third), taskQueue: second.taskQueue });
    const refreshes = first.refreshes();
    await first.send('approve');
    await untilBehind(first, third);
    await turn.giveBack();
    await vi.waitUntil(() => first.refreshes() > refreshes, { timeout: 60_000, interval: 20 });
    await first.killWorker();
    await second.send('approve');
    await untilBehind(second, first);
    expect(await second.verdigris(['status'])).toMatchObject({
      output: expect.stringContaining(
        `its turn at ${sandbox.api.serviceName}: ${first.service.id} publishes`,
      ),
    });
    expect(await third.verdigris(['rollback', '--no-wait'])).toMatchObject({ exitCode: 0 });
    await untilBehind(third, first);
    await first.startWorker();

    expect(await back.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(await holding.result()).toMatchObject({ kind: 'promoted', live: 'blue' });
    expect(await waiting.result()).toMatchObject({ kind: 'promoted', live: 'blue' });
    expect(publications(first, services).slice(-3)).toEqual(['service 1', 'service 3', 'service 2']);

    for (const [index, load] of loads.entries()) {
      const tally = await load.stop();
      expect(lost(tally), `service ${index + 1}: ${JSON.stringify(tally)}`).toBe(0);
      expect(tally.sent).toBeGreaterThan(100);
    }
    expect(await Promise.all(services.map((service) => service.servedBy()))).toEqual([
      '3.0.0',
      '3.0.0',
      '1.0.0',
    ]);
  });
});

const pickFrom = ({ client, service }: RunningSandbox) => ({ client, service });

const untilBehind = (waiting: RunningSandbox, holding: RunningSandbox) =>
  waiting.until(({ awaits }) => awaits?.includes(`${holding.service.id} publishes since`) ?? false);

async function toApproval(running: RunningSandbox, version: string) {
  const handle = await running.start(await running.build(version), version);
  await running.untilStage('approve');
  return handle;
}

/** Whose edits went out with each refresh that Verdigris ordered, one entry per refresh. */
function publications(any: RunningSandbox, services: readonly RunningSandbox[]): readonly string[] {
  const whose = (write: string): string => {
    const index = services.findIndex(({ sandbox: { loadBalancer } }) =>
      [
        `http/frontend/${loadBalancer.frontend}`,
        `http/frontend/${loadBalancer.stagingFrontend}`,
        ...Object.values(loadBalancer.farms).map((farm) => `http/farm/${farm}/`),
      ].some((path) => `${write}/`.includes(`${path.replace(/\/$/, '')}/`)),
    );
    return `service ${index + 1}`;
  };
  const found: string[] = [];
  let stored = new Set<string>();
  for (const write of any.writes()) {
    if (write !== 'POST refresh') stored.add(whose(write));
    else {
      found.push([...stored].toSorted().join(' and '));
      stored = new Set();
    }
  }
  return found;
}
