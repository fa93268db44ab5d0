import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { searchAttributes, startTemporal, type TemporalServer } from '../../../sandbox/temporal/server.js';
import { searchAttributeNames } from '../../../workflows/messages.js';

let directory: string;
let server: TemporalServer | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-temporal-'));
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(directory, { recursive: true, force: true });
});

const service = defineSearchAttributeKey('VerdigrisService', 'KEYWORD');

async function withClient<T>(use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: server!.address, connectTimeout: 2_000 });
  try {
    return await use(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

/** Nobody runs it: it is there to be found again. */
const startOne = (workflowId: string) =>
  withClient((client) =>
    client.workflow.start('anything', {
      workflowId,
      taskQueue: 'nobody-listens',
      typedSearchAttributes: new TypedSearchAttributes([{ key: service, value: 'greeter@production' }]),
    }),
  );

const statusOf = (workflowId: string) =>
  withClient(async (client) => (await client.workflow.getHandle(workflowId).describe()).status.name);

test('answers as soon as it is returned, knows our search attributes, and keeps state over restarts and crashes', async () => {
  server = await startTemporal({ directory });
  const { address, pid } = server;
  await startOne('verdigris/greeter');

  await server.restart();
  expect(server.address).toBe(address);
  expect(server.pid).not.toBe(pid);
  expect(await statusOf('verdigris/greeter')).toBe('RUNNING');

  await server.kill();
  await expect(statusOf('verdigris/greeter')).rejects.toThrow(/connect/i);
  await server.restart();
  expect(await statusOf('verdigris/greeter')).toBe('RUNNING');
  expect(await readFile(join(directory, 'temporal.log'), 'utf8')).toContain('Temporal Server');
});

test('serves the web UI where it says', async () => {
  server = await startTemporal({ ui: true });
  const answer = await fetch(server.uiUrl!);
  expect(answer.status).toBe(200);
  expect(await answer.text()).toContain('<html');
});

test('has no web UI unless asked for, and may be closed twice', async () => {
  server = await startTemporal();
  expect(server.uiUrl).toBeUndefined();
  await server.close();
  await server.close();
});

test('tells why it cannot start on a port that is taken', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const address = other.address();
  if (address === null || typeof address === 'string') throw new Error('The listener has no port');
  try {
    await expect(startTemporal({ port: address.port })).rejects.toThrow(
      new RegExp(`Cannot start Temporal on "127.0.0.1:${address.port}": [^]*address already in use`),
    );
  } finally {
    other.close();
  }
});

test('registers the search attributes that the workflows set', () => {
  expect(Object.keys(searchAttributes).sort()).toEqual(Object.values(searchAttributeNames).sort());
});
