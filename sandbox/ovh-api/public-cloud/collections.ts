import { badRequest, notFound } from '../api-error.js';
import { isObject, shownAs, textOf, type Json, type JsonObject } from '../json.js';
import type { Call, Method, Resource } from '../resource.js';
import { kinds, type KindName } from './kinds.js';
import type { PublicCloudLoadBalancer } from './load-balancer.js';
import type { StoredObject } from './objects.js';
import { resource, root } from './resources.js';
import { operatingStatusOf } from './statuses.js';

type BalancersOf = (call: Call) => readonly PublicCloudLoadBalancer[];

/** An object and the load balancer that it is in. */
interface Found {
  readonly balancer: PublicCloudLoadBalancer;
  readonly object: StoredObject;
}

/** Lists tell whole objects, of all load balancers of the region unless the query names whose. */
export function collections(balancersOf: BalancersOf): readonly Resource[] {
  return [
    ...topLevel('listener', balancersOf, 'loadbalancerId', createListener),
    ...topLevel('pool', balancersOf, 'loadbalancerId', createPool),
    ...topLevel('healthMonitor', balancersOf, 'poolId', createIn('pool', 'poolId', 'healthMonitor')),
    ...topLevel('l7Policy', balancersOf, 'listenerId', createIn('listener', 'listenerId', 'l7Policy')),
    ...inside('pool', 'member', balancersOf, createMembers),
    ...inside('l7Policy', 'l7Rule', balancersOf, createRule),
  ];
}

function topLevel(
  kind: KindName,
  balancersOf: BalancersOf,
  filter: 'loadbalancerId' | 'poolId' | 'listenerId',
  create: (balancers: readonly PublicCloudLoadBalancer[], body: JsonObject) => Found,
): readonly Resource[] {
  const list = `${root}/${kind}`;
  const isWanted = ({ balancer, object }: Found, id: string): boolean =>
    filter === 'loadbalancerId' ? balancer.id === id : object.parentId === id;
  return [
    resource('GET', list, (call) => {
      const id = call.query.get(filter);
      return all(kind, balancersOf(call))
        .filter((found) => id === null || isWanted(found, id))
        .map(shown);
    }),
    resource('POST', list, (call) => shown(create(balancersOf(call), call.body))),
    ...single(kind, `${list}/:id`, (call) => found(kind, balancersOf(call), call.parameters['id'])),
  ];
}

function inside(
  parentKind: 'pool' | 'l7Policy',
  kind: 'member' | 'l7Rule',
  balancersOf: BalancersOf,
  create: (parent: Found, body: JsonObject) => Json,
): readonly Resource[] {
  const list = `${root}/${parentKind}/:parent/${kind}`;
  const parentOf = (call: Call): Found => found(parentKind, balancersOf(call), call.parameters['parent']);
  return [
    resource('GET', list, (call) => {
      const { balancer, object } = parentOf(call);
      return balancer.objects
        .list(kind, object.id)
        .filter((child) => balancer.isShown(child))
        .map((child) => shown({ balancer, object: child }));
    }),
    resource('POST', list, (call) => create(parentOf(call), call.body)),
    ...single(kind, `${list}/:id`, (call) => {
      const { balancer, object } = parentOf(call);
      return { balancer, object: balancer.find(kind, call.parameters['id'] ?? '', object.id) };
    }),
  ];
}

function single(kind: KindName, path: string, find: (call: Call) => Found): readonly Resource[] {
  const at = (method: Method, answer: Resource['answer']): Resource => resource(method, path, answer);
  return [
    at('GET', (call) => shown(find(call))),
    at('PUT', (call) => {
      const { balancer, object } = find(call);
      if (kind === 'l7Policy' && call.body['action'] === undefined)
        throw badRequest('[action] Missing parameter');
      return shown({ balancer, object: balancer.edit(object, call.body) });
    }),
    at('DELETE', (call) => {
      const { balancer, object } = find(call);
      balancer.delete(object);
      return null;
    }),
  ];
}

function createListener(
  balancers: readonly PublicCloudLoadBalancer[],
  { loadbalancerId = null, ...given }: JsonObject,
): Found {
  const balancer = balancerNamed(balancers, loadbalancerId);
  return { balancer, object: balancer.create('listener', null, given) };
}

function createPool(
  balancers: readonly PublicCloudLoadBalancer[],
  { loadbalancerId = null, listenerId = null, ...given }: JsonObject,
): Found {
  if ((loadbalancerId === null) === (listenerId === null))
    throw badRequest('Exactly one of listenerId and loadbalancerId must be given');
  const balancer =
    listenerId === null
      ? balancerNamed(balancers, loadbalancerId)
      : found('listener', balancers, shownAs(listenerId)).balancer;
  return { balancer, object: balancer.createPool(textOf(listenerId), given) };
}

const createIn =
  (parentKind: 'pool' | 'listener', field: 'poolId' | 'listenerId', kind: KindName) =>
  (balancers: readonly PublicCloudLoadBalancer[], given: JsonObject): Found => {
    if (given[field] === undefined) throw badRequest(`[${field}] Missing parameter`);
    const { balancer, object } = found(parentKind, balancers, shownAs(given[field]));
    return { balancer, object: balancer.create(kind, object.id, given) };
  };

function createMembers({ balancer, object }: Found, { members }: JsonObject): Json {
  if (!Array.isArray(members) || members.length === 0 || !members.every((one) => isObject(one)))
    throw badRequest('[members] Missing parameter');
  return balancer
    .createAll('member', object.id, members as readonly JsonObject[])
    .map((member) => shown({ balancer, object: member }));
}

const createRule = ({ balancer, object }: Found, body: JsonObject): Json =>
  shown({ balancer, object: balancer.create('l7Rule', object.id, body) });

function balancerNamed(
  balancers: readonly PublicCloudLoadBalancer[],
  id: Json | undefined,
): PublicCloudLoadBalancer {
  if (id === null || id === undefined) throw badRequest('[loadbalancerId] Missing parameter');
  const balancer = balancers.find((one) => one.id === id);
  if (balancer === undefined) throw notFound(`Load Balancer ${shownAs(id)} not found.`);
  return balancer;
}

const all = (kind: KindName, balancers: readonly PublicCloudLoadBalancer[]): readonly Found[] =>
  balancers.flatMap((balancer) =>
    balancer.objects
      .list(kind)
      .filter((object) => balancer.isShown(object))
      .map((object) => ({ balancer, object })),
  );

function found(kind: KindName, balancers: readonly PublicCloudLoadBalancer[], id = ''): Found {
  const one = all(kind, balancers).find(({ object }) => object.id === id);
  if (one === undefined) throw notFound(`${kinds[kind].title} ${id} not found.`);
  return one;
}

/** An object as it is read, with where it is and how it is doing. */
function shown({ balancer, object }: Found): JsonObject {
  return {
    id: object.id,
    ...balancer.shownFields(object),
    ...places(object, balancer),
    operatingStatus: operatingStatusOf(object, balancer),
    provisioningStatus: balancer.provisioningOf(object),
  };
}

function places({ kind, id }: StoredObject, { id: loadbalancerId, objects }: PublicCloudLoadBalancer) {
  switch (kind) {
    case 'listener':
      return { loadBalancerIds: [loadbalancerId] };
    case 'pool': {
      const listener = objects.list('listener').find(({ fields }) => fields['defaultPoolId'] === id);
      return { loadbalancerId, listenerId: listener?.id ?? null };
    }
    case 'member':
    case 'healthMonitor':
    case 'l7Policy':
    case 'l7Rule':
      return {};
    default:
      return kind satisfies never;
  }
}
