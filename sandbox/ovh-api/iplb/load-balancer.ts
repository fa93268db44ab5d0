import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

import type { Protocol } from '../../data-plane/configuration.js';
import type { DataPlane } from '../../data-plane/data-plane.js';
import { badRequest, notFound } from '../api-error.js';
import { shownAs, type Json, type JsonObject } from '../json.js';
import { requireAll, requireFit, undescribed } from './field.js';
import { requireDeletable, requireSlowProbe, requireSound } from './integrity.js';
import { kindsOf, type Kind, type KindName } from './kinds.js';
import { Objects, type StoredObject } from './objects.js';

export interface EditingRules {
  /** What is done with keys that no object has. The real API's habit differs by product. */
  readonly unknownKeys: 'refuse' | 'ignore';
  /** Whether a farm goes with its servers or has to be emptied first. */
  readonly deleteFarmWithServers: boolean;
  /** Whether a farm may go while a frontend or a route still sends to it. */
  readonly deleteUsedFarm: boolean;
  /** Whether an edit may leave keys out, which then stay as they are, or has to name all that a creation needs. */
  readonly partialPut: 'merge' | 'refuse';
  /** What a null in an edit does to the field. */
  readonly nullInPut: 'clear' | 'ignore';
  /** Whether a weight of 0 is stored, or taken for none given. */
  readonly weightZero: 'keep' | 'drop';
  /** The shortest interval between probes that is taken, in seconds. */
  readonly leastProbeIntervalS: number;
  /** Whether `pendingChanges` counts every edit, or the objects that differ from what is published. */
  readonly pendingCounts: 'edits' | 'differences';
  /** Whether `pendingChanges` tells of zones in which nothing is pending. */
  readonly pendingZones: 'edited' | 'all';
}

interface Edit {
  readonly zone: string;
  readonly at: number;
}

/** All that is known of a load balancer beside what runs. */
export interface LoadBalancerState {
  readonly displayName: string | null;
  readonly sslConfiguration: string | null;
  readonly objects: readonly StoredObject[];
  readonly nextId: Readonly<Record<KindName, number>>;
  readonly edits: readonly Edit[];
  readonly editCount: number;
  readonly published: readonly (readonly [string, readonly StoredObject[]])[];
}

const firstIds: Readonly<Record<KindName, number>> = {
  frontend: 70_001,
  farm: 80_001,
  server: 90_001,
  route: 50_001,
  rule: 60_001,
  ssl: 40_001,
};

/** One load balancer of the customer, as it is edited. What its instances run is told to them by a refresh. */
export class LoadBalancer {
  readonly serviceName: string;
  readonly zones: readonly string[];
  readonly dataPlane: DataPlane;
  displayName: string | null = null;
  sslConfiguration: string | null = null;

  readonly #rules: EditingRules;
  #staged = new Objects();
  #nextId: Record<KindName, number> = { ...firstIds };
  /** Edits that their zone has not seen, in the order in which they were made. */
  #edits: Edit[] = [];
  #editCount = 0;
  /** What was last published, by zone. */
  #published = new Map<string, Objects>();

  constructor(dataPlane: DataPlane, rules: EditingRules, serviceName?: string) {
    this.serviceName = serviceName ?? `loadbalancer-${randomBytes(16).toString('hex')}`;
    this.dataPlane = dataPlane;
    this.zones = [...new Set(dataPlane.instances.map(({ zone }) => zone))];
    this.#rules = rules;
  }

  get staged(): Objects {
    return this.#staged;
  }

  /** Tells how far edits have come; what a refresh notes when it takes its snapshot. */
  get editCount(): number {
    return this.#editCount;
  }

  state(): LoadBalancerState {
    const { displayName, sslConfiguration } = this;
    return {
      displayName,
      sslConfiguration,
      objects: this.#staged.all(),
      nextId: { ...this.#nextId },
      edits: [...this.#edits],
      editCount: this.#editCount,
      published: [...this.#published].map(([zone, objects]) => [zone, objects.all()]),
    };
  }

  restore(state: LoadBalancerState): void {
    this.displayName = state.displayName;
    this.sslConfiguration = state.sslConfiguration;
    this.#staged = new Objects(state.objects);
    this.#nextId = { ...firstIds, ...state.nextId };
    this.#edits = [...state.edits];
    this.#editCount = state.editCount;
    this.#published = new Map(state.published.map(([zone, objects]) => [zone, new Objects(objects)]));
  }

  pendingChanges(): readonly { readonly zone: string; readonly number: number }[] {
    const { pendingCounts, pendingZones } = this.#rules;
    const count = (zone: string): number =>
      pendingCounts === 'edits'
        ? this.#edits.filter((edit) => edit.zone === zone).length
        : this.#differences(zone);
    return this.zones
      .map((zone) => ({ zone, number: count(zone) }))
      .filter(({ number }) => number > 0 || pendingZones === 'all');
  }

  /** The edits of `zone` up to `editCount`, which made it these objects, have been published. */
  published(zone: string, objects: Objects, editCount: number): void {
    this.#published.set(zone, objects);
    this.#edits = this.#edits.filter((edit) => edit.zone !== zone || edit.at > editCount);
  }

  find(kind: KindName, protocol: Protocol, id: number, parentId?: number): StoredObject {
    const object = this.#staged.get(kind, id);
    const isThere = object?.protocol === protocol && (parentId === undefined || object.parentId === parentId);
    if (!isThere) {
      throw notFound(`The requested object (${kindsOf(protocol)[kind].idField} = ${id}) does not exist`);
    }
    return object;
  }

  create(kindName: KindName, protocol: Protocol, parentId: number | null, given: JsonObject): StoredObject {
    const kind = kindsOf(protocol)[kindName];
    const wanted = this.#taken(this.#described(kind, given, 'creation'));
    requireAll(kind.fields, wanted);
    requireFit(kind.fields, wanted);

    const initial = Object.fromEntries(
      Object.entries(kind.fields).map(([name, field]) => [name, field.initial]),
    );
    const object: StoredObject = {
      kind: kindName,
      protocol,
      id: this.#nextId[kindName],
      parentId,
      fields: this.#completed({ ...initial, ...wanted }, kindName, parentId),
    };
    this.#requireSound(object);
    this.#nextId[kindName]++;
    this.#staged.put(object);
    this.#edited(object);
    return object;
  }

  /** Takes the keys that are given and leaves the others; null clears. */
  edit(object: StoredObject, given: JsonObject): void {
    const kind = kindsOf(object.protocol)[object.kind];
    const described = this.#described(kind, given, 'edition');
    if (this.#rules.partialPut === 'refuse') requireAll(kind.fields, described);
    const wanted = this.#taken(this.#rules.nullInPut === 'clear' ? described : withoutNull(described));
    requireFit(kind.fields, wanted);
    requireUnmoved(kind, object, wanted);

    const edited = { ...object, fields: { ...object.fields, ...wanted } };
    this.#requireSound(edited);
    this.#edited(object);
    this.#staged.put(edited);
    if (zoneOf(object, this.#staged) !== zoneOf(edited, this.#staged)) this.#edited(edited);
  }

  delete(object: StoredObject): void {
    requireDeletable(object, this.#staged, this.#rules);
    this.#edited(object);
    const children = { farm: 'server', route: 'rule' } as const;
    if (object.kind === 'farm' || object.kind === 'route') {
      for (const child of this.#staged.list(children[object.kind], { parentId: object.id }))
        this.#staged.delete(child);
    }
    this.#staged.delete(object);
  }

  #requireSound(object: StoredObject): void {
    requireSound(object, this.#staged, this.zones);
    requireSlowProbe(object, this.#rules.leastProbeIntervalS);
  }

  /** How many objects of a zone differ from what was last published there. */
  #differences(zone: string): number {
    const before = this.#published.get(zone) ?? new Objects();
    const isHere = (object: StoredObject, among: Objects): boolean =>
      ['all', zone].includes(zoneOf(object, among));
    const changed = this.#staged
      .all()
      .filter(
        (object) => isHere(object, this.#staged) && !isSame(before.get(object.kind, object.id), object),
      );
    const gone = before
      .all()
      .filter((object) => isHere(object, before) && !this.#staged.get(object.kind, object.id));
    return changed.length + gone.length;
  }

  #taken(wanted: Record<string, Json>): Record<string, Json> {
    if (this.#rules.weightZero === 'keep' || wanted['weight'] !== 0) return wanted;
    const { weight: _dropped, ...rest } = wanted;
    return rest;
  }

  /** Leaves out read-only keys; unknown ones too, or refuses them. */
  #described(kind: Kind, given: JsonObject, verb: 'creation' | 'edition'): Record<string, Json> {
    const strange = Object.keys(given).filter(
      (name) => !(name in kind.fields) && !kind.readOnly.includes(name),
    );
    if (strange.length > 0 && this.#rules.unknownKeys === 'refuse') throw undescribed(strange, verb);
    return Object.fromEntries(Object.entries(given).filter(([name]) => name in kind.fields));
  }

  /** A server of a farm that is sticky by cookie gets a value for it. */
  #completed(fields: JsonObject, kind: KindName, parentId: number | null): JsonObject {
    const isSticky =
      kind === 'server' && this.#staged.get('farm', parentId ?? 0)?.fields['stickiness'] === 'cookie';
    return isSticky && fields['cookie'] === null
      ? { ...fields, cookie: randomBytes(8).toString('hex') }
      : fields;
  }

  #edited(object: StoredObject): void {
    const zone = zoneOf(object, this.#staged);
    this.#editCount++;
    for (const one of zone === 'all' ? this.zones : [zone])
      this.#edits.push({ zone: one, at: this.#editCount });
  }
}

const withoutNull = (given: Record<string, Json>): Record<string, Json> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));

const isSame = (one: StoredObject | undefined, other: StoredObject): boolean =>
  isDeepStrictEqual(one?.fields, other.fields);

function requireUnmoved(kind: Kind, { fields }: StoredObject, wanted: JsonObject): void {
  const moved = Object.keys(wanted).find(
    (name) => kind.fields[name]?.isFixed && wanted[name] !== fields[name],
  );
  if (moved !== undefined) throw badRequest(`[${moved}] This property can not be changed`);
}

/** Where an edit of the object has to be published. */
function zoneOf({ kind, fields, parentId }: StoredObject, objects: Objects): string {
  if (kind === 'ssl') return 'all';
  if (kind === 'frontend' || kind === 'farm') return shownAs(fields['zone']);
  const parent =
    kind === 'route'
      ? objects.get('frontend', Number(fields['frontendId']))
      : objects.get(kind === 'server' ? 'farm' : 'route', parentId ?? 0);
  return parent === undefined ? 'all' : zoneOf(parent, objects);
}
