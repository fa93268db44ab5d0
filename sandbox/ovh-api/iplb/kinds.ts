import type { Protocol } from '../../data-plane/configuration.js';
import {
  fixed,
  flag,
  initially,
  ipv4,
  isIpBlock,
  listOf,
  longText,
  oneOf,
  portList,
  portNumber,
  record,
  required,
  text,
  whole,
  type Field,
} from './field.js';

/** The objects that people edit. Servers belong to a farm, rules to a route; certificates to no protocol. */
export type KindName = 'frontend' | 'farm' | 'server' | 'route' | 'rule' | 'ssl';

export interface Kind {
  readonly name: KindName;
  readonly idField: string;
  readonly parent: KindName | null;
  readonly fields: Readonly<Record<string, Field>>;
  /** Fields that are told but never taken; sent, they are ignored. */
  readonly readOnly: readonly string[];
  /** Query parameters of the list. `like` finds a part of the value, the others the whole. */
  readonly filters: Readonly<Record<string, 'exact' | 'like'>>;
}

export const protocols: readonly Protocol[] = ['http', 'tcp'];

/** The kinds of objects of one protocol. */
export const kindsOf = (protocol: Protocol): Readonly<Record<KindName, Kind>> => kinds[protocol];

const ipBlocks = listOf('ipBlock', isIpBlock);
const enumBackendStatus = 'iploadbalancing.BackendServerStatusEnum';

const probe = record('iploadbalancing.BackendProbe', {
  type: oneOf(
    'iploadbalancing.BackendProbeTypeEnum',
    'http',
    'internal',
    'mysql',
    'oco',
    'pgsql',
    'smtp',
    'tcp',
  ),
  interval: whole(30, 3600),
  match: oneOf(
    'iploadbalancing.BackendProbeMatchEnum',
    'contains',
    'default',
    'internal',
    'matches',
    'status',
  ),
  pattern: text,
  negate: { ...flag, isNullable: true },
  method: oneOf('iploadbalancing.BackendProbeMethodEnum', 'GET', 'HEAD', 'OPTIONS', 'internal'),
  url: text,
  port: portNumber,
  forceSsl: { ...flag, isNullable: true },
});

const kinds: Readonly<Record<Protocol, Readonly<Record<KindName, Kind>>>> = {
  http: {
    frontend: frontend({
      hsts: flag,
      httpHeader: { ...listOf('string', () => true), isNullable: true, initial: null },
      redirectLocation: text,
    }),
    farm: farm(
      oneOf('iploadbalancing.BalanceHTTPEnum', 'first', 'leastconn', 'roundrobin', 'source', 'uri'),
      oneOf('iploadbalancing.StickinessHTTPEnum', 'cookie', 'sourceIp'),
    ),
    server: server({ cookie: text }),
    route: route({ status: whole(100, 599) }),
    rule: rule(),
    ssl: certificate(),
  },
  tcp: {
    frontend: frontend({}),
    farm: farm(
      oneOf('iploadbalancing.BalanceTCPEnum', 'first', 'leastconn', 'roundrobin', 'source'),
      oneOf('iploadbalancing.StickinessTCPEnum', 'sourceIp'),
    ),
    server: server({}),
    route: route({}),
    rule: rule(),
    ssl: certificate(),
  },
};

function frontend(more: Readonly<Record<string, Field>>): Kind {
  return {
    name: 'frontend',
    idField: 'frontendId',
    parent: null,
    fields: {
      port: required(portList),
      zone: required(text),
      defaultFarmId: whole(1, Number.MAX_SAFE_INTEGER),
      defaultSslId: whole(1, Number.MAX_SAFE_INTEGER),
      displayName: text,
      disabled: flag,
      ssl: flag,
      allowedSource: ipBlocks,
      deniedSource: ipBlocks,
      dedicatedIpfo: { ...ipBlocks, isNullable: true, initial: null },
      ...more,
    },
    readOnly: ['frontendId', 'vrackNetworkId', 'vrackVrouterId'],
    filters: { defaultFarmId: 'exact', defaultSslId: 'exact', port: 'like', zone: 'exact' },
  };
}

function farm(balance: Field, stickiness: Field): Kind {
  return {
    name: 'farm',
    idField: 'farmId',
    parent: null,
    fields: {
      zone: fixed(required(text)),
      port: portNumber,
      balance,
      stickiness,
      probe,
      vrackNetworkId: whole(1, Number.MAX_SAFE_INTEGER),
      displayName: text,
    },
    readOnly: ['farmId'],
    filters: { vrackNetworkId: 'exact', zone: 'exact' },
  };
}

function server(more: Readonly<Record<string, Field>>): Kind {
  return {
    name: 'server',
    idField: 'serverId',
    parent: 'farm',
    fields: {
      address: fixed(required(ipv4)),
      status: required(oneOf(enumBackendStatus, 'active', 'inactive')),
      port: portNumber,
      weight: initially(1, whole(0, 256)),
      probe: flag,
      backup: flag,
      ssl: flag,
      chain: text,
      proxyProtocolVersion: oneOf(
        'iploadbalancing.ProxyProtocolVersionEnum',
        'v1',
        'v2',
        'v2-ssl',
        'v2-ssl-cn',
      ),
      onMarkedDown: oneOf('iploadbalancing.OnMarkedDownEnum', 'shutdown-sessions'),
      displayName: text,
      ...more,
    },
    readOnly: ['serverId', 'backendId', 'serverState'],
    filters: { address: 'exact', status: 'exact', ...('cookie' in more && { cookie: 'like' as const }) },
  };
}

function route(moreOfAction: Readonly<Record<string, Field>>): Kind {
  const type = oneOf('iploadbalancing.RouteActionTypeEnum', 'farm', 'redirect', 'reject');
  return {
    name: 'route',
    idField: 'routeId',
    parent: null,
    fields: {
      action: required(record('iploadbalancing.RouteAction', { type, target: text, ...moreOfAction })),
      frontendId: whole(1, Number.MAX_SAFE_INTEGER),
      displayName: text,
      weight: { ...whole(0, 255), initial: 0 },
    },
    readOnly: ['routeId', 'rules', 'status'],
    filters: { frontendId: 'exact' },
  };
}

function rule(): Kind {
  const matches = ['contains', 'endswith', 'exists', 'in', 'internal', 'is', 'matches', 'startswith'];
  return {
    name: 'rule',
    idField: 'ruleId',
    parent: 'route',
    fields: {
      field: required(text),
      match: required(oneOf('iploadbalancing.RouteRuleMatchesEnum', ...matches)),
      negate: flag,
      pattern: longText(255),
      subField: text,
      displayName: text,
    },
    readOnly: ['ruleId'],
    filters: {},
  };
}

/** Nobody looks into it: it is kept, and told without what is secret. */
function certificate(): Kind {
  return {
    name: 'ssl',
    idField: 'id',
    parent: null,
    fields: { certificate: required(text), key: required(text), chain: text, displayName: text },
    readOnly: ['id', 'type', 'fingerprint', 'expireDate', 'serial', 'subject', 'san'],
    filters: {},
  };
}
