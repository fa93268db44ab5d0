import { describe, expect } from 'vitest';
import { Failure } from '../../domain/failures.js';
import { test, type World } from '../support/world.js';

describe.concurrent('an approval', () => {
  test('is void when what proved itself was started again since: it is asked for once more', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    const { evidence } = await world.untilStage('approve');
    world.server('green-1').reboot();
    await world.send('approve', { by: 'ann' });

    const asked = await world.until(
      ({ notes, awaits }) => /once more/.test(notes.join()) && awaits !== undefined,
    );
    expect(asked.evidence?.hash).not.toBe(evidence?.hash);
    await expect(world.send('approve', { evidence: evidence?.hash ?? '' })).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/the evidence is/) },
    });
    await world.send('approve', { by: 'ann', evidence: asked.evidence?.hash ?? '' });
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
  });

  test('is void when another program runs live than when the plan was made', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.runForeign('blue', 'a hotfix');
    await world.send('approve');

    expect(await handle.result()).toMatchObject({
      kind: 'rolled back',
      during: 'approve',
      live: 'blue',
      because: { failure: 'PlanDrifted' },
    });
    expect(world.servedBy()).toBe('a hotfix');
  });

  test('is asked for with what is known of a way back that carries less', async ({ aWorld }) => {
    const world = await aWorld();
    world.server('blue-2').crash();
    await world.start('v2');
    const { plan } = await world.untilStage('approve');
    expect(plan?.warnings.join()).toContain('blue-2 does not run');
  });
});

describe.concurrent('what somebody else has stored and not published while people decide', () => {
  const publishes = ({ loadBalancer: { calls } }: World): number =>
    calls.filter(({ operation }) => operation === 'publish').length;

  test('is not published by the switch: a person is asked, and it goes on once that is settled', async ({
    aWorld,
  }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.stageAsSomebodyElse('farm/other');
    await world.send('approve');

    const { problem } = await world.untilStage('needs a person');
    expect(problem).toMatchObject({ failure: 'StagedEditsFound' });
    expect(problem?.message).toMatch(/farm\/other was changed(.|\n)*verdigris retry/);
    expect(publishes(world)).toBe(0);
    world.loadBalancer.editAsSomebodyElse('farm/other');
    await world.send('retry');
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
    expect(publishes(world)).toBe(1);
  });

  test('is not published by going on regardless: it is asked for again', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    world.loadBalancer.stageAsSomebodyElse('farm/other');
    await world.send('approve');
    const first = await world.untilStage('needs a person');
    await world.send('retry');
    const again = await world.until(
      ({ stage, since }) => stage === 'needs a person' && since !== first.since,
    );
    expect(again.problem).toMatchObject({ failure: 'StagedEditsFound' });
    await world.send('rollback', { by: 'ann' });
    expect(await handle.result()).toMatchObject({ kind: 'rolled back', live: 'blue' });
    expect(publishes(world)).toBe(0);
  });
});

describe.concurrent('a look at the load balancer that fails', () => {
  test.for(['approve', 'bake'] as const)(
    'during %s says nothing of the release',
    async (phase, { aWorld }) => {
      const world = await aWorld();
      const handle = await world.start('v2');
      await world.untilStage('approve');
      if (phase === 'bake') {
        await world.send('approve');
        await world.untilStage('bake');
      }
      const { calls } = world.loadBalancer;
      const before = calls.length;
      world.loadBalancer.failNext(new Failure('CredentialRefused', 'Cannot call GET: it has expired'));
      await world.until(() => calls.length > before + 2);
      if (phase === 'approve') await world.send('approve');
      expect(await handle.result()).toMatchObject({ kind: 'promoted' });
    },
  );
});
