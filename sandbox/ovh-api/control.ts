import type { FastifyInstance, FastifyReply } from 'fastify';

import type { Account } from './account.js';
import { Fault, type Faults } from './faults.js';
import type { Journal } from './journal.js';

/**
 * What people and scripts steer a running sandbox with, unsigned, beside the API on the same loopback port:
 *
 * - `GET /sandbox/faults` tells the faults that are set, `POST` sets one and tells its id, `DELETE` clears all,
 *   `DELETE /sandbox/faults/:id` clears one. A fault is JSON, for example
 *   `{"method":"POST","path":"/ipLoadbalancing/*\/refresh","times":1,"action":"drop-after"}`
 * - `GET /sandbox/journal` tells the calls so far
 * - `POST /auth/oauth2/token` gives service accounts their token, as `www.ovh.com` does
 */
export function mountControl(app: FastifyInstance, { account, faults, journal }: ControlParts): void {
  app.get('/sandbox/faults', () => faults.list());
  app.post('/sandbox/faults', (request, reply) => {
    const wanted = Fault.safeParse(jsonIn(request.body));
    if (wanted.success) return faults.add(wanted.data);
    return refuse(
      reply,
      400,
      wanted.error.issues.map(({ path, message }) => `${path.join('/')}: ${message}`).join('; '),
    );
  });
  app.delete('/sandbox/faults', () => {
    faults.clear();
    return faults.list();
  });
  app.delete<{ Params: { id: string } }>('/sandbox/faults/:id', (request, reply) =>
    faults.remove(Number(request.params.id)) ? faults.list() : refuse(reply, 404, 'There is no such fault'),
  );

  app.get('/sandbox/journal', () => journal.entries);

  app.post('/auth/oauth2/token', (request, reply) => {
    const form = new URLSearchParams(Buffer.isBuffer(request.body) ? request.body.toString('utf8') : '');
    const refusal = (error: string): FastifyReply => reply.code(400).send({ error });
    if (form.get('grant_type') !== 'client_credentials') return refusal('unsupported_grant_type');
    if (form.get('scope') === null) return refusal('invalid_scope');
    const issued = account.issueToken(form.get('client_id') ?? '', form.get('client_secret') ?? '');
    if (issued === undefined) return refusal('invalid_client');
    return reply.send({
      access_token: issued.token,
      token_type: 'Bearer',
      expires_in: issued.expiresInS,
      scope: form.get('scope'),
    });
  });
}

interface ControlParts {
  readonly account: Account;
  readonly faults: Faults;
  readonly journal: Journal;
}

const refuse = (reply: FastifyReply, status: number, message: string): FastifyReply =>
  reply.code(status).send({ message });

function jsonIn(body: unknown): unknown {
  try {
    return Buffer.isBuffer(body) ? JSON.parse(body.toString('utf8')) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
