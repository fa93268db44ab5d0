import { readdirSync } from 'node:fs';
import { within } from './deadline.js';
import { Journal } from './journal.js';
import { Unit } from './unit.js';
import { wantedUnits } from './unit-links.js';
import { unitName } from './unit-name.js';

/** How long programs may take to end politely when the machine is shut down, whatever their unit allows them. */
const shutDownMs = 2000;

/**
 * A stand-in for systemd: the units of one machine, from files in `unitDirectory`, and their journal.
 * It runs real programs, with its own rights and in nobody's confinement.
 */
export class Init {
  readonly unitDirectory: string;
  readonly journal = new Journal();

  readonly #units = new Map<string, Unit>();

  constructor(unitDirectory: string) {
    this.unitDirectory = unitDirectory;
  }

  /** The unit of that name (`greeter` or `greeter.service`), read from its files when it is first asked for. */
  unit(text: string): Unit {
    const name = unitName(text);
    const known = this.#units.get(name.full);
    if (known !== undefined) return known;

    const unit = new Unit(name, this.unitDirectory, this.journal);
    // A name without a file is not worth a place in memory.
    if (unit.loaded.kind !== 'not-found') this.#units.set(name.full, unit);
    return unit;
  }

  /** Units in memory, by name. */
  units(): readonly Unit[] {
    return [...this.#units.values()].toSorted((one, other) => (one.name.full < other.name.full ? -1 : 1));
  }

  /** Reads in the unit files anew. */
  reload(): void {
    for (const file of readdirSync(this.unitDirectory)) if (/[^@]\.service$/.test(file)) this.unit(file);
    for (const unit of this.units()) unit.reload();
  }

  /** Starts what is enabled. */
  async boot(): Promise<void> {
    const units = wantedUnits(this.unitDirectory).map((name) => this.unit(name));
    await Promise.all(units.filter(({ loaded }) => loaded.kind === 'loaded').map((unit) => unit.start()));
  }

  /** Ends every program: politely, and after two seconds without asking. */
  async shutDown(): Promise<void> {
    await within(Promise.all(this.units().map((unit) => unit.stop())), shutDownMs);
    await this.powerOff();
  }

  /** Ends every program at once, and forgets everything but the journal. */
  async powerOff(): Promise<void> {
    await Promise.all(this.units().map((unit) => unit.powerOff()));
    this.#units.clear();
  }
}
