import type { Credential } from './ssh-credential.js';

/** One machine as one user reaches it. */
export interface SshHop {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** `SHA256:...`, with the key's type in front where it is known; no other host key is accepted. */
  readonly hostKeys: readonly string[];
  /** Tells targets apart that may not share a connection: service and names of key and certificate. */
  readonly owner: string;
  /** Looked up once per connection. */
  readonly credential: () => Promise<Credential>;
}

export interface SshTarget extends SshHop {
  /** Machines to go through, in the order in which they are reached. */
  readonly bastions: readonly SshHop[];
  readonly limits: Partial<SshLimits>;
  /** It is only gone through. */
  readonly isBastion?: boolean;
}

export interface SshLimits {
  /** How long a machine may take to answer at all. */
  readonly connectTimeoutMs: number;
  /** How long the handshake and the login may take then. */
  readonly loginTimeoutMs: number;
  /** A connection that says nothing for three times this long is given up. */
  readonly keepAliveMs: number;
  /** A connection that nobody uses is closed after this long. */
  readonly idleMs: number;
}

/** `10.0.0.5:22`, as failures name it. */
export const describeHop = ({ host, port, isBastion }: SshTarget): string =>
  `${isBastion === true ? 'bastion ' : ''}${host}:${port}`;
