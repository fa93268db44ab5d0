import { describe, expect } from 'vitest';
import { messageNames } from '../../domain/phase.js';
import { queue } from '../../domain/turns.js';
import { searchAttributeNames, workflowTypes } from '../../workflows/messages.js';
import { readHistory, storedNames } from '../histories/stored-history.js';
import { test, type World } from '../support/world.js';

/** What the Temporal UI is given to show: for many people it is the only screen. */
describe.concurrent('a run tells its story in the Temporal UI', () => {
  test('what is awaited and what to send, and each message with what it does', async ({ aWorld }) => {
    const world = await aWorld();
    await world.start('v2');
    const { plan, evidence } = await world.untilStage('approve');

    const { currentDetails, definition } = await metadataOf(world);
    expect(currentDetails).toMatch(/^## shop-\w+@test: approve$/m);
    expect(currentDetails).toMatch(/^Waits for: \*\*an approval: approve or reject\*\*$/m);
    expect(currentDetails).toMatch(/^Accepted now: `approve`, `reject`, `rollback`\. Send one as a signal/m);
    expect(currentDetails).toContain(`- plan: ${plan?.hash.slice(0, 12)}`);
    expect(currentDetails).toContain(`- evidence: ${evidence?.hash.slice(0, 12)}`);
    const { signalDefinitions, updateDefinitions } = definition;
    const described = (messages: readonly Described[]) =>
      messages
        .filter(({ description }) => (description ?? '').length > 20)
        .map(({ name }) => name)
        .toSorted();
    expect(described(updateDefinitions)).toEqual([...messageNames].toSorted());
    expect(described(signalDefinitions)).toEqual([...messageNames, queue.notice].toSorted());
  });

  test('once it has ended, how, in lists too', async ({ aWorld }) => {
    const world = await aWorld();
    await world.deploy('v2');
    const { searchAttributes } = await world.handle().describe();
    expect(searchAttributes).toMatchObject({
      [searchAttributeNames.service]: [world.service.id],
      [searchAttributeNames.phase]: ['promoted'],
      [searchAttributeNames.live]: ['green'],
      [searchAttributeNames.release]: ['v2'],
    });
    expect((await metadataOf(world)).currentDetails).toMatch(/^## shop-\w+@test: promoted$/m);
  });

  test('why it was undone, once it has ended', async ({ aWorld }) => {
    const world = await aWorld();
    const handle = await world.start('v2');
    await world.untilStage('approve');
    await handle.signal('reject', { reason: 'not today' });
    await handle.result();
    const { currentDetails } = await metadataOf(world);
    expect(currentDetails).toMatch(/^## shop-\w+@test: rejected$/m);
    expect(currentDetails).toMatch(/^\*\*Rejected by .+: not today\*\*$/m);
  });
});

describe('a line that is too long for Temporal', () => {
  test('is cut, and keeps nobody from deploying', async ({ aWorld }) => {
    const world = await aWorld();
    const { artifact, ...request } = world.request('v2');
    const url = `${artifact.url}?${'"é'.repeat(400)}`;
    const handle = await world.client.workflow.start(workflowTypes.deployment, {
      workflowId: world.workflowId,
      taskQueue: world.taskQueue,
      args: [{ ...request, artifact: { ...artifact, url } }],
    });
    await world.untilStage('approve');

    const { events } = await handle.fetchHistory();
    const summaries = (events ?? []).flatMap(({ userMetadata }) => userMetadata?.summary?.data ?? []);
    const longest = Math.max(...summaries.map(({ length }) => length));
    expect(longest).toBeGreaterThan(300);
    expect(longest).toBeLessThanOrEqual(400);
  });
});

describe('every step and every wait has a line of its own', () => {
  test.for(storedNames())('%s', (name) => {
    const silent = readHistory(name).events.filter(
      ({ eventType, userMetadata }) =>
        /ACTIVITY_TASK_SCHEDULED|TIMER_STARTED/.test(eventType) && !(userMetadata as Summarized)?.summary,
    );
    expect(silent.map(({ eventId, eventType }) => ({ eventId, eventType }))).toEqual([]);
  });
});

type Summarized = { readonly summary?: object } | undefined;

interface Described {
  readonly name: string;
  readonly description?: string;
}

interface Metadata {
  readonly currentDetails: string;
  readonly definition: {
    readonly signalDefinitions: readonly Described[];
    readonly updateDefinitions: readonly Described[];
  };
}

const metadataOf = (world: World): Promise<Metadata> =>
  world.handle().query<Metadata>('__temporal_workflow_metadata');
