import { z } from 'zod';
import type { Secret } from '../domain/secret.js';
import { Agents } from './agents.js';
import type { Call } from './call.js';
import { ovhEndpoint, targetAt } from './endpoint.js';
import { OvhError } from './error.js';
import { realTime } from './time.js';
import { value } from './keys.js';
import { callDirectly } from './own-call.js';
import type { Right } from './rights.js';

/** A consumer key that is good for nothing until somebody has opened its link, logged in and agreed. */
export interface RequestedKey {
  readonly consumerKey: string;
  readonly validationUrl: string;
}

const Requested = z.looseObject({
  consumerKey: z.string().min(1),
  validationUrl: z.url(),
});

/** Asks for a consumer key with exactly these access rules. Needs no signature: the application key alone. */
export async function requestConsumerKey(wanted: {
  readonly endpoint: string;
  readonly applicationKey: Secret;
  readonly rights: readonly Pick<Right, 'method' | 'path'>[];
  /** CIDR blocks that may use the key; anybody who has it where left out. */
  readonly allowedIps?: readonly string[];
  readonly caFile?: string;
  readonly deadlineMs?: number;
}): Promise<RequestedKey> {
  const endpoint = ovhEndpoint(wanted.endpoint);
  const applicationKey = value('application key', wanted.applicationKey);
  const { allowedIps = [] } = wanted;
  const call: Call = {
    method: 'POST',
    path: '/auth/credential',
    body: {
      accessRules: wanted.rights.map(({ method, path }) => ({ method, path })),
      ...(allowedIps.length === 0 ? {} : { allowedIPs: allowedIps }),
    },
    deadlineMs: wanted.deadlineMs ?? 60_000,
  };
  const agents = new Agents(wanted.caFile);
  try {
    const destination = { ...endpoint, path: targetAt(endpoint, call.path) };
    const { body, status, queryId } = await callDirectly(
      destination,
      { agents, time: realTime, transport: undefined },
      call,
      () => ({
        'X-Ovh-Application': applicationKey,
      }),
    );
    const requested = Requested.safeParse(body);
    if (requested.success) return requested.data;
    const message = 'answered something in which there is no consumer key';
    throw new OvhError({ trouble: 'garbled', method: 'POST', path: call.path, message, status, queryId });
  } finally {
    agents.close();
  }
}
