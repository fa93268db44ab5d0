import type { WorkflowHandle } from '@temporalio/client';
import { colors } from '../../domain/color.js';
import type { Service } from '../../domain/service.js';
import { serverNamed } from './world.js';

/** What a run has left in Temporal, in bytes where nothing else is said. */
export interface HistorySize {
  readonly events: number;
  readonly history: number;
  readonly memo: number;
  /** Times that it was written. */
  readonly writtenMemos: number;
  readonly longestInput: Longest;
  readonly longestResult: Longest;
}

interface Longest {
  readonly of: string;
  readonly bytes: number;
}

/** A service with so many servers in each environment. */
export const fleetOf = (size: number): Pick<Service, 'environments'> => {
  const [blue, green] = colors.map((color) =>
    Array.from({ length: size }, (_, index) => serverNamed('shop', color, index + 1)),
  );
  return { environments: { blue: blue ?? [], green: green ?? [] } };
};

export async function historySizeOf(handle: WorkflowHandle): Promise<HistorySize> {
  const { historyLength, historySize = NaN, memo } = await handle.describe();
  const [steps, { events }] = await Promise.all([stepsOf(handle), handle.fetchHistory()]);
  return {
    events: historyLength,
    history: historySize,
    writtenMemos: (events ?? []).filter((event) => event.workflowPropertiesModifiedEventAttributes).length,
    memo: Buffer.byteLength(JSON.stringify(memo ?? {})),
    longestInput: longest(steps, 'input'),
    longestResult: longest(steps, 'result'),
  };
}

/** A step as its events have it: the texts of its payloads. */
export interface StoredStep {
  readonly of: string;
  readonly input: string;
  readonly result: string;
}

/** Every step that was done, in the order in which they were begun. */
export async function stepsOf(handle: WorkflowHandle): Promise<readonly StoredStep[]> {
  const { events } = await handle.fetchHistory();
  const results = new Map(
    (events ?? []).flatMap(({ activityTaskCompletedEventAttributes: done }) =>
      done ? [[String(done.scheduledEventId), textOf(done.result)] as const] : [],
    ),
  );
  return (events ?? []).flatMap(({ eventId, activityTaskScheduledEventAttributes: scheduled }) =>
    scheduled
      ? [
          {
            of: scheduled.activityType?.name ?? '?',
            input: textOf(scheduled.input),
            result: results.get(String(eventId)) ?? '',
          },
        ]
      : [],
  );
}

type Payloads = { readonly payloads?: readonly { readonly data?: Uint8Array | null }[] | null } | null;

const textOf = (payloads: Payloads | undefined): string =>
  (payloads?.payloads ?? []).map(({ data }) => Buffer.from(data ?? []).toString('utf8')).join('\n');

function longest(steps: readonly StoredStep[], part: 'input' | 'result'): Longest {
  const [first] = steps.toSorted((a, b) => b[part].length - a[part].length);
  return { of: first?.of ?? 'nothing', bytes: first?.[part].length ?? 0 };
}
