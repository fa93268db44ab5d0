import { createHash } from 'node:crypto';
import type { Authorization, Outgoing } from './own-call.js';

export interface SignedCall extends Outgoing {
  /** Seconds, by the server's clock. */
  readonly timestamp: number;
}

export interface ApplicationKeys {
  readonly applicationKey: string;
  readonly applicationSecret: string;
  readonly consumerKey: string;
}

/** The value of `X-Ovh-Signature`. A plain SHA-1 of joined words: an HMAC is refused. */
export function signatureOf(
  { method, url, body, timestamp }: SignedCall,
  keys: Pick<ApplicationKeys, 'applicationSecret' | 'consumerKey'>,
): string {
  const words = [keys.applicationSecret, keys.consumerKey, method, url, body, timestamp];
  return `$1$${createHash('sha1').update(words.join('+')).digest('hex')}`;
}

/** Signs a call made at `timestamp`. */
export const signedBy =
  (keys: ApplicationKeys, timestamp: number): Authorization =>
  (outgoing) => ({
    'X-Ovh-Application': keys.applicationKey,
    'X-Ovh-Consumer': keys.consumerKey,
    'X-Ovh-Timestamp': String(timestamp),
    'X-Ovh-Signature': signatureOf({ ...outgoing, timestamp }, keys),
  });
