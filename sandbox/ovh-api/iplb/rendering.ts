import type {
  Balance,
  Configuration,
  FarmConfiguration,
  FrontendConfiguration,
  ProbeConfiguration,
  RouteAction,
  RouteConfiguration,
  ServerConfiguration,
} from '../../data-plane/configuration.js';
import { isObject, numberOf, textOf, textsOf, type Json, type JsonObject } from '../json.js';
import type { Objects, StoredObject } from './objects.js';

/** What the instances of `zone` run once `objects` are published there. */
export function rendered(objects: Objects, zone: string): Configuration {
  const isHere = ({ fields }: StoredObject): boolean => fields['zone'] === 'all' || fields['zone'] === zone;
  return {
    frontends: objects
      .list('frontend')
      .filter(isHere)
      .map((frontend) => frontendOf(frontend, objects)),
    farms: objects
      .list('farm')
      .filter(isHere)
      .map((farm) => farmOf(farm, objects)),
  };
}

function frontendOf({ protocol, id, fields }: StoredObject, objects: Objects): FrontendConfiguration {
  return {
    protocol,
    frontendId: id,
    port: textOf(fields['port']) ?? '',
    disabled: fields['disabled'] === true,
    defaultFarmId: numberOf(fields['defaultFarmId']),
    redirectLocation: textOf(fields['redirectLocation']),
    httpHeader: textsOf(fields['httpHeader']),
    allowedSource: textsOf(fields['allowedSource']),
    deniedSource: textsOf(fields['deniedSource']),
    routes: objects
      .list('route', { protocol })
      .filter((route) => route.fields['frontendId'] === id)
      .map((route) => ({ order: orderOf(route.fields), route: routeOf(route, objects) }))
      .toSorted((a, b) => a.order - b.order || a.route.routeId - b.route.routeId)
      .map(({ route }) => route),
  };
}

/** Rejects and redirects come before farms, whatever their weight. */
const orderOf = (route: JsonObject): number =>
  (actionOf(route).kind === 'farm' ? 256 : 0) + (numberOf(route['weight']) ?? 0);

function routeOf({ id, fields }: StoredObject, objects: Objects): RouteConfiguration {
  return {
    routeId: id,
    action: actionOf(fields),
    rules: objects.list('rule', { parentId: id }).map((rule) => ({
      field: textOf(rule.fields['field']) ?? '',
      match: textOf(rule.fields['match']) ?? '',
      negate: rule.fields['negate'] === true,
      pattern: textOf(rule.fields['pattern']),
      subField: textOf(rule.fields['subField']),
    })),
  };
}

function actionOf({ action }: JsonObject): RouteAction {
  const { type = null, target = null, status = null } = isObject(action) ? action : {};
  if (type === 'farm') return { kind: 'farm', farmId: Number(target) };
  if (type === 'redirect')
    return { kind: 'redirect', location: textOf(target) ?? '/', status: numberOf(status) ?? 302 };
  return { kind: 'reject', status: numberOf(status) ?? 403 };
}

function farmOf({ protocol, id, fields }: StoredObject, objects: Objects): FarmConfiguration {
  const port = numberOf(fields['port']) ?? inheritedPort(id, objects);
  return {
    protocol,
    farmId: id,
    balance: (textOf(fields['balance']) ?? 'roundrobin') as Balance,
    stickiness: textOf(fields['stickiness']) as FarmConfiguration['stickiness'],
    probe: probeOf(fields['probe'], numberOf(fields['port'])),
    servers: objects.list('server', { parentId: id }).map((server) => serverOf(server, port)),
  };
}

/** A farm without a port uses that of the frontend which points at it. */
function inheritedPort(farmId: number, objects: Objects): number {
  const frontend = objects.list('frontend').find(({ fields }) => fields['defaultFarmId'] === farmId);
  return Number(/\d+/.exec(textOf(frontend?.fields['port']) ?? '80')?.[0]);
}

function serverOf({ id, fields }: StoredObject, farmPort: number): ServerConfiguration {
  const proxyProtocol = textOf(fields['proxyProtocolVersion']);
  return {
    serverId: id,
    address: textOf(fields['address']) ?? '',
    port: numberOf(fields['port']) ?? farmPort,
    active: fields['status'] === 'active',
    weight: numberOf(fields['weight']) ?? 1,
    probe: fields['probe'] === true,
    backup: fields['backup'] === true,
    cookie: textOf(fields['cookie']),
    proxyProtocol: proxyProtocol === null ? null : proxyProtocol === 'v1' ? 'v1' : 'v2',
    cutWhenDown: fields['onMarkedDown'] === 'shutdown-sessions',
  };
}

function probeOf(probe: Json | undefined, farmPort: number | null): ProbeConfiguration | null {
  if (!isObject(probe)) return null;
  const type = textOf(probe['type']) ?? 'tcp';
  return {
    type,
    intervalS: numberOf(probe['interval']) ?? 30,
    match: (textOf(probe['match']) ?? 'default') as ProbeConfiguration['match'],
    pattern: textOf(probe['pattern']) ?? '',
    negate: probe['negate'] === true,
    method: textOf(probe['method']) ?? 'GET',
    url: textOf(probe['url']) ?? '/',
    port: type === 'oco' ? farmPort : numberOf(probe['port']),
  };
}
