import type { Protocol } from '../../data-plane/configuration.js';
import { badRequest } from '../api-error.js';
import { shownAs, type Json, type JsonObject } from '../json.js';
import { isoDate, signed, type Call, type Method, type Resource } from '../resource.js';
import { kindsOf, type Kind, type KindName } from './kinds.js';
import type { LoadBalancer } from './load-balancer.js';
import type { StoredObject } from './objects.js';

/** The load balancer that a call names, or a 404. */
export type LoadBalancerOf = (call: Call) => LoadBalancer;

export const root = '/ipLoadbalancing/:serviceName';

/** List, create, read, edit and delete for one kind of object: the same five for all of them. */
export function collection(
  kindName: KindName,
  protocol: Protocol,
  loadBalancerOf: LoadBalancerOf,
): Resource[] {
  const kind = kindsOf(protocol)[kindName];
  const list = `${root}${kindName === 'ssl' ? '' : `/${protocol}`}${pathOf(kind, protocol)}`;
  const item = `${list}/:${kind.idField}`;
  const resource = (method: Method, path: string, answer: Resource['answer']) =>
    signed(method, path, 'loadbalancer', answer);

  const parentOf = (call: Call): number | undefined => {
    if (kind.parent === null) return undefined;
    const parent = kindsOf(protocol)[kind.parent];
    return loadBalancerOf(call).find(kind.parent, protocol, idIn(call, parent)).id;
  };
  const objectOf = (call: Call): StoredObject =>
    loadBalancerOf(call).find(kindName, protocol, idIn(call, kind), parentOf(call));

  return [
    resource('GET', list, (call) => {
      const parentId = parentOf(call);
      const filter = filterOf(kind, call.query);
      const objects = loadBalancerOf(call).staged.list(
        kindName,
        parentId === undefined ? { protocol } : { protocol, parentId },
      );
      return objects.filter(filter).map(({ id }) => id);
    }),
    resource('POST', list, (call) => {
      const loadBalancer = loadBalancerOf(call);
      return shown(loadBalancer.create(kindName, protocol, parentOf(call) ?? null, call.body), loadBalancer);
    }),
    resource('GET', item, (call) => shown(objectOf(call), loadBalancerOf(call))),
    resource('PUT', item, (call) => {
      loadBalancerOf(call).edit(objectOf(call), call.body);
      return null;
    }),
    resource('DELETE', item, (call) => {
      loadBalancerOf(call).delete(objectOf(call));
      return null;
    }),
  ];
}

function pathOf(kind: Kind, protocol: Protocol): string {
  if (kind.parent === null) return `/${kind.name}`;
  const parent = kindsOf(protocol)[kind.parent];
  return `/${parent.name}/:${parent.idField}/${kind.name}`;
}

/** Identifiers are whole numbers; anything else is no object's. */
function idIn({ parameters }: Call, { idField }: Kind): number {
  const value = parameters[idField] ?? '';
  if (!/^\d+$/.test(value)) throw badRequest(`[${idField}] Given data (${value}) is not valid for type long`);
  return Number(value);
}

function filterOf({ filters }: Kind, query: URLSearchParams): (object: StoredObject) => boolean {
  const wanted = Object.entries(filters).filter(([name]) => query.has(name));
  return ({ fields }) =>
    wanted.every(([name, how]) => {
      const value = shownAs(fields[name] ?? '');
      const sought = query.get(name) ?? '';
      return how === 'like' ? value.includes(sought.replaceAll('%', '')) : value === sought;
    });
}

/** An object as it is read: with its identifier and what is known beside its fields. */
function shown(object: StoredObject, loadBalancer: LoadBalancer): JsonObject {
  const { fields, id, parentId, kind, protocol } = object;
  const { idField } = kindsOf(protocol)[kind];
  const told = kind === 'ssl' ? { displayName: fields['displayName'] ?? null } : fields;
  return { ...told, [idField]: id, ...besides(kind, id, parentId, loadBalancer) };
}

function besides(
  kind: KindName,
  id: number,
  parentId: number | null,
  loadBalancer: LoadBalancer,
): JsonObject {
  switch (kind) {
    case 'frontend':
      return { vrackNetworkId: null, vrackVrouterId: null };
    case 'server':
      return { backendId: parentId, serverState: serverState(parentId ?? 0, id, loadBalancer) };
    case 'route':
      return {
        status: 'ok',
        rules: loadBalancer.staged.list('rule', { parentId: id }).map((rule) => shown(rule, loadBalancer)),
      };
    case 'ssl':
      return { type: 'custom', ...certificateWords };
    case 'farm':
    case 'rule':
      return {};
    default:
      return kind satisfies never;
  }
}

/** What the real one reads in the certificate. */
const certificateWords = { fingerprint: null, expireDate: null, serial: null, subject: null, san: [] };

function serverState(farmId: number, serverId: number, { dataPlane }: LoadBalancer): Json {
  return dataPlane.serverStates(farmId, serverId).map(({ instanceId, status, checkTime, ...seen }) => ({
    instanceId,
    status,
    checkStatus: seen.checkStatus ?? null,
    checkCode: seen.checkCode ?? null,
    checkTime: checkTime === undefined ? null : isoDate(checkTime),
    lastCheckContent: seen.lastCheckContent ?? null,
  }));
}
