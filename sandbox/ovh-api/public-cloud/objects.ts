import type { JsonObject } from '../json.js';
import type { KindName } from './kinds.js';

/** One object of a load balancer. Never altered: an edit puts another in its place. */
export interface StoredObject {
  readonly kind: KindName;
  readonly id: string;
  /** The pool of a member and of a monitor, the listener of a policy, the policy of a rule. */
  readonly parentId: string | null;
  readonly fields: JsonObject;
}

/** All objects of a load balancer at one moment, in the order of creation. */
export class Objects {
  readonly #byId: Map<string, StoredObject>;

  constructor(objects: Iterable<StoredObject> = []) {
    this.#byId = new Map([...objects].map((object) => [object.id, object]));
  }

  all(): readonly StoredObject[] {
    return [...this.#byId.values()];
  }

  get(kind: KindName, id: unknown): StoredObject | undefined {
    const found = typeof id === 'string' ? this.#byId.get(id) : undefined;
    return found?.kind === kind ? found : undefined;
  }

  list(kind: KindName, parentId?: string): readonly StoredObject[] {
    return [...this.#byId.values()].filter(
      (object) => object.kind === kind && (parentId === undefined || object.parentId === parentId),
    );
  }

  put(object: StoredObject): void {
    this.#byId.set(object.id, object);
  }

  /** Takes an object away, and everything that is in it. */
  delete({ id }: StoredObject): void {
    this.#byId.delete(id);
    for (const child of this.all()) if (child.parentId === id) this.delete(child);
  }

  /** Whether traffic of any listener can come to the pool. */
  isReached(poolId: string): boolean {
    return (
      this.list('listener').some(({ fields }) => fields['defaultPoolId'] === poolId) ||
      this.list('l7Policy').some(({ fields }) => fields['redirectPoolId'] === poolId)
    );
  }

  snapshot(): Objects {
    return new Objects(this.all());
  }
}
