import { badRequest, conflict, notFound } from '../api-error.js';
import { numberOf, shownAs, textOf, type Json } from '../json.js';
import { poolProtocols } from './kinds.js';
import type { Objects, StoredObject } from './objects.js';

/** Throws where an object does not go with the others. */
export function requireSound(object: StoredObject, objects: Objects): void {
  switch (object.kind) {
    case 'listener':
      return requireSoundListener(object, objects);
    case 'member':
      return requireSoundMember(object, objects);
    case 'healthMonitor':
      return requireSoundMonitor(object, objects);
    case 'l7Policy':
      return requireSoundPolicy(object, objects);
    case 'pool':
    case 'l7Rule':
      return;
    default:
      return object.kind satisfies never;
  }
}

function requireSoundListener({ id, fields }: StoredObject, objects: Objects): void {
  const twin = objects
    .list('listener')
    .find((other) => other.id !== id && other.fields['port'] === fields['port']);
  if (twin !== undefined)
    throw conflict(
      `Another Listener on this Load Balancer is already using protocol_port ${shownAs(fields['port'])}`,
    );
  requireFittingPool(fields['defaultPoolId'], fields['protocol'], objects);
}

function requireFittingPool(
  poolId: Json | undefined,
  listenerProtocol: Json | undefined,
  objects: Objects,
): void {
  if (poolId === null || poolId === undefined) return;
  const pool = objects.get('pool', poolId);
  if (pool === undefined) throw notFound(`Pool ${shownAs(poolId)} not found.`);
  const protocol = shownAs(pool.fields['protocol']);
  if (!poolProtocols[shownAs(listenerProtocol)]?.includes(protocol))
    throw badRequest(`The ${shownAs(listenerProtocol)} protocol does not support a pool with ${protocol}.`);
}

function requireSoundMember({ id, parentId, fields }: StoredObject, objects: Objects): void {
  const twin = objects
    .list('member', parentId ?? '')
    .find(
      (other) =>
        other.id !== id &&
        other.fields['address'] === fields['address'] &&
        other.fields['protocolPort'] === fields['protocolPort'],
    );
  if (twin !== undefined)
    throw conflict(
      `Another member on this pool is already using ip ${shownAs(fields['address'])} on protocol_port ${shownAs(fields['protocolPort'])}`,
    );
}

function requireSoundMonitor({ id, fields }: StoredObject, objects: Objects): void {
  const poolId = textOf(fields['poolId']) ?? '';
  if (objects.get('pool', poolId) === undefined) throw notFound(`Pool ${poolId} not found.`);
  if (objects.list('healthMonitor', poolId).some((other) => other.id !== id))
    throw conflict('This pool already has a health monitor');
  if ((numberOf(fields['timeout']) ?? 0) >= (numberOf(fields['delay']) ?? 0))
    throw badRequest('timeout must be less than delay');
}

function requireSoundPolicy({ fields }: StoredObject, objects: Objects): void {
  const listener = objects.get('listener', fields['listenerId']);
  if (listener === undefined) throw notFound(`Listener ${shownAs(fields['listenerId'])} not found.`);
  if (fields['action'] !== 'redirectToPool') return;
  if (fields['redirectPoolId'] === null) throw badRequest('[redirectPoolId] Missing parameter');
  requireFittingPool(fields['redirectPoolId'], listener.fields['protocol'], objects);
}

/** Throws where others need the object. */
export function requireDeletable({ kind, id }: StoredObject, objects: Objects): void {
  if (kind === 'pool' && objects.isReached(id)) throw conflict(`Pool ${id} is in use and cannot be deleted.`);
}
