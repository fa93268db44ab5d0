import { Failure } from '../../domain/failures.js';
import { describeProduct, type MachineFacts } from '../../domain/machines.js';
import type { OvhProduct } from '../../domain/service.js';
import type { MachineDriver } from './driver.js';

/** Machines that a test has told of. */
export class InMemoryMachines implements MachineDriver {
  readonly #told = new Map<string, MachineFacts | Failure>();

  tell(product: OvhProduct, facts: MachineFacts | Failure): void {
    this.#told.set(describeProduct(product), facts);
  }

  async look(product: OvhProduct): Promise<MachineFacts> {
    const told = this.#told.get(describeProduct(product));
    if (told instanceof Failure) throw told;
    if (told) return told;
    throw new Failure(
      'MachineUnknown',
      `Cannot look at ${describeProduct(product)}: there is none, needs one`,
    );
  }
}
