import { createHash } from 'node:crypto';

export interface SignedCall {
  readonly method: string;
  /** Absolute, with the query exactly as it is sent. */
  readonly url: string;
  /** The bytes of the body as text; empty when there is none. */
  readonly body: string;
  /** Seconds, by the server's clock. */
  readonly timestamp: number;
}

/** The value of `X-Ovh-Signature`. A plain SHA-1 of joined words: an HMAC is refused. */
export function signatureOf(
  { method, url, body, timestamp }: SignedCall,
  keys: { readonly applicationSecret: string; readonly consumerKey: string },
): string {
  const words = [keys.applicationSecret, keys.consumerKey, method, url, body, timestamp];
  return `$1$${createHash('sha1').update(words.join('+')).digest('hex')}`;
}
