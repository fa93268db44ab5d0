import { createHash, timingSafeEqual } from 'node:crypto';

export interface SignedCall {
  readonly applicationSecret: string;
  readonly consumerKey: string;
  readonly method: string;
  /** Absolute, with the query string as it went over the wire. */
  readonly url: string;
  /** The bytes as received; empty where there was no body. */
  readonly body: Uint8Array;
  /** The digits of the header. */
  readonly timestamp: string;
}

/** The v1 signature: a plain SHA-1 over the joined parts, no HMAC. */
export function signatureOf(call: SignedCall): string {
  const { applicationSecret, consumerKey, method, url, body, timestamp } = call;
  const digest = createHash('sha1')
    .update(`${applicationSecret}+${consumerKey}+${method}+${url}+`)
    .update(body)
    .update(`+${timestamp}`)
    .digest('hex');
  return `$1$${digest}`;
}

/** Whether `signature` is right for the URL as dialled or for the URL without its port: clients sign either. */
export function isSignedBy(
  signature: string,
  call: Omit<SignedCall, 'url'> & {
    readonly scheme: 'http' | 'https';
    readonly host: string;
    readonly target: string;
  },
): boolean {
  const { scheme, host, target, ...rest } = call;
  const hosts = [host, host.replace(/:\d+$/, '')];
  return hosts.some((one) => isSame(signature, signatureOf({ ...rest, url: `${scheme}://${one}${target}` })));
}

function isSame(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
