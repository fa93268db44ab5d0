import { z } from 'zod';

import { globMatches } from './access-rules.js';

const when = {
  /** Any method where left out. */
  method: z.enum(['GET', 'POST', 'PUT', 'DELETE']).optional(),
  /** The path within the API, without `/1.0` and query; `*` stands for any characters. */
  path: z.string().regex(/^[/*]/, 'must start with / or *'),
  /** How many calls it happens to; every one where left out. */
  times: z.int().min(1).optional(),
  /** How many matching calls pass before the first it happens to. */
  after: z.int().min(0).optional(),
};

const plain = z.enum([
  /** The connection is cut before the call is looked at. */
  'drop-before',
  /** The call is carried out, then the connection is cut: the caller cannot know. */
  'drop-after',
  /** The call is carried out; half of the answer arrives. */
  'cut-body',
  /** No answer, ever. */
  'hang',
  '500',
  /** A proxy's page instead of JSON. */
  '502-html',
  /** The service has expired. */
  '460',
  /** The consumer key is told to be no longer valid. */
  'expired-credential',
]);

/** A fault as it is set, in code or by `POST /sandbox/faults`. */
export const Fault = z.union([
  z.strictObject({ ...when, action: plain }),
  z.strictObject({ ...when, action: z.literal('latency'), latencyMs: z.number().min(0) }),
  z.strictObject({ ...when, action: z.literal('429'), retryAfterS: z.int().min(0).optional() }),
  z.strictObject({
    ...when,
    action: z.literal('clock-skew'),
    /** How far the API's clock is ahead of the sandbox's. */
    skewMs: z.number(),
  }),
]);

export type Fault = z.infer<typeof Fault>;

export interface SetFault {
  readonly id: number;
  readonly fault: Fault;
  /** Calls that matched, those let pass too. */
  readonly matched: number;
}

/** The faults that are set. The first that matches a call and is due happens; latency comes on top of others. */
export class Faults {
  readonly #faults = new Map<number, { readonly id: number; readonly fault: Fault; matched: number }>();
  #nextId = 1;

  add(fault: Fault): SetFault {
    const set = { id: this.#nextId++, fault: Fault.parse(fault), matched: 0 };
    this.#faults.set(set.id, set);
    return set;
  }

  list(): readonly SetFault[] {
    return [...this.#faults.values()];
  }

  /** Tells whether there was one. */
  remove(id: number): boolean {
    return this.#faults.delete(id);
  }

  clear(): void {
    this.#faults.clear();
  }

  /** What happens to this call. Counts it. */
  happeningTo(method: string, path: string): readonly Fault[] {
    const due: Fault[] = [];
    for (const set of this.#faults.values()) {
      const { fault } = set;
      if ((fault.method ?? method) !== method || !globMatches(fault.path, path)) continue;
      const turn = set.matched++ - (fault.after ?? 0);
      if (turn >= 0 && turn < (fault.times ?? Infinity)) due.push(fault);
    }
    return due;
  }
}
