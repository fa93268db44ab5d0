import type { Account, AccountState } from './account.js';
import type { OvhApiBehaviour } from './behaviour.js';
import type { Certificates } from './certificate-authority.js';
import type { Faults, SetFault } from './faults.js';
import type { Product } from './resource.js';
import type { Request, Validations } from './validation.js';

/** What of a sandbox survives its process. Secrets too. */
export interface State {
  readonly version: 1;
  readonly port: number;
  /** The first load balancer. */
  readonly serviceName: string;
  readonly certificates: Certificates;
  readonly account: AccountState;
  readonly behaviour: OvhApiBehaviour;
  readonly faults: readonly SetFault[];
  readonly validations: readonly (readonly [string, Request])[];
  readonly products: Readonly<Record<string, unknown>>;
}

/** Whoever holds a part of the state. */
export interface Parts {
  readonly account: Account;
  readonly behaviour: OvhApiBehaviour;
  readonly faults: Faults;
  readonly validations: Validations;
  readonly products: Readonly<Record<string, Product>>;
}

export function stateOf(
  { account, behaviour, faults, validations, products }: Parts,
  rest: Pick<State, 'port' | 'serviceName' | 'certificates'>,
): State {
  return {
    version: 1,
    ...rest,
    account: account.state(),
    behaviour,
    faults: faults.list(),
    validations: validations.state(),
    products: Object.fromEntries(
      Object.entries(products).map(([name, product]) => [name, product.state?.() ?? null]),
    ),
  };
}

export async function restore(
  { account, behaviour, faults, validations, products }: Parts,
  state: State,
): Promise<void> {
  account.restore(state.account);
  Object.assign(behaviour, state.behaviour);
  faults.restore(state.faults);
  validations.restore(state.validations);
  for (const [name, kept] of Object.entries(state.products)) await products[name]?.restore?.(kept);
}

/** Throws for what was kept by a sandbox of another kind. */
export function stateFrom(kept: unknown, path: string): State | undefined {
  if (kept === undefined) return undefined;
  const version = typeof kept === 'object' && kept !== null && 'version' in kept ? kept.version : undefined;
  if (version === 1) return kept as State;
  throw new TypeError(`Cannot go on from "${path}": it is not this sandbox's, needs version 1\n  remove it`);
}
