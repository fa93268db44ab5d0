import { badRequest, conflict } from '../api-error.js';
import { isObject, numberOf, shownAs, textOf, type Json, type JsonObject } from '../json.js';
import type { Objects, StoredObject } from './objects.js';

const routesPerLoadBalancer = 50;
const rulesPerRoute = 5;

/** Throws where `object`, all its fields taken together, cannot stand beside the others. */
export function requireSound(object: StoredObject, others: Objects, zones: readonly string[]): void {
  switch (object.kind) {
    case 'frontend':
      requireZone(object.fields['zone'], zones);
      requireOneSourceList(object.fields);
      return requireFarm('defaultFarmId', object.fields['defaultFarmId'], object, others);
    case 'farm':
      requireZone(object.fields['zone'], zones);
      return requireProbe(object.fields['probe']);
    case 'server':
    case 'ssl':
      return;
    case 'route':
      return requireRoute(object, others);
    case 'rule':
      return requireRoom('rules', others.list('rule', parentOf(object)), object, rulesPerRoute);
    default:
      return object.kind satisfies never;
  }
}

/** Throws for a farm that asks to be probed more often than is taken. */
export function requireSlowProbe({ fields }: StoredObject, leastIntervalS: number): void {
  const { probe } = fields;
  const interval = isObject(probe) ? (numberOf(probe['interval']) ?? leastIntervalS) : leastIntervalS;
  if (interval < leastIntervalS) throw badRequest(`[interval] Must be at least ${leastIntervalS}`);
}

/** Throws while something still needs the object. */
export function requireDeletable(
  object: StoredObject,
  others: Objects,
  rules: { readonly deleteFarmWithServers: boolean; readonly deleteUsedFarm: boolean },
): void {
  if (object.kind === 'farm') {
    const user =
      others.list('frontend').find(({ fields }) => fields['defaultFarmId'] === object.id) ??
      others.list('route').find((route) => targetOf(route.fields) === object.id);
    if (user !== undefined && !rules.deleteUsedFarm)
      throw conflict(`This farm is still used by ${user.kind} ${user.id}`);
    const servers = others.list('server', { parentId: object.id }).length;
    if (servers > 0 && !rules.deleteFarmWithServers)
      throw conflict(`This farm still has ${servers} server(s)`);
  }
  if (object.kind === 'frontend') {
    const route = others.list('route').find(({ fields }) => fields['frontendId'] === object.id);
    if (route !== undefined) throw conflict(`This frontend is still used by route ${route.id}`);
  }
}

/** The farm that a route sends to, or `undefined` where it does something else. */
export function targetOf(route: JsonObject): number | undefined {
  const action = route['action'];
  return isObject(action) && action['type'] === 'farm' ? Number(action['target']) : undefined;
}

function requireZone(zone: Json | undefined, zones: readonly string[]): void {
  if (zone === 'all' || zones.includes(shownAs(zone))) return;
  throw badRequest(`[zone] Given data (${shownAs(zone)}) is not one of your zones`);
}

function requireOneSourceList({ allowedSource, deniedSource }: JsonObject): void {
  if (isFilled(allowedSource) && isFilled(deniedSource)) {
    throw badRequest('allowedSource and deniedSource are mutually exclusive');
  }
}

const isFilled = (value: Json | undefined): boolean => Array.isArray(value) && value.length > 0;

function requireFarm(name: string, farmId: Json | undefined, user: StoredObject, others: Objects): void {
  if (farmId === null || farmId === undefined) return;
  const farm = others.get('farm', Number(farmId));
  if (farm === undefined || farm.protocol !== user.protocol) {
    throw badRequest(`[${name}] The requested object (farmId = ${shownAs(farmId)}) does not exist`);
  }
  const zone = user.fields['zone'] ?? 'all';
  const farmZone = farm.fields['zone'];
  if (zone !== farmZone && zone !== 'all' && farmZone !== 'all') {
    throw badRequest(`[${name}] The farm ${farm.id} is not in zone ${shownAs(zone)}`);
  }
}

function requireProbe(probe: Json | undefined): void {
  if (!isObject(probe)) return;
  const match = probe['match'] ?? 'default';
  if (probe['negate'] === true && match === 'default')
    throw badRequest('A probe can not negate without a match');
  if (match === 'status' && probe['type'] !== 'http') {
    throw badRequest('A probe can match a status only with type http');
  }
  if (match !== 'default' && !probe['pattern']) {
    throw badRequest(`A probe needs a pattern to match ${shownAs(match)}`);
  }
  if (match === 'matches' && !isPattern(textOf(probe['pattern']) ?? '')) {
    throw badRequest('[pattern] Given data is not a regular expression');
  }
}

function isPattern(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

function requireRoute(route: StoredObject, others: Objects): void {
  requireRoom('routes', others.list('route'), route, routesPerLoadBalancer);
  const { frontendId } = route.fields;
  if (frontendId !== null && others.get('frontend', Number(frontendId))?.protocol !== route.protocol) {
    throw badRequest(
      `[frontendId] The requested object (frontendId = ${shownAs(frontendId)}) does not exist`,
    );
  }
  const target = targetOf(route.fields);
  if (target !== undefined) requireFarm('target', target, route, others);
}

function requireRoom(
  what: string,
  present: readonly StoredObject[],
  added: StoredObject,
  limit: number,
): void {
  const isNew = !present.some(({ id }) => id === added.id);
  if (isNew && present.length >= limit)
    throw badRequest(`The maximum number of ${what} (${limit}) is reached`);
}

const parentOf = ({ parentId }: StoredObject) => (parentId === null ? {} : { parentId });
