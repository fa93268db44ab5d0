import { z } from 'zod';
import type { OvhApi } from './api.js';
import { OvhError, type OvhMethod } from './error.js';
import { actionsOf, covers, describeRight, type Right } from './rights.js';

const Rule = z.looseObject({ method: z.string(), path: z.string() });
const Current = z.looseObject({
  status: z.string(),
  rules: z.array(Rule),
  expiration: z.string().nullish(),
  applicationId: z.int().nullish(),
  credentialId: z.int().nullish(),
  allowedIPs: z.array(z.string()).nullish(),
});
const Details = z.looseObject({
  account: z.string().nullish(),
  method: z.string().nullish(),
  user: z.string().nullish(),
  allowedRoutes: z.array(Rule).nullish(),
  identities: z.array(z.string()).nullish(),
});

const Checked = z.looseObject({ unauthorizedActions: z.array(z.string()) });

export type CurrentCredential = z.infer<typeof Current>;
export type CredentialDetails = z.infer<typeof Details>;
export type AccessRule = z.infer<typeof Rule>;

type Options = { readonly signal?: AbortSignal };

/** The consumer key that calls: its rules, its end. */
export const currentCredential = async (api: OvhApi, options: Options = {}): Promise<CurrentCredential> =>
  read(await api.get('/auth/currentCredential', options), Current, 'GET', '/auth/currentCredential');

/** Who calls, whatever kind of credential it is. */
export const credentialDetails = async (api: OvhApi, options: Options = {}): Promise<CredentialDetails> =>
  read(await api.get('/auth/details', options), Details, 'GET', '/auth/details');

/**
 * What a consumer key lacks of `needed`, as `METHOD path`, all of it at once. `undefined` where it may not even be told.
 */
export async function missingRules(
  api: OvhApi,
  needed: readonly Right[],
  options: Options = {},
): Promise<readonly string[] | undefined> {
  const granted = await grantedTo(api, options);
  return granted && lackingIn(granted, needed);
}

/** What a consumer key may do, and until when: `undefined` where it does not end. */
export interface Granted {
  readonly rules: readonly AccessRule[];
  readonly endsAtMs: number | undefined;
}

/** `undefined` where it may not even be told. */
export async function grantedTo(api: OvhApi, options: Options = {}): Promise<Granted | undefined> {
  const current = await unlessRefused(() => currentCredential(api, options));
  if (current) return { rules: current.rules, endsAtMs: momentOf(current.expiration) };
  const details = await unlessRefused(() => credentialDetails(api, options));
  // IAM's way of saying "all routes" is null.
  return details && { rules: details.allowedRoutes ?? anything, endsAtMs: undefined };
}

/** What is missing of `needed`, as `METHOD path`. */
export const lackingIn = ({ rules }: Granted, needed: readonly Right[]): readonly string[] =>
  needed.filter((right) => !rules.some((rule) => covers(rule, right))).map(describeRight);

function momentOf(date: string | null | undefined): number | undefined {
  const ms = date ? Date.parse(date) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** What a service account lacks of `needed` on one resource, as IAM names actions. `undefined` where IAM does not tell. */
export async function missingActions(
  api: OvhApi,
  needed: readonly Right[],
  urn: string,
  options: Options = {},
): Promise<readonly string[] | undefined> {
  const path = `/v2/iam/resource/${urn}/authorization/check`;
  const answer = await unlessRefused(() => api.post(path, { actions: actionsOf(needed) }, options));
  return answer === undefined ? undefined : read(answer, Checked, 'POST', path).unauthorizedActions;
}

const anything: readonly AccessRule[] = ['GET', 'POST', 'PUT', 'DELETE'].map((method) => ({
  method,
  path: '*',
}));

/** A credential need not be allowed to ask about itself. */
async function unlessRefused<Answer>(ask: () => Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof OvhError && error.trouble === 'refused' && !error.passing) return undefined;
    throw error;
  }
}

function read<Kind>(answer: unknown, kind: z.ZodType<Kind>, method: OvhMethod, path: string): Kind {
  const document = kind.safeParse(answer);
  if (document.success) return document.data;
  const message = 'answered a document that is not as described';
  throw new OvhError({ trouble: 'garbled', method, path, message, cause: document.error });
}
