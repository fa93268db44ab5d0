import type { ServerState } from '../../data-plane/data-plane.js';
import { shownAs } from '../json.js';
import type { PublicCloudLoadBalancer } from './load-balancer.js';
import type { StoredObject } from './objects.js';

export type OperatingStatus = 'degraded' | 'draining' | 'error' | 'noMonitor' | 'offline' | 'online';

/** How an object is doing, as the amphorae see it. */
export function operatingStatusOf(object: StoredObject, balancer: PublicCloudLoadBalancer): OperatingStatus {
  const { objects } = balancer;
  switch (object.kind) {
    case 'member':
      return memberStatus(object, balancer);
    case 'pool':
      return together(objects.list('member', object.id), balancer);
    case 'listener': {
      const pool = objects.get('pool', object.fields['defaultPoolId']);
      return pool === undefined ? 'online' : operatingStatusOf(pool, balancer);
    }
    case 'healthMonitor':
    case 'l7Policy':
    case 'l7Rule':
      return 'online';
    default:
      return object.kind satisfies never;
  }
}

export function itsOwnStatus(balancer: PublicCloudLoadBalancer): OperatingStatus {
  const states = balancer.objects.list('listener').map((one) => operatingStatusOf(one, balancer));
  if (states.length > 0 && states.every((state) => state === 'error')) return 'error';
  return states.some((state) => state === 'error' || state === 'degraded') ? 'degraded' : 'online';
}

function together(members: readonly StoredObject[], balancer: PublicCloudLoadBalancer): OperatingStatus {
  const states = members.map((member) => memberStatus(member, balancer));
  if (states.every((state) => state === 'offline')) return 'offline';
  if (states.every((state) => state === 'error')) return 'error';
  return states.includes('error') ? 'degraded' : 'online';
}

/**
 * A member without weight is draining for ever, there is no "drained". One that was not checked since the last change is
 * presumed to be up, as HAProxy does, and nobody is told when a check was made.
 */
function memberStatus(member: StoredObject, balancer: PublicCloudLoadBalancer): OperatingStatus {
  const poolId = shownAs(member.parentId);
  if (member.fields['weight'] === 0) return 'draining';
  if (balancer.objects.list('healthMonitor', poolId).length === 0) return 'noMonitor';
  if (balancer.untold.has(member.id)) return 'offline';
  const looked = balancer.looksAt(poolId);
  if (looked !== 'monitored') return looked;
  const { dataPlane } = balancer;
  return worst(dataPlane.serverStates(balancer.numberOf(poolId), balancer.numberOf(member.id)));
}

function worst(states: readonly ServerState[]): OperatingStatus {
  if (states.some(({ status }) => status === 'DOWN')) return 'error';
  return states.length > 0 && states.every(({ status }) => status === 'UP') ? 'online' : 'offline';
}
