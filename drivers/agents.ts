import type { ServiceId } from '../domain/names.js';
import type { AgentReference } from '../domain/secret.js';

/** Where an agent listens, and which of its keys may be used. */
export interface AgentGrant {
  readonly socket: string;
  /** `SHA256:...` of public keys; every key that the agent has when left out. */
  readonly keys?: readonly string[];
}

/** Turns names of SSH agents into agents. Only a worker has one: whoever starts a deployment may not use the worker's keys. */
export interface Agents {
  /**
   * The agent, if this service may use it and for this host.
   * @throws Failure `SecretRefused`, naming the agent, the service or host, and the file that says so
   */
  resolve(
    reference: AgentReference,
    use: { readonly service: ServiceId; readonly host: string },
  ): Promise<AgentGrant>;
}
