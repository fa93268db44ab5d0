import type { SecretReference } from '../domain/secret.js';
import type { Secret } from '../domain/secret.js';
import type { ServiceId } from '../domain/names.js';

/** Turns names of secrets into secrets. Only a worker has one, and only drivers ask it. */
export interface Secrets {
  /**
   * The secret, if this service may have it and this host may be given it (a host name without port).
   * @throws Failure `SecretRefused`, naming the secret, the service or host, and the file that says so; never the value
   */
  resolve(
    reference: SecretReference,
    use: { readonly service: ServiceId; readonly host: string },
  ): Promise<Secret>;
}
