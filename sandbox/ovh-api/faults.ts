import { z } from 'zod';

import { globMatches } from './access-rules.js';
import type { Json, JsonObject } from './json.js';
import type { Method } from './resource.js';

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

/** One call of somebody else, past credentials and faults: an edit, or `POST .../refresh`. */
export interface ForeignCall {
  readonly method: Method;
  readonly path: string;
  readonly body?: JsonObject | undefined;
}

export const ForeignCall: z.ZodType<ForeignCall, ForeignCall> = z.strictObject({
  method: z.enum(['GET', 'POST', 'PUT', 'DELETE']),
  path: z.string().startsWith('/', 'must start with /'),
  body: z.record(z.string(), z.custom<Json>()).optional(),
});

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
  /** A proxy's page that says that the call took too long; whether it was carried out, nobody knows. */
  '408-html',
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
    /** Somebody else makes calls in the control panel just before the call is looked at, or just after it was carried out. */
    action: z.literal('foreign-editor'),
    when: z.enum(['before', 'after']).default('before'),
    calls: z.array(ForeignCall).min(1),
  }),
  z.strictObject({
    ...when,
    action: z.literal('clock-skew'),
    /** How far the API's clock is ahead of the sandbox's. */
    skewMs: z.number(),
  }),
]);

/** As it is set. */
export type Fault = z.input<typeof Fault>;
/** As it happens: with everything that was left out. */
export type DueFault = z.output<typeof Fault>;

export interface SetFault {
  readonly id: number;
  readonly fault: DueFault;
  /** Calls that matched, those let pass too. */
  readonly matched: number;
}

/** The faults that are set. The first that matches a call and is due happens; latency comes on top of others. */
export class Faults {
  readonly #faults = new Map<number, { readonly id: number; readonly fault: DueFault; matched: number }>();
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

  restore(set: readonly SetFault[]): void {
    this.clear();
    for (const one of set) this.#faults.set(one.id, { ...one });
    this.#nextId = Math.max(0, ...set.map(({ id }) => id)) + 1;
  }

  /** What happens to this call. Counts it. */
  happeningTo(method: string, path: string): readonly DueFault[] {
    const due: DueFault[] = [];
    for (const set of this.#faults.values()) {
      const { fault } = set;
      if ((fault.method ?? method) !== method || !globMatches(fault.path, path)) continue;
      const turn = set.matched++ - (fault.after ?? 0);
      if (turn >= 0 && turn < (fault.times ?? Infinity)) due.push(fault);
    }
    return due;
  }
}
