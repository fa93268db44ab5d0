import type { SecretName } from './names.js';

/** A secret by name. This is all that a configuration, a workflow or a history ever holds of one. */
export interface SecretReference {
  readonly secret: SecretName;
}

/** An SSH agent by name, which a worker may grant: it signs with keys that nobody is shown. */
export interface AgentReference {
  readonly agent: SecretName;
}

/** A secret's value. Printed, logged or turned into JSON it is `[secret]`; only `reveal` gives it away. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself, for the one call that needs it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}
