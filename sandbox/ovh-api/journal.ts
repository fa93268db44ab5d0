import type { Json } from './json.js';

/** One call, as it was received and answered. */
export interface JournalEntry {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly method: string;
  /** Within the API, with the query: `/ipLoadbalancing/loadbalancer-.../task?status=todo`. */
  readonly path: string;
  /** Without secrets. */
  readonly body: Json;
  readonly queryId: string;
  readonly by: 'client' | 'somebody else';
  /** Null while it is being answered, and where a fault left it without an answer. */
  status: number | null;
  /** Null where nothing had to be signed, or it was refused before the signature was looked at. */
  signatureOk: boolean | null;
  /** What was made to happen to it. */
  faults: readonly string[];
}

/** The calls so far, oldest first, for assertions such as "exactly one refresh". */
export class Journal {
  readonly #entries: JournalEntry[] = [];

  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  open(entry: JournalEntry): JournalEntry {
    this.#entries.push(entry);
    return entry;
  }

  /** The calls of `method` whose path without query ends in `ending`. */
  calls(method: string, ending: string): readonly JournalEntry[] {
    return this.#entries.filter(
      (entry) => entry.method === method && (entry.path.split('?')[0] ?? '').endsWith(ending),
    );
  }

  clear(): void {
    this.#entries.length = 0;
  }
}

const secretKeys = /secret|password|token|^key$|consumerkey/i;

/** The same JSON with the values of secret keys hidden. */
export function withoutSecrets(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      secretKeys.test(key) ? '[secret]' : withoutSecrets(inner),
    ]),
  );
}
