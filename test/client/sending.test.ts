import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { expect, test, vi } from 'vitest';
import { answered, MessageRefused } from '../../client/sending.js';
import type { Session } from '../../client/session.js';

const session = { command: (words: string) => `verdigris ${words}` } as Session;
const answer = { deployment: '3f9c2a1b', stage: 'approve', next: 'it goes on' };
const rejectedBecause = (message: string, type: string) =>
  new WorkflowUpdateFailedError('Workflow Update failed', ApplicationFailure.nonRetryable(message, type));

test('a message that no worker looked at is sent again', async () => {
  const ask = vi
    .fn<() => Promise<typeof answer>>()
    .mockRejectedValueOnce(rejectedBecause('not processed by worker', 'UnprocessedUpdate'))
    .mockResolvedValue(answer);
  expect(await answered(session, 'approve', ask)).toBe(answer);
  expect(ask).toHaveBeenCalledTimes(2);
});

test('a message that the run refused is not', async () => {
  const ask = vi.fn(() =>
    Promise.reject(rejectedBecause('Cannot approve "shop": the plan is', 'MessageRefused')),
  );
  await expect(answered(session, 'approve', ask)).rejects.toThrow(MessageRefused);
  await expect(answered(session, 'approve', ask)).rejects.toThrow(
    /^Cannot approve "shop": the plan is\n {2}look: verdigris status$/,
  );
  expect(ask).toHaveBeenCalledTimes(2);
});
