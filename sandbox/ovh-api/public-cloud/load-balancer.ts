import { randomUUID } from 'node:crypto';

import type { DataPlane } from '../../data-plane/data-plane.js';
import { ApiError, badRequest, conflict, forbidden, notFound } from '../api-error.js';
import { requireAll, requireFit, undescribed } from '../iplb/field.js';
import type { EditingRules } from '../iplb/load-balancer.js';
import type { RefreshesWorld, Wait } from '../iplb/refresh.js';
import type { Json, JsonObject } from '../json.js';
import { requireDeletable, requireSound } from './integrity.js';
import { kinds, type KindName } from './kinds.js';
import { Objects, type StoredObject } from './objects.js';
import { Numbers, rendered } from './rendering.js';

export type ProvisioningStatus = 'active' | 'creating' | 'deleting' | 'error' | 'updating';

/** What of the Public Cloud Load Balancer is not certain, and the times that a test would not wait for. */
export interface PublicCloudRules {
  /** How long a change locks its load balancer; the amphorae run it at the end. */
  readonly updatingMs: number;
  /** How long a new load balancer is created. */
  readonly creatingMs: number;
  /** How a write is answered that meets the lock. */
  readonly lockedAnswer: 'immutable 409' | 'pending 409' | 'bare 409' | 'immutable 400' | 'immutable 500';
  /** How members look in a pool that no listener reaches. */
  readonly unreachedPools: 'offline' | 'noMonitor' | 'monitored';
  /** What becomes of a listener's default pool when another one is created for it. */
  readonly poolForListener: 'replaces' | 'refused';
  /** Whether an edit leaves alone what it does not name. */
  readonly publicCloudEdits: 'merge' | 'replace';
  /** How long reads show an object as it was before its edit. */
  readonly readLagMs: number;
  /** How many of each kind the project may have on a load balancer. What is not named has no end. */
  readonly publicCloudQuota: Readonly<Partial<Record<KindName, number>>>;
  /** How long nobody is told of an object that was created. */
  readonly createLagMs: number;
  /** Whether the declarative API under /v2 answers reads. */
  readonly publicCloudV2: 'absent' | 'readable';
}

/** How a change is made to end. `stuck` is `updating` for ever. */
export interface ChangeEnding {
  readonly status: 'error' | 'stuck';
  /** Whether the amphorae run it all the same. */
  readonly applied?: boolean;
}

interface Lag {
  readonly fields: JsonObject;
  readonly untilMs: number;
}

export interface LoadBalancerPlace {
  readonly project: string;
  readonly region: string;
  readonly name: string;
}

/** What of a load balancer survives a restart, as plain JSON. */
export interface PublicCloudLoadBalancerState {
  readonly id: string;
  readonly place: LoadBalancerPlace;
  readonly fields: JsonObject;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly status: ProvisioningStatus;
  readonly isStuck: boolean;
  readonly deleted: readonly StoredObject[];
  readonly objects: readonly StoredObject[];
  readonly applied: readonly StoredObject[];
  readonly provisioning: readonly (readonly [string, ProvisioningStatus])[];
  readonly numbers: readonly (readonly [string, number])[];
  readonly endings: readonly ChangeEnding[];
}

/** One Octavia load balancer: a change is accepted at once and locks everything in it until the amphorae run it. */
export class PublicCloudLoadBalancer {
  readonly id: string;
  readonly place: LoadBalancerPlace;
  readonly dataPlane: DataPlane;
  createdAtMs: number;
  updatedAtMs: number;
  fields: JsonObject;

  readonly #rules: PublicCloudRules & Pick<EditingRules, 'unknownKeys'>;
  readonly #clock: () => number;
  readonly #wait: Wait;
  readonly #changed: () => void;
  readonly #lagging = new Map<string, Lag>();
  /** Until when nobody is told of an object. */
  readonly #hidden = new Map<string, number>();
  /** Members of which the amphorae have told nothing yet. */
  readonly untold = new Set<string>();
  #objects = new Objects();
  #numbers = new Numbers();
  #provisioning = new Map<string, ProvisioningStatus>();
  #endings: ChangeEnding[] = [];
  #status: ProvisioningStatus = 'active';
  #isStuck = false;
  /** What the change that is being applied takes away. */
  #deleted: readonly StoredObject[] = [];
  /** Told apart by it: what was restored since is not to be ended by an older change. */
  #change = 0;
  #applied = new Objects();
  #last: Promise<void> = Promise.resolve();

  constructor(
    place: LoadBalancerPlace,
    dataPlane: DataPlane,
    rules: PublicCloudRules & Pick<EditingRules, 'unknownKeys'>,
    { clock, wait, changed }: RefreshesWorld,
    id: string = randomUUID(),
  ) {
    this.id = id;
    this.place = place;
    this.dataPlane = dataPlane;
    this.#rules = rules;
    this.#clock = clock;
    this.#wait = wait;
    this.#changed = changed;
    this.createdAtMs = clock();
    this.updatedAtMs = this.createdAtMs;
    this.fields = { name: place.name, description: null, flavorId: smallFlavor };
  }

  get objects(): Objects {
    return this.#objects;
  }

  /** What the amphorae run, whatever was accepted since. */
  get applied(): Objects {
    return this.#applied;
  }

  get provisioningStatus(): ProvisioningStatus {
    return this.#status;
  }

  provisioningOf({ id }: StoredObject): ProvisioningStatus {
    return this.#provisioning.get(id) ?? 'active';
  }

  /** As reads show it: for a while after an edit, perhaps as before. */
  shownFields({ id, fields }: StoredObject): JsonObject {
    const lag = this.#lagging.get(id);
    return lag !== undefined && this.#clock() < lag.untilMs ? lag.fields : fields;
  }

  /** The data plane's number of a listener, pool or member. */
  numberOf(id: string): number {
    return this.#numbers.of(id);
  }

  /** Makes the next change that is accepted end badly. */
  endNext(ending: ChangeEnding): void {
    this.#endings.push(ending);
  }

  /** What OVHcloud's support does with one that is in error: everything is built anew. */
  recover(): void {
    this.#isStuck = false;
    this.#status = 'active';
    this.#provisioning.clear();
    this.#begin([], 'updating');
  }

  /** Settles when nothing is being applied. One that is stuck is. */
  settled(): Promise<void> {
    return this.#last;
  }

  /** Builds it, as after its order. */
  build(): void {
    this.#status = 'creating';
    this.#last = this.#built();
  }

  find(kind: KindName, id: string, parentId?: string): StoredObject {
    const found = this.#objects.get(kind, id);
    if (
      found === undefined ||
      !this.isShown(found) ||
      (parentId !== undefined && found.parentId !== parentId)
    )
      throw notFound(`${kinds[kind].title} ${id} not found.`);
    return found;
  }

  editItself(given: JsonObject): void {
    this.#requireMutable();
    this.fields = { ...this.fields, ...given };
    this.#begin([], 'updating');
  }

  create(kind: KindName, parentId: string | null, given: JsonObject): StoredObject {
    const [made] = this.createAll(kind, parentId, [given]);
    return made!;
  }

  /** Several of one kind, with one change of the load balancer. */
  createAll(kind: KindName, parentId: string | null, given: readonly JsonObject[]): readonly StoredObject[] {
    this.#requireMutable();
    const next = this.#objects.snapshot();
    const made = given.map((one) => {
      const object = this.#made(kind, parentId, one);
      requireSound(object, next);
      next.put(object);
      return object;
    });
    this.#requireQuota(kind, next);
    for (const object of made) {
      this.#objects.put(object);
      if (this.#rules.createLagMs > 0) this.#hidden.set(object.id, this.#clock() + this.#rules.createLagMs);
    }
    this.#begin(made, 'creating');
    return made;
  }

  /** In the words of Octavia. */
  #requireQuota(kind: KindName, objects: Objects): void {
    const most = this.#rules.publicCloudQuota[kind];
    if (most === undefined || objects.list(kind).length <= most) return;
    throw forbidden(`Quota has been met for resources: ${kind.toLowerCase()}`);
  }

  /** Whether anybody is told of an object. */
  isShown({ id }: StoredObject): boolean {
    return this.#clock() >= (this.#hidden.get(id) ?? 0);
  }

  /** A pool may be created for a listener, whose default it then is. */
  createPool(listenerId: string | null, given: JsonObject): StoredObject {
    const listener = listenerId === null ? undefined : this.find('listener', listenerId);
    const hasPool = listener !== undefined && listener.fields['defaultPoolId'] !== null;
    if (hasPool && this.#rules.poolForListener === 'refused')
      throw conflict(`Listener ${listenerId} already has a default pool.`);
    const pool = this.create('pool', null, given);
    if (listener !== undefined)
      this.#objects.put({ ...listener, fields: { ...listener.fields, defaultPoolId: pool.id } });
    return pool;
  }

  edit(object: StoredObject, given: JsonObject): StoredObject {
    this.#requireMutable();
    const { fields } = kinds[object.kind];
    const wanted = this.#described(object.kind, given, 'edition');
    requireFit(fields, wanted);
    const moved = Object.keys(wanted).find(
      (name) => fields[name]?.isFixed && wanted[name] !== object.fields[name],
    );
    if (moved !== undefined) throw badRequest(`[${moved}] This property can not be changed`);

    const forgotten = this.#rules.publicCloudEdits === 'replace' ? unnamed(object, wanted) : {};
    const edited = { ...object, fields: { ...object.fields, ...forgotten, ...wanted } };
    requireSound(edited, this.#objects);
    this.#objects.put(edited);
    if (this.#rules.readLagMs > 0)
      this.#lagging.set(object.id, {
        fields: object.fields,
        untilMs: this.#clock() + this.#rules.readLagMs,
      });
    this.#begin([edited], 'updating');
    return edited;
  }

  delete(object: StoredObject): void {
    this.#requireMutable();
    requireDeletable(object, this.#objects);
    this.#begin([object], 'deleting');
  }

  #made(kind: KindName, parentId: string | null, given: JsonObject): StoredObject {
    const { fields } = kinds[kind];
    const wanted = this.#described(kind, given, 'creation');
    requireAll(fields, wanted);
    requireFit(fields, wanted);
    const initial = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.initial]));
    return { kind, id: randomUUID(), parentId, fields: { ...initial, ...wanted } };
  }

  #described(kind: KindName, given: JsonObject, verb: 'creation' | 'edition'): Record<string, Json> {
    const { fields } = kinds[kind];
    const strange = Object.keys(given).filter((name) => !(name in fields));
    if (strange.length > 0 && this.#rules.unknownKeys === 'refuse') throw undescribed(strange, verb);
    return Object.fromEntries(Object.entries(given).filter(([name]) => name in fields));
  }

  #requireMutable(): void {
    if (this.#status === 'active') return;
    throw this.#locked();
  }

  #locked(): ApiError {
    const immutable = `Load Balancer ${this.id} is immutable and cannot be updated.`;
    const answer = (status: number, message: string): ApiError =>
      new ApiError(status, { errorCode: 'CONFLICT', errorClass: 'Client::Conflict' }, message);
    switch (this.#rules.lockedAnswer) {
      case 'immutable 409':
        return answer(409, immutable);
      case 'pending 409':
        return answer(409, `Invalid state PENDING_UPDATE of loadbalancer resource ${this.id}`);
      case 'bare 409':
        return answer(409, 'Conflict');
      case 'immutable 400':
        return badRequest(immutable);
      case 'immutable 500':
        return answer(500, immutable);
      default:
        return this.#rules.lockedAnswer satisfies never;
    }
  }

  #begin(touched: readonly StoredObject[], status: ProvisioningStatus): void {
    this.#status = 'updating';
    this.updatedAtMs = this.#clock();
    for (const object of touched) {
      this.#provisioning.set(object.id, status);
      for (const parent of this.#parentsOf(object)) this.#provisioning.set(parent, 'updating');
    }
    this.#deleted = status === 'deleting' ? touched : [];
    this.#last = this.#apply(this.#endings.shift());
    this.#changed();
  }

  /** What a change of an object makes pending beside it and the load balancer. */
  #parentsOf({ kind, id, parentId }: StoredObject): readonly string[] {
    const parent = parentId === null ? undefined : this.#byId(parentId);
    if (parent !== undefined) return [parent.id, ...this.#parentsOf(parent)];
    if (kind !== 'pool') return [];
    return this.#objects
      .list('listener')
      .filter(({ fields }) => fields['defaultPoolId'] === id)
      .map((listener) => listener.id);
  }

  #byId(id: string): StoredObject | undefined {
    return (['listener', 'pool', 'l7Policy'] as const)
      .map((kind) => this.#objects.get(kind, id))
      .find((object) => object !== undefined);
  }

  async #built(): Promise<void> {
    try {
      await this.#wait(this.#rules.creatingMs);
      this.#status = 'active';
      this.#changed();
    } catch (error) {
      if (!isClosing(error)) throw error;
    }
  }

  async #apply(ending: ChangeEnding | undefined): Promise<void> {
    const change = ++this.#change;
    this.#isStuck = ending?.status === 'stuck';
    try {
      await this.#wait(this.#rules.updatingMs);
      if (change !== this.#change) return;
      // Nothing else can have been changed meanwhile.
      const snapshot = this.#objects.snapshot();
      for (const object of this.#deleted) snapshot.delete(object);
      if (ending === undefined || ending.applied === true) await this.#run(snapshot);
    } catch (error) {
      if (isClosing(error)) return;
      // Callers see the status alone, as with the real API; whoever runs the sandbox sees why.
      process.emitWarning(error instanceof Error ? error : String(error));
      return this.#end('error');
    }
    if (this.#isStuck) return;
    if (ending === undefined) for (const object of this.#deleted) this.#objects.delete(object);
    this.#end(ending === undefined ? 'active' : 'error');
  }

  #end(status: 'active' | 'error'): void {
    this.#status = status;
    this.#deleted = [];
    if (status === 'active') this.#provisioning.clear();
    for (const id of this.#provisioning.keys()) this.#provisioning.set(id, 'error');
    this.#changed();
  }

  state(): PublicCloudLoadBalancerState {
    return {
      id: this.id,
      place: this.place,
      fields: this.fields,
      createdAtMs: this.createdAtMs,
      updatedAtMs: this.updatedAtMs,
      status: this.#status,
      isStuck: this.#isStuck,
      deleted: this.#deleted,
      objects: this.#objects.all(),
      applied: this.#applied.all(),
      provisioning: [...this.#provisioning],
      numbers: this.#numbers.all(),
      endings: [...this.#endings],
    };
  }

  /** Goes on from `state`: the amphorae run what they ran, and a change under way is applied from its start. */
  async restore(state: PublicCloudLoadBalancerState): Promise<void> {
    this.#change++;
    this.#lagging.clear();
    this.#hidden.clear();
    this.fields = state.fields;
    this.createdAtMs = state.createdAtMs;
    this.updatedAtMs = state.updatedAtMs;
    this.#status = state.status;
    this.#isStuck = state.isStuck;
    this.#deleted = state.deleted;
    this.#objects = new Objects(state.objects);
    this.#provisioning = new Map(state.provisioning);
    this.#numbers = new Numbers(state.numbers);
    this.#endings = [...state.endings];
    await this.#run(new Objects(state.applied));
    if (state.status === 'creating') this.build();
    if (state.status === 'updating' && !state.isStuck) this.#last = this.#apply(undefined);
  }

  async #run(snapshot: Objects): Promise<void> {
    const isWatched = (id: string): boolean =>
      this.#rules.unreachedPools === 'monitored' && !snapshot.isReached(id);
    const watched = snapshot.list('pool').flatMap(({ id }) => (isWatched(id) ? [id] : []));
    for (const { instanceId } of this.dataPlane.instances)
      await this.dataPlane.apply(instanceId, rendered(snapshot, this.#numbers, watched));
    this.#applied = snapshot;
  }

  /** Whether members of a pool are looked at, and how they seem where they are not. */
  looksAt(poolId: string): 'offline' | 'noMonitor' | 'monitored' {
    return this.#applied.isReached(poolId) ? 'monitored' : this.#rules.unreachedPools;
  }
}

/** The fields of an object that may be edited and that an edit does not name, as they are without a value. */
function unnamed({ kind }: StoredObject, wanted: JsonObject): JsonObject {
  const { fields } = kinds[kind];
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([name, field]) => !field.isFixed && !field.isRequired && !(name in wanted))
      .map(([name, { initial }]) => [name, initial]),
  );
}

/** The sandbox is closed: nothing more is applied. */
const isClosing = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

export const smallFlavor = '0f1a2b3c-0000-4000-8000-000000000001';
