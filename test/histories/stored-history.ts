import { readFileSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

type History = Parameters<typeof historyToJSON>[0];

/** The parts of an event that tests look at. */
export interface StoredEvent {
  readonly eventId: string;
  readonly eventType: string;
  readonly [attributes: string]: unknown;
}

export interface StoredHistory {
  readonly events: readonly StoredEvent[];
}

const folder = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

export const fileOf = (name: string): string => `${folder}${name}.json`;

/** The names of all that is stored. */
export const storedNames = (): readonly string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => basename(file, '.json'))
    .sort();

export const readHistory = (name: string): StoredHistory =>
  JSON.parse(readFileSync(fileOf(name), 'utf8')) as StoredHistory;

/**
 * A history as it is stored: one event a line, without anything that tells on which machine or in which folder it was recorded.
 * It ends with what the last completed workflow task led to: replaying a task that was only begun proves nothing.
 */
export function storable(history: History): string {
  const { events } = JSON.parse(historyToJSON(history)) as StoredHistory;
  const lines = events.slice(0, endOfLastTask(events)).map((event) => JSON.stringify(event, scrubbed));
  return `{"events":[\n${lines.join(',\n')}\n]}\n`;
}

export const isOfTask = (
  { eventType }: StoredEvent,
  state: 'SCHEDULED' | 'STARTED' | 'COMPLETED',
): boolean => eventType === `EVENT_TYPE_WORKFLOW_TASK_${state}`;

function endOfLastTask(events: readonly StoredEvent[]): number {
  const completed = events.findLastIndex((event) => isOfTask(event, 'COMPLETED'));
  const next = events.findIndex((event, index) => index > completed && isOfTask(event, 'SCHEDULED'));
  return next < 0 ? events.length : next;
}

function scrubbed(key: string, value: unknown): unknown {
  if (key === 'stackTrace') return '';
  if (key === 'identity' || key === 'firstExecutionRunId') return typeof value === 'string' ? 'recorded' : value;
  if (typeof value !== 'string') return value;
  return value.replaceAll(root, '/verdigris/').replaceAll(hostname(), 'recorder').replaceAll(/\d+@recorder/g, 'recorded');
}
