import type { Protocol } from '../../data-plane/configuration.js';
import type { JsonObject } from '../json.js';
import type { KindName } from './kinds.js';

/** One stored object. Never altered: an edit puts another in its place. */
export interface StoredObject {
  readonly kind: KindName;
  readonly protocol: Protocol;
  readonly id: number;
  /** The farm of a server, the route of a rule. */
  readonly parentId: number | null;
  readonly fields: JsonObject;
}

/** Which objects a list wants. */
export interface Selection {
  readonly protocol?: Protocol;
  readonly parentId?: number;
}

/** All objects of a load balancer at one moment. */
export class Objects {
  readonly #byKind: Readonly<Record<KindName, Map<number, StoredObject>>>;

  constructor(objects: Iterable<StoredObject> = []) {
    this.#byKind = {
      frontend: new Map(),
      farm: new Map(),
      server: new Map(),
      route: new Map(),
      rule: new Map(),
      ssl: new Map(),
    };
    for (const object of objects) this.put(object);
  }

  get(kind: KindName, id: number): StoredObject | undefined {
    return this.#byKind[kind].get(id);
  }

  /** In the order of creation. */
  list(kind: KindName, { protocol, parentId }: Selection = {}): readonly StoredObject[] {
    return [...this.#byKind[kind].values()].filter(
      (object) =>
        (protocol === undefined || object.protocol === protocol) &&
        (parentId === undefined || object.parentId === parentId),
    );
  }

  put(object: StoredObject): void {
    this.#byKind[object.kind].set(object.id, object);
  }

  delete({ kind, id }: StoredObject): void {
    this.#byKind[kind].delete(id);
  }

  /** A copy that later edits do not reach. */
  snapshot(): Objects {
    return new Objects(this.all());
  }

  /** Of all kinds, each in the order of creation. */
  all(): readonly StoredObject[] {
    return Object.values(this.#byKind).flatMap((objects) => [...objects.values()]);
  }
}
