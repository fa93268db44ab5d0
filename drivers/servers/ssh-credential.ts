import { createHash, createPrivateKey, sign as signWith } from 'node:crypto';
import ssh2, { type ParsedKey } from 'ssh2';
import { Failure } from '../../domain/failures.js';
import type { ServiceId } from '../../domain/names.js';
import type { AgentReference, SecretReference } from '../../domain/secret.js';
import type { SshAddress } from '../../domain/service.js';
import type { Agents } from '../agents.js';
import type { Secrets } from '../secrets.js';
import { AgentTrouble, keysOfAgent, signByAgent, type AgentKey } from './ssh-agent.js';
import {
  certificateFrom,
  certified,
  fingerprintOf,
  parseCertificate,
  refuseInvalid,
  withLength,
  type Certificate,
} from './ssh-certificate.js';

/** What a login offers, in that order. */
export interface Credential {
  readonly identities: readonly Identity[];
  /** For people: `secret "ssh-key"`. */
  readonly words: string;
}

export interface Identity {
  /** What ssh2 shows to the machine. */
  readonly key: ParsedKey;
  readonly certificate?: Certificate;
  /** The bare signature. */
  sign(data: Buffer, hash: string | undefined): Promise<Buffer>;
}

export interface CredentialSources {
  readonly service: ServiceId;
  readonly secrets: Secrets;
  readonly agents: Agents;
}

/**
 * Whatever an address says that opens it: a private key or an agent, a certificate with either.
 * @throws Failure `SecretRefused`, `ServerLoginRefused`
 */
export async function credentialFor(address: SshAddress, sources: CredentialSources): Promise<Credential> {
  const { host, key } = address;
  const use = { service: sources.service, host };
  const certificate = address.certificate && (await certificateOf(address.certificate, use, sources));
  const words = 'agent' in key ? `the keys of agent "${key.agent}"` : `the key "${key.secret}"`;
  const identities =
    'agent' in key
      ? await identitiesOfAgent(key, certificate, use, sources)
      : [await identityOfKey(key, address.passphrase, certificate, use, sources)];
  return { identities, words };
}

interface Use {
  readonly service: ServiceId;
  readonly host: string;
}

interface NamedCertificate extends Certificate {
  readonly name: string;
}

async function certificateOf(
  reference: SecretReference,
  use: Use,
  { secrets }: CredentialSources,
): Promise<NamedCertificate> {
  const text = (await secrets.resolve(reference, use)).reveal();
  const certificate = parseCertificate(text);
  const what = `the certificate "${reference.secret}"`;
  if (!certificate) {
    throw new Failure(
      'ServerLoginRefused',
      `${use.host} cannot be asked: ${what} is not an OpenSSH user certificate, needs the -cert.pub file that ssh-keygen -s wrote`,
    );
  }
  refuseInvalid(certificate, new Date(), `${use.host} cannot be asked: ${what}`);
  return { ...certificate, name: reference.secret };
}

async function identityOfKey(
  key: SecretReference,
  passphrase: SecretReference | undefined,
  certificate: NamedCertificate | undefined,
  use: Use,
  { secrets }: CredentialSources,
): Promise<Identity> {
  const text = (await secrets.resolve(key, use)).reveal();
  const opener = passphrase && (await secrets.resolve(passphrase, use)).reveal();
  const opened = openedKey(text, opener);
  if (typeof opened === 'string') {
    const why =
      opened === 'wrong'
        ? `is not opened by "${passphrase?.secret}", needs the passphrase that it was made with: ssh-keygen -y -f FILE tells`
        : unopened[opened];
    throw new Failure('ServerLoginRefused', `${use.host} cannot be asked: the key "${key.secret}" ${why}`);
  }
  if (!certificate) return { key: opened, sign: (data, hash) => signBy(opened, data, hash) };
  if (!certificate.publicKey.equals(opened.getPublicSSH())) {
    throw otherKey(use.host, certificate, `"${key.secret}" is ${fingerprintOf(opened.getPublicSSH())}`);
  }
  const sign = (data: Buffer) => Promise.resolve(signForCertificate(opened, data));
  return { key: certified(opened, certificate), certificate, sign };
}

const otherKey = (host: string, { name, publicKey }: NamedCertificate, found: string): Failure =>
  new Failure(
    'ServerLoginRefused',
    `${host} cannot be asked: the certificate "${name}" is for the key ${fingerprintOf(publicKey)}, and ${found}, needs the two that belong together`,
  );

const unopened = {
  locked: 'has a passphrase, needs ssh.passphrase: secret:<name> beside it',
  unreadable:
    'is not a private key in OpenSSH or PEM form, needs one as ssh-keygen writes it (ssh-keygen -p -f FILE turns other forms into it)',
} as const;

/** Opening a key is slow on purpose, and a fleet needs the same one for every machine. */
const openedBefore = new Map<string, ParsedKey>();
const keptKeys = 32;

/** Never lets out what the library says: it may repeat what it could not read. */
function openedKey(
  text: string,
  passphrase: string | undefined,
): ParsedKey | 'wrong' | keyof typeof unopened {
  const id = createHash('sha256')
    .update(JSON.stringify([text, passphrase]))
    .digest('hex');
  const known = openedBefore.get(id);
  if (known) return known;
  const parsed = parsedKey(text, passphrase);
  if (!(parsed instanceof Error)) {
    if (!parsed.isPrivateKey()) return 'unreadable';
    openedBefore.set(id, parsed);
    if (openedBefore.size > keptKeys) openedBefore.delete(openedBefore.keys().next().value ?? '');
    return parsed;
  }
  if (/no passphrase given/i.test(parsed.message)) return 'locked';
  return passphrase !== undefined && isEncrypted(text) ? 'wrong' : 'unreadable';
}

function isEncrypted(text: string): boolean {
  if (/ENCRYPTED/.test(text)) return true;
  const [, body = ''] = /BEGIN OPENSSH PRIVATE KEY-----([^-]+)-----/.exec(text) ?? [];
  const blob = Buffer.from(body, 'base64');
  const magic = 'openssh-key-v1\0';
  return (
    blob.toString('latin1', 0, magic.length) === magic &&
    blob.toString('latin1', magic.length + 4, magic.length + 8) !== 'none'
  );
}

function parsedKey(text: string, passphrase: string | undefined): ParsedKey | Error {
  try {
    const parsed = ssh2.utils.parseKey(asPem(text, passphrase), passphrase);
    return Array.isArray(parsed) ? (parsed as readonly ParsedKey[])[0]! : parsed;
  } catch (error) {
    return error as Error;
  }
}

/** `BEGIN PRIVATE KEY`, as openssl writes it, is a form that ssh2 cannot read. */
function asPem(text: string, passphrase: string | undefined): string {
  if (!/BEGIN (ENCRYPTED )?PRIVATE KEY/.test(text)) return text;
  if (/BEGIN ENCRYPTED/.test(text) && passphrase === undefined) throw new Error('no passphrase given');
  const key = createPrivateKey(passphrase === undefined ? text : { key: text, passphrase });
  if (key.asymmetricKeyType === 'rsa') return key.export({ format: 'pem', type: 'pkcs1' }).toString();
  if (key.asymmetricKeyType === 'ec') return key.export({ format: 'pem', type: 'sec1' }).toString();
  return text;
}

async function identitiesOfAgent(
  reference: AgentReference,
  certificate: NamedCertificate | undefined,
  use: Use,
  { agents }: CredentialSources,
): Promise<readonly Identity[]> {
  const { socket, keys: allowed } = await agents.resolve(reference, use);
  const what = `agent "${reference.agent}" at ${socket}`;
  const held = await keysOfAgent(socket).catch((error: unknown) => {
    if (!(error instanceof AgentTrouble)) throw error;
    throw new Failure(
      'SecretRefused',
      `Cannot use ${what} for ${use.service} at ${use.host}: it ${error.message}, needs an ssh-agent that runs as the worker's user`,
    );
  });
  const found = held.flatMap((key) => identityFrom(key, socket));
  const usable = found.filter(
    ({ key, certificate: its }) =>
      allowed === undefined || allowed.includes(fingerprintOf(its?.publicKey ?? key.getPublicSSH())),
  );
  if (usable.length === 0) {
    const holds = found.length === 0 ? 'holds no key' : `holds only ${fingerprintsOf(found)}`;
    throw new Failure(
      'SecretRefused',
      `Cannot use ${what} for ${use.service} at ${use.host}: it ${holds}, needs ${allowed?.join(' or ') ?? 'one'}: ssh-add`,
    );
  }
  if (!certificate) return usable;
  const plain = usable.find(({ key, certificate: its }) =>
    certificate.publicKey.equals(its?.publicKey ?? key.getPublicSSH()),
  );
  if (!plain)
    throw otherKey(use.host, certificate, `agent "${reference.agent}" holds ${fingerprintsOf(usable)}`);
  return [
    {
      key: certified(plain.key, certificate),
      certificate,
      sign: (data) => plain.sign(data, hashFor(certificate.type)),
    },
  ];
}

export const fingerprintsOf = (identities: readonly Identity[]): string =>
  identities
    .map(
      ({ key, certificate }) => `${key.type} ${fingerprintOf(certificate?.publicKey ?? key.getPublicSSH())}`,
    )
    .join(', ');

/** Of the kinds that this program knows; a key on a token (`sk-...`) needs a touch that nobody gives. */
function identityFrom({ blob }: AgentKey, socket: string): readonly Identity[] {
  const certificate = certificateFrom(blob);
  const key = ssh2.utils.parseKey(certificate?.publicKey ?? blob);
  if (key instanceof Error) return [];
  if (!certificate) return [{ key, sign: (data, hash) => signByAgent(socket, blob, data, hash) }];
  const sign = (data: Buffer) => signByAgent(socket, blob, data, hashFor(certificate.type));
  return [{ key: certified(key, certificate), certificate, sign }];
}

const hashFor = (type: string): string | undefined => (type.startsWith('ssh-rsa') ? 'sha512' : undefined);

function signBy(key: ParsedKey, data: Buffer, hash: string | undefined): Promise<Buffer> {
  const signature = key.sign(data, hash) as unknown;
  return Buffer.isBuffer(signature)
    ? Promise.resolve(signature)
    : Promise.reject(new Error('the key cannot sign'));
}

const curveHashes: ReadonlyMap<string, string> = new Map([
  ['ecdsa-sha2-nistp256', 'sha256'],
  ['ecdsa-sha2-nistp384', 'sha384'],
  ['ecdsa-sha2-nistp521', 'sha512'],
]);

/** ssh2 puts signatures into the form of the protocol for plain keys only. */
function signForCertificate(key: ParsedKey, data: Buffer): Buffer {
  const hash = curveHashes.get(key.type);
  if (hash === undefined) return key.sign(data, hashFor(key.type)) as unknown as Buffer;
  const both = signWith(hash, data, { key: key.getPrivatePEM(), dsaEncoding: 'ieee-p1363' });
  const half = both.length / 2;
  return Buffer.concat(
    [both.subarray(0, half), both.subarray(half)].map((number) => withLength(asInteger(number))),
  );
}

/** Positive, and no longer than it must be. */
function asInteger(number: Buffer): Buffer {
  const first = number.findIndex((byte) => byte !== 0);
  const shortest = number.subarray(Math.max(first, 0));
  return (shortest[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), shortest]) : shortest;
}
