import { createHash } from 'node:crypto';
import type { ParsedKey } from 'ssh2';
import { Failure } from '../../domain/failures.js';

/** An OpenSSH user certificate, of which ssh2 knows nothing. */
export interface Certificate {
  /** `ssh-ed25519-cert-v01@openssh.com` */
  readonly type: string;
  readonly blob: Buffer;
  /** The public key that it certifies, as `getPublicSSH` gives it. */
  readonly publicKey: Buffer;
  readonly keyId: string;
  /** Whom it may log in as; anybody where the list is empty. */
  readonly principals: readonly string[];
  readonly validAfter: Date;
  readonly validBefore: Date;
  /** `SHA256:...` of the authority that signed it. */
  readonly authority: string;
}

export const suffix = '-cert-v01@openssh.com';

export const isCertificateType = (type: string): boolean => type.endsWith(suffix);

/** How many fields make the public key, by its type. */
const keyFields: Readonly<Record<string, number>> = {
  'ssh-ed25519': 1,
  'ssh-rsa': 2,
  'ecdsa-sha2-nistp256': 2,
  'ecdsa-sha2-nistp384': 2,
  'ecdsa-sha2-nistp521': 2,
};

/** A user certificate from its binary form. @returns `undefined` for anything else. */
export function certificateFrom(blob: Buffer): Certificate | undefined {
  try {
    const reader = new Reader(blob);
    const type = reader.text();
    const plainType = type.slice(0, -suffix.length);
    const fields = isCertificateType(type) ? keyFields[plainType] : undefined;
    if (fields === undefined) return undefined;
    reader.bytes(); // nonce
    const parts = Array.from({ length: fields }, () => reader.bytes());
    reader.uint64(); // serial
    const user = 1;
    if (reader.uint32() !== user) return undefined;
    const keyId = reader.text();
    const principals = new Reader(reader.bytes()).rest();
    const validAfter = dateFrom(reader.uint64());
    const validBefore = dateFrom(reader.uint64());
    reader.bytes(); // critical options
    reader.bytes(); // extensions
    reader.bytes(); // reserved
    const authority = fingerprintOf(reader.bytes());
    const publicKey = Buffer.concat([Buffer.from(plainType), ...parts].map(withLength));
    return { type, blob, publicKey, keyId, principals, validAfter, validBefore, authority };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** From the line of a `-cert.pub` file. */
export function parseCertificate(text: string): Certificate | undefined {
  const [, encoded = ''] = text.trim().split(/\s+/);
  return certificateFrom(Buffer.from(encoded, 'base64'));
}

/** @throws Failure `ServerLoginRefused` where no machine can accept it any more, or yet */
export function refuseInvalid(certificate: Certificate, now: Date, what: string): void {
  const { validAfter, validBefore } = certificate;
  const state =
    now >= validBefore
      ? `was valid until ${validBefore.toISOString()}`
      : now < validAfter
        ? `is not valid before ${validAfter.toISOString()}`
        : undefined;
  if (state === undefined) return;
  throw new Failure('ServerLoginRefused', `${what} ${state}, needs a new one: sign the key again`);
}

/** As ssh2 wants a key: the plain one's abilities under the certificate's name. */
export function certified(key: ParsedKey, { type, blob }: Certificate): ParsedKey {
  return Object.create(key, {
    type: { value: wireType(type) },
    getPublicSSH: { value: () => blob },
  }) as ParsedKey;
}

/** RSA certificates are used with SHA-512: the name without one means SHA-1, which nobody accepts any more. */
const wireType = (type: string): string => (type === `ssh-rsa${suffix}` ? `rsa-sha2-512${suffix}` : type);

/** The fields of RFC 4251, one after the other. @throws RangeError at an end that comes too early */
export class Reader {
  readonly #buffer: Buffer;
  position = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  skip(count: number): void {
    this.position += count;
  }

  uint32(): number {
    const value = this.#buffer.readUInt32BE(this.position);
    this.position += 4;
    return value;
  }

  uint64(): bigint {
    const value = this.#buffer.readBigUInt64BE(this.position);
    this.position += 8;
    return value;
  }

  bytes(): Buffer {
    const length = this.uint32();
    const end = this.position + length;
    if (end > this.#buffer.length) throw new RangeError('a field is longer than what is left');
    const value = this.#buffer.subarray(this.position, end);
    this.position = end;
    return value;
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  /** Everything that is left, as texts. */
  rest(): readonly string[] {
    const found: string[] = [];
    while (this.position < this.#buffer.length) found.push(this.text());
    return found;
  }
}

export function withLength(value: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return Buffer.concat([length, value]);
}

/** As `ssh-keygen -l` prints it. */
export const fingerprintOf = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;

/** Without an end is as late as a date can be. */
const dateFrom = (seconds: bigint): Date =>
  new Date(seconds > 8_640_000_000_000n ? 8_640_000_000_000_000 : Number(seconds) * 1000);
