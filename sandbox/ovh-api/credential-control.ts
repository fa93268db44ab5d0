import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { jsonIn } from './json.js';
import type { Account } from './account.js';

const Change = z.strictObject({ state: z.enum(['expired', 'pendingValidation', 'refused', 'validated']) });

/**
 * Credentials while they are in use, for scripts:
 *
 * - `GET /sandbox/credentials` tells the consumer keys by number, with state and rules, and never a key
 * - `PUT /sandbox/credentials/:id` with `{"state":"expired"}` changes one
 * - `DELETE /sandbox/tokens` makes every service account's token invalid
 */
export function mountCredentialControl(
  app: FastifyInstance,
  account: Account,
  kept: () => Promise<void>,
): void {
  app.get('/sandbox/credentials', () =>
    account.list().map(({ credentialId, state, rules, application: { applicationId } }) => ({
      credentialId,
      applicationId,
      state,
      rules,
    })),
  );
  app.put<{ Params: { id: string } }>('/sandbox/credentials/:id', async ({ params, body }, reply) => {
    const credential = account.list().find(({ credentialId }) => String(credentialId) === params.id);
    if (credential === undefined) return reply.code(404).send({ message: 'There is no such credential' });
    const change = Change.safeParse(jsonIn(body));
    if (!change.success) return reply.code(400).send({ message: 'Needs {"state": "..."}' });
    credential.state = change.data.state;
    await kept();
    return reply.send({ credentialId: credential.credentialId, state: credential.state });
  });
  app.delete('/sandbox/tokens', async (_request, reply) => {
    account.expireTokens();
    await kept();
    return reply.send([]);
  });
}
