import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { describe, expect, inject, test } from 'vitest';
import * as workflows from '../../workflows/index.js';
import { workflowTypes } from '../../workflows/messages.js';
import { closedScenes, openScenes } from '../histories/scenes.js';
import {
  isOfTask,
  readHistory,
  storedNames,
  type StoredEvent,
  type StoredHistory,
} from '../histories/stored-history.js';
import { keepQuiet } from '../support/runtime.js';

// What a replay finds is in its result, and some are meant to fail.
keepQuiet();

const closed = Object.keys(closedScenes);
const open = Object.keys(openScenes);

async function replay(
  history: StoredHistory,
  codePath = inject('workflowBundle'),
): Promise<Error | undefined> {
  const histories = [{ workflowId: 'stored', history }] as unknown as Parameters<
    typeof Worker.runReplayHistories
  >[1];
  for await (const { error } of Worker.runReplayHistories({ workflowBundle: { codePath } }, histories))
    return error;
  throw new Error('nothing was replayed');
}

/** The bundle with one piece of its code replaced, in a file of its own beside it. */
async function changedBundle(name: string, piece: string | RegExp, by: string): Promise<string> {
  const path = inject('workflowBundle');
  const code = await readFile(path, 'utf8');
  const changed = code.replace(piece, by);
  if (changed === code) throw new Error(`Cannot change "${name}": the bundle does not hold ${String(piece)}`);
  const file = join(dirname(path), `${name}.cjs`);
  await writeFile(file, changed);
  return file;
}

describe('the workflows of today go on with', () => {
  test.for(closed)('a run that has ended: %s', async (name) => {
    expect(await replay(readHistory(name))).toBeUndefined();
  });

  test.for(open)('a run that waits: %s', async (name) => {
    expect(await replay(readHistory(name))).toBeUndefined();
  });
});

describe('what is stored', () => {
  test('is what the scenes record, and nothing else', () => {
    expect(storedNames()).toEqual([...closed, ...open].toSorted());
  });

  test('has an ended run of every workflow type that exists', () => {
    const types = closed.map((name) => {
      const started = readHistory(name).events[0]?.['workflowExecutionStartedEventAttributes'];
      return (started as { readonly workflowType: { readonly name: string } }).workflowType.name;
    });
    expect([...new Set(types)].toSorted()).toEqual(Object.values(workflowTypes).toSorted());
    expect(Object.keys(workflows).toSorted()).toEqual(Object.values(workflowTypes).toSorted());
  });

  test.for(closed)('ends as told: %s', (name) => {
    const last = readHistory(name).events.at(-1)?.eventType;
    expect(last).toBe(`EVENT_TYPE_WORKFLOW_EXECUTION_${name === 'taken-over' ? 'FAILED' : 'COMPLETED'}`);
  });

  test.for(open)(
    'ends with a task that was completed: one that was only begun is compared with nothing: %s',
    (name) => {
      const { events } = readHistory(name);
      const completed = events.findLastIndex((event) => isOfTask(event, 'COMPLETED'));
      expect(events.slice(completed + 1).filter((event) => isOfTask(event, 'SCHEDULED'))).toEqual([]);
    },
  );

  test.for([...closed, ...open])('names no machine and no folder, and is small: %s', (name) => {
    const { events } = readHistory(name);
    const text = JSON.stringify(events) + decodedPayloads(events);
    expect(text).not.toMatch(/"(\/|file:\/\/\/)(home|root|work|tmp|Users)\//);
    expect(text).not.toMatch(/\bat .*\/node_modules\//);
    expect(JSON.stringify(events)).not.toMatch(/"identity":"(?!recorded")/);
    expect(JSON.stringify(events).length).toBeLessThan(400_000);
  });
});

describe('a replay fails', () => {
  test.for([...closed, ...open])('when the last step of %s was another one', async (name) => {
    const { events } = readHistory(name);
    const last = events.findLastIndex(({ eventType }) => eventType === 'EVENT_TYPE_ACTIVITY_TASK_SCHEDULED');
    const changed = events.map((event, index) => (index === last ? withOtherActivity(event) : event));
    expect(await replay({ events: changed })).toMatchObject({ name: 'DeterminismViolationError' });
  });

  test('when a phase is missing from the workflow', async () => {
    const bundle = await changedBundle(
      'without-install',
      /await \(0,\w+\.install\)\(run, plan, observation\);/,
      '',
    );
    for (const name of ['promoted', 'waiting-for-approval', 'rolling-back-with-trouble']) {
      expect(await replay(readHistory(name), bundle)).toMatchObject({ name: 'DeterminismViolationError' });
    }
  });

  test('when only the very wait that a run is in has changed', async () => {
    const bundle = await changedBundle(
      'without-watch',
      "watch.watchLoadBalancer.executeWithOptions({\n            summary: 'is the load balancer still as planned'",
      "watch.watchEnvironment.executeWithOptions({\n            summary: ''",
    );
    expect(await replay(readHistory('waiting-for-approval'), bundle)).toMatchObject({
      name: 'DeterminismViolationError',
    });
    expect(await replay(readHistory('rolled-back-from-verify'), bundle)).toBeUndefined();
  });

  test.for(['promoted', 'inspection'])('when the bundle does not know the workflow of %s', async (name) => {
    const history = readHistory(name);
    const [first, ...rest] = history.events;
    const started = first?.['workflowExecutionStartedEventAttributes'] as object;
    const unknown = {
      ...first!,
      workflowExecutionStartedEventAttributes: { ...started, workflowType: { name: 'noSuchWorkflow' } },
    };
    expect(await replay({ events: [unknown, ...rest] })).toBeInstanceOf(Error);
  });
});

function withOtherActivity(event: StoredEvent): StoredEvent {
  const attributes = event['activityTaskScheduledEventAttributes'] as object;
  return {
    ...event,
    activityTaskScheduledEventAttributes: { ...attributes, activityType: { name: 'someOtherStep' } },
  };
}

/** Every payload in clear text. */
function decodedPayloads(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, member]) =>
      key === 'data' && typeof member === 'string'
        ? Buffer.from(member, 'base64').toString('utf8')
        : decodedPayloads(member),
    )
    .join('');
}
