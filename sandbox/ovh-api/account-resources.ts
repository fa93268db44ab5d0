import type { Account, Credential } from './account.js';
import { globMatches, type AccessRule } from './access-rules.js';
import { badRequest, invalidCredential, invalidUrn } from './api-error.js';
import { isObject, shownAs, textOf, textsOf, type Json, type JsonObject } from './json.js';
import { isoDate, signed, type Caller, type Resource } from './resource.js';

/** Clock, credentials and customer: what every client asks before anything else. */
export function accountResources(
  account: Account,
  validationUrlOf: (consumerKey: string, redirection: string | null) => string,
): readonly Resource[] {
  return [
    {
      method: 'GET',
      path: '/auth/time',
      access: 'public',
      action: null,
      answer: ({ now }) => Math.floor(now / 1000),
    },
    {
      method: 'POST',
      path: '/auth/credential',
      access: 'application',
      action: null,
      answer: ({ caller, body }) => requested(account, caller, body, validationUrlOf),
    },
    aboutItself('GET', '/auth/currentCredential', ({ caller }) => currentCredential(caller)),
    aboutItself('GET', '/auth/details', ({ caller }) => details(account, caller)),
    aboutItself('POST', '/auth/logout', ({ caller }) => loggedOut(caller)),
    signed('GET', '/me', 'account', () => customer(account)),
  ];
}

/** What a credential asks about itself: IAM has no say in it, the access rules of a consumer key have. */
const aboutItself = (method: Resource['method'], path: string, answer: Resource['answer']): Resource => ({
  method,
  path,
  access: 'signed',
  action: null,
  answer,
});

/** The branch `/v2`, of which only the check of rights is here. */
export function iamResources(): readonly Resource[] {
  return [
    {
      method: 'POST',
      path: '/iam/resource/:urn/authorization/check',
      access: 'signed',
      action: null,
      answer: ({ caller, body, parameters: { urn = '' } }) => {
        if (!/^urn:v1:(eu|ca|us):[\w-]+:[\w-]+:[\w./-]+$/.test(urn))
          throw invalidUrn(`Invalid resource urn ${urn}`);
        return checked(caller, textsOf(body['actions']));
      },
    },
  ];
}

function checked(caller: Caller, actions: readonly string[]): Json {
  const isAllowed = (action: string): boolean =>
    caller.kind !== 'service account' ||
    caller.account.actions.some((granted) => globMatches(granted, action));
  return {
    authorizedActions: actions.filter(isAllowed),
    unauthorizedActions: actions.filter((action) => !isAllowed(action)),
  };
}

function requested(
  account: Account,
  caller: Caller,
  { accessRules, allowedIPs = null, redirection = null }: JsonObject,
  validationUrlOf: (consumerKey: string, redirection: string | null) => string,
): Json {
  const isRules = Array.isArray(accessRules) && accessRules.length > 0 && accessRules.every(isAccessRule);
  if (!isRules || caller.kind !== 'application')
    throw badRequest("Body parameter accessRules isn't formated correctly");
  const { consumerKey, state } = account.addCredential(caller.application, {
    rules: accessRules as unknown as readonly AccessRule[],
    allowedIPs: Array.isArray(allowedIPs) ? allowedIPs.map(String) : null,
    state: 'pendingValidation',
  });
  return { consumerKey, state, validationUrl: validationUrlOf(consumerKey, textOf(redirection)) };
}

const isAccessRule = (rule: Json): boolean =>
  isObject(rule) &&
  ['GET', 'POST', 'PUT', 'DELETE'].includes(shownAs(rule['method'])) &&
  typeof rule['path'] === 'string';

function currentCredential(caller: Caller): Json {
  if (caller.kind !== 'consumer') throw invalidCredential('This credential is not valid');
  const { credential } = caller;
  return {
    credentialId: credential.credentialId,
    applicationId: credential.application.applicationId,
    status: credential.state,
    rules: rulesOf(credential),
    allowedIPs: credential.allowedIPs,
    creation: isoDate(credential.createdAt),
    expiration: credential.expiresAt === null ? null : isoDate(credential.expiresAt),
    lastUse: credential.lastUsedAt === null ? null : isoDate(credential.lastUsedAt),
    ovhSupport: false,
  };
}

function loggedOut(caller: Caller): null {
  if (caller.kind !== 'consumer') throw invalidCredential('This credential is not valid');
  caller.credential.state = 'expired';
  return null;
}

const rulesOf = ({ rules }: Credential): Json => rules.map(({ method, path }) => ({ method, path }));

function details({ nichandle }: Account, caller: Caller): Json {
  const isService = caller.kind === 'service account';
  const identity = isService
    ? `credential:${nichandle}/oauth2-${caller.account.clientId}`
    : `account:${nichandle}`;
  return {
    account: nichandle,
    allowedRoutes: caller.kind === 'consumer' ? rulesOf(caller.credential) : null,
    description: null,
    identities: [`urn:v1:eu:identity:${identity}`],
    method: isService ? 'oauth2_client_credentials' : 'account',
    roles: null,
    user: null,
  };
}

const customer = ({ nichandle }: Account): Json => ({
  nichandle,
  customerCode: '0000-0000-00',
  name: 'Sandbox',
  firstname: 'Verdigris',
  email: 'sandbox@example.com',
  country: 'FR',
  currency: { code: 'EUR', symbol: '€' },
  kycValidated: false,
  state: 'complete',
  ovhSubsidiary: 'FR',
});
