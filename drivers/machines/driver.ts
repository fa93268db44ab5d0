import type { MachineFacts } from '../../domain/machines.js';
import type { OvhProduct } from '../../domain/service.js';
import type { Patience } from '../patience.js';

/** The provider's own view of machines. Reads only. */
export interface MachineDriver {
  /**
   * What the provider tells of one. What a part of the answer lacks for want of a right is named in `unknown`.
   * @throws Failure `CredentialRefused`, `MachineUnknown` (no machine of that name), `LoadBalancerUnreachable` (no answer)
   */
  look(product: OvhProduct, patience: Patience): Promise<MachineFacts>;
}
