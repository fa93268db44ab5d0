import type { Account } from './account.js';
import { globMatches, isGranted } from './access-rules.js';
import {
  forbidden,
  invalidCredential,
  invalidKey,
  invalidSignature,
  notGranted,
  notLoggedIn,
  outOfTime,
  unknownCredential,
} from './api-error.js';
import type { Caller, Resource } from './resource.js';
import { isSignedBy } from './signature.js';

/** A call as it came over the wire. */
export interface Received {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  /** Path and query exactly as sent, with the `/1.0`. */
  readonly target: string;
  /** The path within the API, without `/1.0` and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
  /** Milliseconds since 1970, as the API sees it for this call. */
  readonly now: number;
  /** Treats a valid consumer key as one that has just expired. */
  readonly pretendExpired: boolean;
}

/** Tells who calls and whether they may, or throws what the real API answers. In the real one's order. */
export function authenticate(
  received: Received,
  resource: Resource,
  account: Account,
  clockWindowMs: number,
  onSignature: (ok: boolean) => void,
): Caller {
  if (resource.access === 'public') return { kind: 'anybody' };

  const bearer = /^Bearer (.+)$/.exec(header(received, 'authorization') ?? '')?.[1];
  if (bearer !== undefined) return serviceAccount(bearer, resource, account);

  const applicationKey = header(received, 'x-ovh-application');
  if (applicationKey === undefined) throw notLoggedIn('You must login first');
  const application = account.application(applicationKey);
  if (application === undefined) throw invalidKey('This application key is invalid');
  if (resource.access === 'application') return { kind: 'application', application };

  const consumerKey = header(received, 'x-ovh-consumer');
  if (consumerKey === undefined) throw invalidCredential('This credential is not valid');
  const credential = account.credential(consumerKey);
  if (credential === undefined || credential.application !== application) {
    throw unknownCredential('This credential does not exist');
  }
  if (credential.expiresAt !== null && received.now >= credential.expiresAt) credential.state = 'expired';
  if (credential.state !== 'validated' || received.pretendExpired) {
    throw invalidCredential('This credential is not valid');
  }

  const timestamp = header(received, 'x-ovh-timestamp') ?? '';
  const signature = header(received, 'x-ovh-signature') ?? '';
  const isRight = isSignedBy(signature, {
    ...received,
    consumerKey,
    applicationSecret: application.applicationSecret,
    timestamp,
  });
  onSignature(isRight);
  if (Math.abs(Number(timestamp) * 1000 - received.now) > clockWindowMs || !/^\d+$/.test(timestamp)) {
    throw outOfTime('Query out of time');
  }
  if (!isRight) throw invalidSignature('Invalid signature');
  if (!isGranted(credential.rules, received.method, received.path)) {
    throw notGranted('This call has not been granted');
  }

  credential.lastUsedAt = received.now;
  return { kind: 'consumer', credential };
}

function serviceAccount(token: string, { action }: Resource, account: Account): Caller {
  const owner = account.bearer(token);
  if (owner === undefined) throw notLoggedIn('This token is invalid or has expired');
  if (action !== null && !owner.actions.some((granted) => globMatches(granted, action))) {
    throw forbidden('User not granted for this request', { unauthorizedActionsByIAM: action });
  }
  return { kind: 'service account', account: owner };
}

const header = ({ headers }: Received, name: string): string | undefined => headers[name]?.toString();
