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

/** A history as it is stored: nothing in it tells on which machine, or in which folder, it was recorded. */
export function storable(history: History): string {
  const text = JSON.stringify(JSON.parse(historyToJSON(history)), scrubbed, 1);
  return `${text}\n`;
}

function scrubbed(key: string, value: unknown): unknown {
  if (key === 'stackTrace') return '';
  if (key === 'identity' || key === 'firstExecutionRunId') return typeof value === 'string' ? 'recorded' : value;
  if (typeof value !== 'string') return value;
  return value.replaceAll(root, '/verdigris/').replaceAll(hostname(), 'recorder').replaceAll(/\d+@recorder/g, 'recorded');
}
