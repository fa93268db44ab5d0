import { createHmac } from 'node:crypto';
import { Failure } from '../../domain/failures.js';
import type { Secret, SecretReference } from '../../domain/secret.js';
import { serversOf, type Server, type Service } from '../../domain/service.js';
import type { Secrets } from '../secrets.js';

/** A secret of a program's configuration: its value for one server, and what may be known of it elsewhere. */
export interface ConfigurationSecret {
  readonly value: Secret;
  /** Another one for another value. Without the key nobody can tell what value it is of, not even by trying. */
  readonly fingerprint: string;
}

/** Resolves a secret that is to be given to a server. */
export async function configurationSecret(
  secrets: Secrets,
  service: Service,
  server: Server,
  reference: SecretReference,
): Promise<ConfigurationSecret> {
  const [value, key] = await Promise.all([
    secrets.resolve(reference, { service: service.id, host: hostOf(server) }),
    fingerprintKey(secrets, service),
  ]);
  const own = createHmac('sha256', key.reveal()).update(`configuration of ${service.id}`).digest();
  const fingerprint = createHmac('sha256', own)
    .update(`${reference.secret}\0${value.reveal()}`)
    .digest('hex');
  return { value, fingerprint: fingerprint.slice(0, 32) };
}

/** All workers have it alike, and whoever has it may read the configuration on the servers anyway. */
function fingerprintKey(secrets: Secrets, service: Service): Promise<Secret> {
  const [first] = serversOf(service);
  const { fingerprintKey: own } = service.configuration;
  const login = first?.connection.driver === 'ssh' ? first.connection.key : undefined;
  const key = own ?? (login && 'secret' in login ? login : undefined);
  if (!first || !key) {
    throw new Failure(
      'SecretRefused',
      `Cannot tell versions of secrets apart for ${service.id}: its SSH key is nothing that a worker can read, needs configuration.fingerprintKey`,
    );
  }
  return secrets.resolve(key, { service: service.id, host: hostOf(first) });
}

const hostOf = ({ connection, address }: Server): string =>
  connection.driver === 'ssh' ? connection.host : address;
