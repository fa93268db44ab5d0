import { createHash } from 'node:crypto';
import type { Secret } from '../domain/secret.js';
import type { OvhEndpoint } from './endpoint.js';
import type { ServiceAccountKeys } from './service-account-access.js';
import type { ApplicationKeys } from './signature.js';

/** A credential: an application key with the consumer key that somebody validated for it, or a service account. */
export type OvhKeys = Secrets<ApplicationKeys> | Secrets<ServiceAccountKeys>;
export type RevealedKeys = ApplicationKeys | ServiceAccountKeys;

type Secrets<Keys> = { readonly [Key in keyof Keys]: Secret };

/** The values themselves. A key with a stray byte makes a signature that the API calls invalid without saying why. */
export function revealed(keys: OvhKeys): RevealedKeys {
  if ('clientId' in keys) {
    return {
      clientId: value('client id', keys.clientId),
      clientSecret: value('client secret', keys.clientSecret),
    };
  }
  return {
    applicationKey: value('application key', keys.applicationKey),
    applicationSecret: value('application secret', keys.applicationSecret),
    consumerKey: value('consumer key', keys.consumerKey),
  };
}

export function value(what: string, secret: Secret): string {
  const shown = secret.reveal();
  if (!/^[A-Za-z0-9._-]+$/.test(shown)) {
    throw new TypeError(
      `Cannot use the ${what}: it is empty or holds white space, quotes or other signs, needs letters and digits only`,
    );
  }
  return shown;
}

/** What OVHcloud's keys have been long so far. */
const usualLengths = { applicationKey: 16, applicationSecret: 32, consumerKey: 32 } as const;

/** Keys that are longer or shorter than they usually are: no proof, and worth a look where a signature is refused. */
export function oddLengths(keys: OvhKeys): readonly string[] {
  if ('clientId' in keys) return [];
  return (['applicationKey', 'applicationSecret', 'consumerKey'] as const).flatMap((name) => {
    const { length } = keys[name].reveal();
    return length === usualLengths[name]
      ? []
      : [`${name} has ${length} signs, usually ${usualLengths[name]}`];
  });
}

/** The same for every client of one credential, and tells nothing of it. */
export function fingerprintOf({ host, port }: OvhEndpoint, keys: RevealedKeys): string {
  const who = 'clientId' in keys ? [keys.clientId] : [keys.applicationKey, keys.consumerKey];
  return createHash('sha256')
    .update([host, port, ...who].join('+'))
    .digest('hex');
}

/** Another one for every other credential, and tells nothing of it. */
export const digestOf = (keys: RevealedKeys): string =>
  createHash('sha256').update(JSON.stringify(keys)).digest('hex');
