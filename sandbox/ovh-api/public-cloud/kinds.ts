import {
  fixed,
  flag,
  initially,
  isIpBlock,
  ipv4,
  listOf,
  oneOf,
  record,
  required,
  text,
  whole,
  type Field,
} from '../iplb/field.js';

export type KindName = 'listener' | 'pool' | 'member' | 'healthMonitor' | 'l7Policy' | 'l7Rule';

/** What the API takes for one kind of object of a load balancer. */
export interface Kind {
  readonly name: KindName;
  /** As refusals name it. */
  readonly title: string;
  readonly fields: Readonly<Record<string, Field>>;
}

const weight = initially(1, { ...whole(0, 256), isNullable: false });
const port = whole(1, 65_535);

export const methods = ['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE'];

const httpConfiguration = record('cloud.loadbalancing.HealthMonitorHTTPConfiguration', {
  httpMethod: required(oneOf('cloud.loadbalancing.HealthMonitorHTTPMethodEnum', ...methods)),
  urlPath: text,
  expectedCodes: text,
  domainName: text,
  httpVersion: oneOf('cloud.loadbalancing.HealthMonitorHTTPVersionEnum', '1.0', '1.1'),
});

const sessionPersistence = record('cloud.loadbalancing.SessionPersistence', {
  type: required(
    oneOf(
      'cloud.loadbalancing.SessionPersistenceTypeEnum',
      'appCookie',
      'disabled',
      'httpCookie',
      'sourceIP',
    ),
  ),
  cookieName: text,
});

/** Fields that are fixed on creation are those that the API's models for edits lack. */
export const kinds: Readonly<Record<KindName, Kind>> = {
  listener: {
    name: 'listener',
    title: 'Listener',
    fields: {
      name: required(text),
      port: fixed(required(port)),
      protocol: fixed(
        required(
          oneOf(
            'cloud.loadbalancing.ListenerProtocolEnum',
            'http',
            'https',
            'prometheus',
            'sctp',
            'tcp',
            'terminatedHTTPS',
            'udp',
          ),
        ),
      ),
      defaultPoolId: text,
      allowedCidrs: listOf('ipBlock[]', isIpBlock),
      certificateId: text,
      description: text,
      timeoutClientData: fixed(whole(0, 86_400_000)),
      timeoutMemberData: fixed(whole(0, 86_400_000)),
      tlsVersions: fixed(listOf('string[]', (version) => /^(SSLv3|TLSv1(\.[123])?)$/.test(version))),
    },
  },
  pool: {
    name: 'pool',
    title: 'Pool',
    fields: {
      name: text,
      algorithm: required(
        oneOf('cloud.loadbalancing.PoolAlgorithmEnum', 'leastConnections', 'roundRobin', 'sourceIP'),
      ),
      protocol: fixed(
        required(
          oneOf(
            'cloud.loadbalancing.PoolProtocolEnum',
            'http',
            'https',
            'proxy',
            'proxyV2',
            'sctp',
            'tcp',
            'udp',
          ),
        ),
      ),
      sessionPersistence,
    },
  },
  member: {
    name: 'member',
    title: 'Member',
    fields: {
      name: text,
      address: fixed(required(ipv4)),
      protocolPort: fixed(required(port)),
      weight,
    },
  },
  healthMonitor: {
    name: 'healthMonitor',
    title: 'Health Monitor',
    fields: {
      name: required(text),
      poolId: fixed(required(text)),
      monitorType: fixed(
        required(
          oneOf(
            'cloud.loadbalancing.HealthMonitorTypeEnum',
            'http',
            'https',
            'ping',
            'sctp',
            'tcp',
            'tls-hello',
            'udp-connect',
          ),
        ),
      ),
      delay: required(whole(1, 86_400)),
      timeout: required(whole(1, 86_400)),
      maxRetries: required(whole(1, 10)),
      maxRetriesDown: initially(3, whole(1, 10)),
      httpConfiguration,
    },
  },
  l7Policy: {
    name: 'l7Policy',
    title: 'L7Policy',
    fields: {
      listenerId: fixed(required(text)),
      action: required(
        oneOf(
          'cloud.loadbalancing.L7PolicyActionEnum',
          'redirectPrefix',
          'redirectToPool',
          'redirectToURL',
          'reject',
        ),
      ),
      name: text,
      description: text,
      position: initially(1, whole(1, 2_147_483_647)),
      redirectHttpCode: whole(301, 308),
      redirectPoolId: text,
      redirectPrefix: text,
      redirectUrl: text,
    },
  },
  l7Rule: {
    name: 'l7Rule',
    title: 'L7Rule',
    fields: {
      compareType: required(
        oneOf(
          'cloud.loadbalancing.L7RuleCompareTypeEnum',
          'contains',
          'endsWith',
          'equalTo',
          'regex',
          'startsWith',
        ),
      ),
      ruleType: required(
        oneOf(
          'cloud.loadbalancing.L7RuleTypeEnum',

          'cookie',
          'fileType',
          'header',
          'hostName',
          'path',
          'sslConnHasCert',
          'sslDNField',
          'sslVerifyResult',
        ),
      ),
      value: required(text),
      key: text,
      invert: flag,
    },
  },
};

/** Which pools a listener can send to. */
export const poolProtocols: Readonly<Record<string, readonly string[]>> = {
  http: ['http', 'proxy', 'proxyV2'],
  https: ['https', 'proxy', 'proxyV2', 'tcp'],
  prometheus: [],
  sctp: ['sctp'],
  tcp: ['http', 'https', 'proxy', 'proxyV2', 'tcp'],
  terminatedHTTPS: ['http', 'proxy', 'proxyV2'],
  udp: ['udp'],
};
