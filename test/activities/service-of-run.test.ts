import { createServer, type AddressInfo } from 'node:net';
import { Client, Connection } from '@temporalio/client';
import {
  ApplicationFailure,
  defaultDataConverter,
  type Payload,
  type PayloadCodec,
} from '@temporalio/common';
import { encodeToPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failingByName } from '../../activities/fail.js';
import { withServiceOfRun } from '../../activities/service-of-run.js';
import { fleetOf } from '../support/history-size.js';

const shop = { id: 'shop@test', ...fleetOf(2) };
const named = { service: shop.id, server: 'green-1' };

/** A step that gives what it was given, and those who take it for a run. */
function aStep() {
  const { step } = failingByName(withServiceOfRun({ step: async (input: object) => input }));
  return (client: Client, runId = 'run-1', input: object = named) =>
    new MockActivityEnvironment({ workflowExecution: { workflowId: 'shop', runId } }, { client }).run(
      step,
      input,
    );
}

/** Where runs were started with `startInput`; `fails` is asked before each answer. */
function temporalWith(startInput: unknown, fails: () => Error | undefined = () => undefined) {
  const asked: object[] = [];
  const loadedDataConverter = { ...defaultDataConverter, payloadCodecs: [backwards] };
  const workflowService = {
    getWorkflowExecutionHistory: async (request: object) => {
      asked.push(request);
      await new Promise((resolve) => setImmediate(resolve));
      const error = fails();
      if (error) throw error;
      const input = { payloads: await encodeToPayloads(loadedDataConverter, startInput) };
      return { history: { events: [{ workflowExecutionStartedEventAttributes: { input } }] } };
    },
  };
  const work = <T>(_until: unknown, call: () => Promise<T>) => call();
  const client = {
    options: { namespace: 'releases', loadedDataConverter },
    withDeadline: work,
    withAbortSignal: work,
    workflowService,
  } as unknown as Client;
  return { client, asked };
}

/** What only the client's own data converter can read. */
const backwards: PayloadCodec = {
  encode: async (payloads) => payloads.map(turned),
  decode: async (payloads) => payloads.map(turned),
};
const turned = ({ data, ...rest }: Payload): Payload => ({
  ...rest,
  data: Uint8Array.from(data ?? []).reverse(),
});

describe('a step whose input names its service', () => {
  test.for([
    ['a request', { service: shop, requestedBy: 'ann' }],
    ['the service alone', shop],
  ])('is given the one that its run was started with, as %s', async ([, startInput]) => {
    const { client, asked } = temporalWith(startInput);
    expect(await aStep()(client)).toEqual({ ...named, service: shop });
    expect(asked).toEqual([
      { namespace: 'releases', execution: { workflowId: 'shop', runId: 'run-1' }, maximumPageSize: 1 },
    ]);
  });

  test('reads it once with all others of the run, and for another run again', async () => {
    const { client, asked } = temporalWith({ service: shop });
    const step = aStep();
    await Promise.all(Array.from({ length: 20 }, () => step(client)));
    await step(client);
    expect(asked).toHaveLength(1);
    await step(client, 'run-2');
    expect(asked).toHaveLength(2);
  });

  test('keeps what was read for a hundred runs, and forgets the one that was asked for longest ago', async () => {
    const { client, asked } = temporalWith({ service: shop });
    const step = aStep();
    for (let run = 1; run <= 100; run++) await step(client, `run-${run}`);
    await step(client, 'run-1');
    await step(client, 'run-101');
    expect(asked).toHaveLength(101);
    await step(client, 'run-1');
    expect(asked).toHaveLength(101);
    await step(client, 'run-2');
    expect(asked).toHaveLength(102);
  });

  test('fails by name and is tried again where Temporal cannot tell, and reads anew then', async () => {
    const errors = [new Error('14 UNAVAILABLE: it restarts')];
    const { client } = temporalWith({ service: shop }, () => errors.pop());
    const step = aStep();
    const failure = await step(client).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect(failure).toMatchObject({
      type: 'TemporalUnreachable',
      nonRetryable: false,
      message: expect.stringMatching(
        /^Cannot take a step for "shop@test": .*\(14 UNAVAILABLE: it restarts\), needs .*\n {2}.*verdigris status$/,
      ),
    });
    expect(await step(client)).toMatchObject({ service: shop });
  });

  test('does not wait for a Temporal that is silent until its heartbeats are missed', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void silent.close());
    const connection = Connection.lazy({ address: `127.0.0.1:${(silent.address() as AddressInfo).port}` });
    onTestFinished(() => connection.close());
    await expect(aStep()(new Client({ connection }))).rejects.toMatchObject({ type: 'TemporalUnreachable' });
  });

  test.for<readonly [string, unknown, string]>([
    ['another service', { service: { ...shop, id: 'other@test' } }, 'for "other@test"'],
    ['no service', { loadBalancer: 'lb' }, 'for no service'],
    ['nothing', undefined, 'for no service'],
  ])('is refused in a run that was started for %s', async ([, startInput, words]) => {
    const { client } = temporalWith(startInput);
    await expect(aStep()(client)).rejects.toMatchObject({
      type: 'RequestInvalid',
      nonRetryable: true,
      message: expect.stringContaining(words),
    });
  });
});

test.for([
  ['holds the service', { service: shop }],
  ['has none', { workflowId: 'shop' }],
])('a step whose input %s asks nobody', async ([, input]) => {
  const { client, asked } = temporalWith({ service: shop });
  expect(await aStep()(client, 'run-1', input as object)).toBe(input);
  expect(asked).toEqual([]);
});
