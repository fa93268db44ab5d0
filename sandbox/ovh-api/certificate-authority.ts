// The library resolves its parts by decorators and says so only when it is loaded without this.
import 'reflect-metadata';

import { webcrypto } from 'node:crypto';

import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

export interface Certificates {
  /** Give this to clients: `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`. */
  readonly caPem: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

const keys = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signing = { ...keys, hash: 'SHA-256' } as const;
const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;

/** Makes a certificate authority and a certificate for `localhost` and 127.0.0.1. The CA's key is forgotten. */
export async function makeCertificates(): Promise<Certificates> {
  // An hour back: some clients' clocks are.
  const validity = { notBefore: new Date(Date.now() - hourMs), notAfter: new Date(Date.now() + yearMs) };
  const caKeys = await webcrypto.subtle.generateKey(keys, true, ['sign', 'verify']);
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    // Of two authorities with one name, trusted side by side, only the first would be tried.
    name: `CN=Verdigris sandbox CA ${webcrypto.randomUUID()}`,
    keys: caKeys,
    signingAlgorithm: signing,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });

  const leafKeys = await webcrypto.subtle.generateKey(keys, true, ['sign', 'verify']);
  const leaf = await X509CertificateGenerator.create({
    ...validity,
    subject: 'CN=localhost',
    issuer: ca.subject,
    publicKey: leafKeys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: signing,
    extensions: [
      new SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
      new BasicConstraintsExtension(false, undefined, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    ],
  });

  const key = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey);
  return {
    caPem: `${ca.toString('pem')}\n`,
    certificatePem: leaf.toString('pem'),
    keyPem: PemConverter.encode(key, 'PRIVATE KEY'),
  };
}
