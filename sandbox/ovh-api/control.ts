import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';

import type { Account } from './account.js';
import { BehaviourChange, behaviourNames, type OvhApiBehaviour } from './behaviour.js';
import { Fault, ForeignCall, type Faults } from './faults.js';
import type { Objects } from './iplb/objects.js';
import type { Journal } from './journal.js';
import { jsonIn } from './json.js';
import type { Admin } from './ovh-api.js';

/** What can be asked and set while the sandbox runs, for people; `GET /sandbox` tells it. docs/sandbox.md has examples. */
export const controls: Readonly<Record<string, string>> = {
  'GET /sandbox': 'what can be asked and set here',
  'GET /sandbox/faults': 'the faults that are set, and how often each has matched',
  'POST /sandbox/faults': 'sets a fault: what happens to which calls, how often, and after how many',
  'DELETE /sandbox/faults': 'clears all faults',
  'DELETE /sandbox/faults/:id': 'clears one',
  'GET /sandbox/behaviour':
    'how the API behaves where the real one is not known, and how long refreshes take',
  'PUT /sandbox/behaviour': 'changes the named options',
  'POST /sandbox/somebody-else':
    'one call as from the control panel, past credentials and faults: {"method","path","body"}',
  'POST /sandbox/load-balancers/:serviceName/next-refresh':
    'how the next refresh ends: {"status":"error","afterInstances":1}; blocked, cancelled, error or stuck',
  'DELETE /sandbox/load-balancers/:serviceName/tasks/:id': 'makes a task vanish, as old ones do',
  'GET /sandbox/load-balancers/:serviceName/applied':
    'what each instance was told to run, whatever was edited since',
  'PUT /sandbox/load-balancers/:serviceName/data-plane':
    'how its instances behave: {"whenReloaded":"cut","probeUnreferenced":true}, and what one makes of a change: {"instances":{"16301":{"applies":"never"}}}',
  'GET /sandbox/credentials': 'the consumer keys by number, with state and rules, and never a key',
  'PUT /sandbox/credentials/:id': 'changes one: {"state":"expired"}',
  'DELETE /sandbox/tokens': "makes every service account's token invalid",
  'GET /sandbox/validate': 'the page behind a validation link',
  'POST /sandbox/validate': 'its answer',
  'GET /sandbox/journal': 'the calls so far, with what became of each',
  'POST /auth/oauth2/token': 'gives service accounts their token, as www.ovh.com does',
};

const Ending = z.strictObject({
  status: z.enum(['blocked', 'cancelled', 'error', 'stuck']),
  afterInstances: z.int().min(0).optional(),
});

const afterMs = z.number().min(0);
const Habit = z.discriminatedUnion('applies', [
  z.strictObject({ applies: z.literal('at once') }),
  z.strictObject({ applies: z.literal('late'), afterMs }),
  z.strictObject({ applies: z.literal('never') }),
  z.strictObject({ applies: z.literal('falls back'), afterMs }),
]);

const DataPlaneChange = z.strictObject({
  whenReloaded: z.enum(['keep', 'close idle', 'cut']).optional(),
  probeUnreferenced: z.boolean().optional(),
  instances: z.record(z.string().regex(/^\d+$/), Habit).optional(),
});

/** What people and scripts steer a running sandbox with, unsigned, beside the API on the same loopback port. */
export function mountControl(app: FastifyInstance, parts: ControlParts): void {
  const { behaviour, journal, admin, kept } = parts;
  app.get('/sandbox', () => controls);
  app.get('/sandbox/journal', () => journal.entries);
  mountFaults(app, parts);

  app.get('/sandbox/behaviour', () => shown(behaviour));
  app.put('/sandbox/behaviour', async (request, reply) => {
    const change = wanted(BehaviourChange, request.body, reply);
    if (!change) return reply;
    Object.assign(behaviour, change);
    await kept();
    return shown(behaviour);
  });
  app.post('/sandbox/somebody-else', async (request, reply) => {
    const call = wanted(ForeignCall, request.body, reply);
    if (!call) return reply;
    try {
      return reply.send(JSON.stringify(await admin.editAsSomebodyElse(call.method, call.path, call.body)));
    } catch (error) {
      return refuse(reply, 400, error instanceof Error ? error.message : String(error));
    }
  });
  mountLoadBalancers(app, parts);
  mountTokens(app, parts);
}

interface ControlParts {
  readonly account: Account;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly admin: Admin;
  readonly behaviour: OvhApiBehaviour;
  readonly kept: () => Promise<void>;
}

function mountFaults(app: FastifyInstance, { faults, kept }: ControlParts): void {
  app.get('/sandbox/faults', () => faults.list());
  app.post('/sandbox/faults', async (request, reply) => {
    const fault = wanted(Fault, request.body, reply);
    if (!fault) return reply;
    const set = faults.add(fault);
    await kept();
    return set;
  });
  app.delete('/sandbox/faults', async () => {
    faults.clear();
    await kept();
    return faults.list();
  });
  app.delete<{ Params: { id: string } }>('/sandbox/faults/:id', async (request, reply) => {
    if (!faults.remove(Number(request.params.id))) return refuse(reply, 404, 'There is no such fault');
    await kept();
    return faults.list();
  });
}

function mountLoadBalancers(app: FastifyInstance, { admin, kept }: ControlParts): void {
  const root = '/sandbox/load-balancers/:serviceName';
  app.post<{ Params: { serviceName: string } }>(`${root}/next-refresh`, async ({ params, body }, reply) => {
    const ending = wanted(Ending, body, reply);
    if (!ending) return reply;
    const { status, afterInstances } = ending;
    return ifThere(reply, async () => {
      const counted = afterInstances === undefined ? {} : { afterInstances };
      admin.endNextRefresh({ status, ...counted }, params.serviceName);
      await kept();
      return ending;
    });
  });
  app.delete<{ Params: { serviceName: string; id: string } }>(`${root}/tasks/:id`, ({ params }, reply) =>
    ifThere(reply, async () => {
      admin.forgetTask(Number(params.id), params.serviceName);
      await kept();
      return [];
    }),
  );
  app.put<{ Params: { serviceName: string } }>(`${root}/data-plane`, async ({ params, body }, reply) => {
    const change = wanted(DataPlaneChange, body, reply);
    if (!change) return reply;
    return ifThere(reply, async () => {
      const given = Object.entries(change).filter(([, value]) => value !== undefined);
      admin.behaveDataPlane(Object.fromEntries(given), params.serviceName);
      return change;
    });
  });
  app.get<{ Params: { serviceName: string } }>(`${root}/applied`, ({ params: { serviceName } }, reply) =>
    ifThere(reply, async () =>
      admin.instances(serviceName).map(({ instanceId, zone }) => ({
        instanceId,
        zone,
        objects: objectsShown(admin.appliedOn(instanceId, serviceName)),
      })),
    ),
  );
}

const objectsShown = (objects: Objects | undefined): readonly unknown[] =>
  (objects?.all() ?? []).map(({ kind, protocol, id, parentId, fields }) => ({
    kind,
    protocol,
    id,
    ...(parentId === null ? {} : { parentId }),
    ...fields,
  }));

async function ifThere(reply: FastifyReply, act: () => Promise<unknown>): Promise<FastifyReply> {
  try {
    return reply.send(await act());
  } catch (error) {
    return refuse(reply, 404, error instanceof Error ? error.message : String(error));
  }
}

function mountTokens(app: FastifyInstance, { account, kept }: ControlParts): void {
  app.post('/auth/oauth2/token', async (request, reply) => {
    const form = new URLSearchParams(Buffer.isBuffer(request.body) ? request.body.toString('utf8') : '');
    const refusal = (error: string): FastifyReply => reply.code(400).send({ error });
    if (form.get('grant_type') !== 'client_credentials') return refusal('unsupported_grant_type');
    if (form.get('scope') === null) return refusal('invalid_scope');
    const issued = account.issueToken(form.get('client_id') ?? '', form.get('client_secret') ?? '');
    if (issued === undefined) return refusal('invalid_client');
    await kept();
    return reply.send({
      access_token: issued.token,
      token_type: 'Bearer',
      expires_in: issued.expiresInS,
      scope: form.get('scope'),
    });
  });
}

/** The options alone: the object carries more. */
const shown = (behaviour: OvhApiBehaviour): Readonly<Record<string, unknown>> =>
  Object.fromEntries(behaviourNames.map((name) => [name, behaviour[name]]));

/** The body as it has to be, or `undefined` once the caller has been told what is wrong with it. */
function wanted<Kind extends object>(
  kind: z.ZodType<Kind>,
  body: unknown,
  reply: FastifyReply,
): Kind | undefined {
  const read = kind.safeParse(jsonIn(body));
  if (read.success) return read.data;
  const complaints = read.error.issues.map(({ path, message }) => `${path.join('/')}: ${message}`);
  void refuse(reply, 400, complaints.join('; '));
  return undefined;
}

const refuse = (reply: FastifyReply, status: number, message: string): FastifyReply =>
  reply.code(status).send({ message });
