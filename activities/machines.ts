import pMap from 'p-map';
import { Failure, inOneLine } from '../domain/failures.js';
import { describeProduct, type MachineFacts, type MachineObservation } from '../domain/machines.js';
import { serversOf, type OvhProduct, type Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import type { MachineDriver } from '../drivers/machines/driver.js';
import type { Patience } from '../drivers/patience.js';

/** Machines looked at side by side: the API's patience is shared with the load balancer. */
const atOnce = 4;
/** A look at the machines is worth having, and no deployment is held up for it. */
const atMostMs = 30_000;

type Seen =
  | { readonly kind: 'seen'; readonly machine: MachineFacts }
  | { readonly kind: 'not seen'; readonly because: string };

/**
 * The provider's view of every machine whose product the configuration names. What cannot be seen is a part of the answer: a
 * narrow credential, or an API that does not answer, fails no deployment.
 */
export async function observeMachines(
  drivers: Drivers,
  service: Service,
  patience: Patience,
): Promise<readonly MachineObservation[]> {
  const named = serversOf(service).flatMap(({ name, color, ovh }) =>
    ovh === undefined ? [] : [{ server: name, color, product: ovh }],
  );
  if (named.length === 0) return [];
  const late = AbortSignal.timeout(atMostMs);
  const hurried = { ...patience, signal: AbortSignal.any([patience.signal, late]) };
  const driver = await orReason(patience, late, () => drivers.machines(service));
  // One machine may carry several servers.
  const products = new Map(named.map(({ product }) => [describeProduct(product), product]));
  const seen = new Map(
    await pMap(
      products,
      async ([name, product]) => [name, await lookAt(driver, product, patience, hurried, late)] as const,
      { concurrency: atOnce },
    ),
  );
  return named.map((each) => ({ ...each, ...seen.get(describeProduct(each.product))! }));
}

async function lookAt(
  driver: MachineDriver | string,
  product: OvhProduct,
  patience: Patience,
  hurried: Patience,
  late: AbortSignal,
): Promise<Seen> {
  const machine =
    typeof driver === 'string' ? driver : await orReason(patience, late, () => driver.look(product, hurried));
  return typeof machine === 'string' ? { kind: 'not seen', because: machine } : { kind: 'seen', machine };
}

/** What was asked for, or in words why it could not be had. */
async function orReason<Result>(
  { signal }: Patience,
  late: AbortSignal,
  act: () => Promise<Result>,
): Promise<Result | string> {
  try {
    return await act();
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return `OVHcloud's API did not answer within ${atMostMs / 1000} s`;
    if (error instanceof Failure) return inOneLine(error.message).replace(/^Cannot look at [^:]*: /, '');
    throw error;
  }
}
