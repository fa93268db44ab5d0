import type {
  Balance,
  Configuration,
  FarmConfiguration,
  FrontendConfiguration,
  ProbeConfiguration,
  Protocol,
  RouteAction,
  RouteConfiguration,
  RuleConfiguration,
  ServerConfiguration,
} from '../../data-plane/configuration.js';
import { isObject, numberOf, shownAs, textOf, textsOf, type JsonObject } from '../json.js';
import type { Objects, StoredObject } from './objects.js';

/** The data plane counts where the API has UUIDs. A number stays with its object. */
export class Numbers {
  readonly #numbers: Map<string, number>;

  constructor(numbers: Iterable<readonly [string, number]> = []) {
    this.#numbers = new Map(numbers);
  }

  all(): readonly (readonly [string, number])[] {
    return [...this.#numbers];
  }

  of(id: string): number {
    const known = this.#numbers.get(id) ?? this.#numbers.size + 1;
    this.#numbers.set(id, known);
    return known;
  }
}

/** What the amphorae run once `objects` are applied. Pools in `watched` are probed though no listener reaches them. */
export function rendered(objects: Objects, numbers: Numbers, watched: readonly string[] = []): Configuration {
  const listeners = objects.list('listener').filter(({ fields }) => protocolOf(fields) !== undefined);
  return {
    frontends: [
      ...listeners.map((listener) => frontendOf(listener, objects, numbers)),
      ...watched.map((poolId) => watchingFrontend(poolId, numbers)),
    ],
    farms: objects.list('pool').map((pool) => farmOf(pool, objects, numbers)),
  };
}

/** The data plane carries HTTP and TCP. TLS ends at whoever speaks it. */
function protocolOf({ protocol }: JsonObject): Protocol | undefined {
  if (protocol === 'http' || protocol === 'terminatedHTTPS') return 'http';
  return protocol === 'https' || protocol === 'tcp' ? 'tcp' : undefined;
}

function frontendOf({ id, fields }: StoredObject, objects: Objects, numbers: Numbers): FrontendConfiguration {
  const poolId = textOf(fields['defaultPoolId']);
  return {
    ...bareFrontend(numbers.of(id), poolId === null ? null : numbers.of(poolId)),
    protocol: protocolOf(fields) ?? 'tcp',
    port: shownAs(fields['port']),
    allowedSource: textsOf(fields['allowedCidrs']),
    routes: objects
      .list('l7Policy', id)
      .toSorted((a, b) => (numberOf(a.fields['position']) ?? 1) - (numberOf(b.fields['position']) ?? 1))
      .map((policy) => routeOf(policy, objects, numbers))
      // A policy matches when all of its rules do; one that has none matches nothing.
      .filter(({ rules }) => rules.length > 0),
  };
}

const bareFrontend = (frontendId: number, defaultFarmId: number | null): FrontendConfiguration => ({
  protocol: 'tcp',
  frontendId,
  port: '0',
  disabled: false,
  defaultFarmId,
  redirectLocation: null,
  httpHeader: [],
  allowedSource: [],
  deniedSource: [],
  routes: [],
});

const watchingFrontend = (poolId: string, numbers: Numbers): FrontendConfiguration =>
  bareFrontend(numbers.of(`watching ${poolId}`), numbers.of(poolId));

function routeOf({ id, fields }: StoredObject, objects: Objects, numbers: Numbers): RouteConfiguration {
  return {
    routeId: numbers.of(id),
    action: actionOf(fields, numbers),
    rules: objects.list('l7Rule', id).map(({ fields: rule }) => ruleOf(rule)),
  };
}

function actionOf(fields: JsonObject, numbers: Numbers): RouteAction {
  const status = numberOf(fields['redirectHttpCode']) ?? 302;
  switch (fields['action']) {
    case 'redirectToPool':
      return { kind: 'farm', farmId: numbers.of(shownAs(fields['redirectPoolId'])) };
    case 'redirectToURL':
      return { kind: 'redirect', location: textOf(fields['redirectUrl']) ?? '/', status };
    case 'redirectPrefix':
      return { kind: 'redirect', location: textOf(fields['redirectPrefix']) ?? '/', status };
    default:
      return { kind: 'reject', status: 403 };
  }
}

const comparisons: Readonly<Record<string, string>> = {
  contains: 'contains',
  endsWith: 'endswith',
  equalTo: 'is',
  regex: 'matches',
  startsWith: 'startswith',
};

/** The data plane has no TLS, so that rules about certificates look at a field that nothing has. */
const fieldsByType: Readonly<Record<string, string>> = {
  cookie: 'cookie',
  header: 'header',
  hostName: 'host',
  path: 'uri',
  fileType: 'uri',
};

function ruleOf({ compareType, ruleType, value, key, invert }: JsonObject): RuleConfiguration {
  const isFileType = ruleType === 'fileType';
  return {
    field: fieldsByType[shownAs(ruleType)] ?? 'certificate',
    match: isFileType ? 'endswith' : (comparisons[shownAs(compareType)] ?? ''),
    negate: invert === true,
    pattern: isFileType ? `.${shownAs(value)}` : textOf(value),
    subField: textOf(key),
  };
}

const balances: Readonly<Record<string, Balance>> = {
  roundRobin: 'roundrobin',
  leastConnections: 'leastconn',
  sourceIP: 'source',
};

function farmOf({ id, fields }: StoredObject, objects: Objects, numbers: Numbers): FarmConfiguration {
  const persistence = isObject(fields['sessionPersistence'])
    ? fields['sessionPersistence']['type']
    : undefined;
  const [monitor] = objects.list('healthMonitor', id);
  return {
    protocol: modeOf(id, fields, objects),
    farmId: numbers.of(id),
    balance: balances[shownAs(fields['algorithm'])] ?? 'roundrobin',
    // A program's own cookie is nothing that the data plane could stick to.
    stickiness: persistence === 'httpCookie' ? 'cookie' : persistence === 'sourceIP' ? 'sourceIp' : null,
    probe: monitor === undefined ? null : probeOf(monitor.fields),
    servers: objects
      .list('member', id)
      .map((member) => serverOf(member, fields, monitor !== undefined, numbers)),
  };
}

/** A pool that speaks the proxy protocol carries what its listener carries. */
function modeOf(id: string, { protocol }: JsonObject, objects: Objects): Protocol {
  const listener = objects.list('listener').find(({ fields }) => fields['defaultPoolId'] === id);
  return (listener && protocolOf(listener.fields)) ?? (protocol === 'http' ? 'http' : 'tcp');
}

function serverOf(
  { id, fields }: StoredObject,
  pool: JsonObject,
  isMonitored: boolean,
  numbers: Numbers,
): ServerConfiguration {
  return {
    serverId: numbers.of(id),
    address: textOf(fields['address']) ?? '',
    port: numberOf(fields['protocolPort']) ?? 0,
    active: true,
    weight: numberOf(fields['weight']) ?? 1,
    probe: isMonitored,
    backup: false,
    cookie: id,
    proxyProtocol: pool['protocol'] === 'proxy' ? 'v1' : pool['protocol'] === 'proxyV2' ? 'v2' : null,
    cutWhenDown: false,
  };
}

function probeOf(fields: JsonObject): ProbeConfiguration {
  const http = isObject(fields['httpConfiguration']) ? fields['httpConfiguration'] : {};
  return {
    type: fields['monitorType'] === 'http' ? 'http' : 'tcp',
    intervalS: numberOf(fields['delay']) ?? 5,
    match: 'status',
    pattern: codes(textOf(http['expectedCodes']) ?? '200').join(','),
    negate: false,
    method: textOf(http['httpMethod']) ?? 'GET',
    url: `${textOf(http['domainName']) ?? ''}${textOf(http['urlPath']) ?? '/'}`,
    port: null,
  };
}

/** `200`, `200,202` or `200-204`. */
function codes(expected: string): readonly number[] {
  return expected.split(',').flatMap((part) => {
    const [from = 200, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}
