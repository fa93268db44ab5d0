import type {
  Configuration,
  FarmConfiguration,
  FrontendConfiguration,
  ProbeConfiguration,
  ServerConfiguration,
} from './configuration.js';
import { stickinessCookie } from './farm.js';
import { routeLines } from './haproxy-routes.js';

export interface HaproxyRendering {
  readonly instanceId: number;
  /** Tells this configuration from every other one: `show info` repeats it. */
  readonly node: string;
  /** Where the process answers questions. */
  readonly socket: string;
  /** The local address and port for a frontend. */
  readonly bind: (frontendId: number) => string;
  readonly probeSpeed: number;
}

/** How long after a server was asked it may still answer a check. */
export const checkTimeoutMs = (everyMs: number): number => Math.max(everyMs, 1000);

export const checkEveryMs = ({ intervalS }: ProbeConfiguration, probeSpeed: number): number =>
  Math.round((intervalS * 1000) / probeSpeed);

export const backendName = (farmId: number): string => `farm-${farmId}`;
export const serverName = (serverId: number): string => `server-${serverId}`;

/**
 * The file that HAProxy runs from, with the options that the provider runs it with: what is not in use is closed by the next
 * answer and not by the reload. Only farms that a frontend reaches are in it: the others are not probed by the provider either.
 * @throws where HAProxy is not taught something that the embedded data plane carries.
 */
export function haproxyConfiguration(
  { frontends, farms }: Configuration,
  rendering: HaproxyRendering,
): string {
  const running = frontends.filter(({ disabled }) => !disabled);
  const reached = new Set(
    running.flatMap(({ defaultFarmId, routes }) => [
      defaultFarmId,
      ...routes.map(({ action }) => (action.kind === 'farm' ? action.farmId : null)),
    ]),
  );
  return [
    'global',
    `  node ${rendering.node}`,
    `  stats socket ${quoted(rendering.socket)} mode 600 level admin expose-fd listeners`,
    '  maxconn 8192',
    'defaults',
    '  timeout connect 5s',
    '  timeout client 60s',
    '  timeout server 60s',
    '  timeout http-keep-alive 60s',
    '  option redispatch',
    ...running.flatMap((frontend) => frontendLines(frontend, rendering)),
    ...farms
      .filter(({ farmId }) => reached.has(farmId))
      .flatMap((farm) => farmLines(farm, rendering.probeSpeed)),
    '',
  ].join('\n');
}

function frontendLines(frontend: FrontendConfiguration, rendering: HaproxyRendering): readonly string[] {
  const { protocol, frontendId, defaultFarmId, httpHeader, allowedSource, deniedSource } = frontend;
  if (frontend.redirectLocation !== null) {
    throw new Error(
      `Cannot run frontend "${frontendId}" in HAProxy: it has a redirection, needs farms alone`,
    );
  }
  const reject = protocol === 'http' ? 'http-request deny if' : 'tcp-request connection reject if';
  return [
    `frontend front-${frontendId}`,
    `  mode ${protocol}`,
    `  bind ${rendering.bind(frontendId)}`,
    ...(protocol === 'http' ? httpLines(rendering) : []),
    ...(allowedSource.length > 0 ? [`  ${reject} !{ src ${allowedSource.map(quoted).join(' ')} }`] : []),
    ...(allowedSource.length === 0 && deniedSource.length > 0
      ? [`  ${reject} { src ${deniedSource.map(quoted).join(' ')} }`]
      : []),
    ...httpHeader.map((line) => {
      const [name = '', ...value] = line.split(/:?\s+/);
      return `  http-request add-header ${quoted(name)} ${quoted(value.join(' '))}`;
    }),
    ...routeLines(frontend, backendName, quoted),
    ...(defaultFarmId === null ? [] : [`  default_backend ${backendName(defaultFarmId)}`]),
  ];
}

/** What the provider does with every request and answer. */
const httpLines = ({ instanceId }: HaproxyRendering): readonly string[] => [
  '  option idle-close-on-response',
  '  http-request set-header X-Forwarded-For %[src]',
  '  http-request set-header X-Forwarded-Proto http',
  `  http-response set-header X-IPLB-Instance ${instanceId}`,
];

function farmLines(farm: FarmConfiguration, probeSpeed: number): readonly string[] {
  const { protocol, farmId, balance, stickiness, probe, servers } = farm;
  const check = probe === null ? undefined : checkOf(probe, probeSpeed);
  return [
    `backend ${backendName(farmId)}`,
    `  mode ${protocol}`,
    `  balance ${balance}`,
    ...(stickiness === 'cookie' ? [`  cookie ${stickinessCookie} insert indirect nocache`] : []),
    ...(stickiness === 'sourceIp' ? ['  stick-table type ip size 100k', '  stick on src'] : []),
    ...(check?.lines ?? []),
    ...servers.map((server) => serverLine(server, check?.words)),
  ];
}

function serverLine(server: ServerConfiguration, check: readonly string[] | undefined): string {
  const { serverId, address, port, active, weight, probe, backup, cookie, proxyProtocol, cutWhenDown } =
    server;
  const words = [
    `  server ${serverName(serverId)} ${address}:${port} weight ${weight}`,
    ...(active && probe && check ? check : []),
    ...(active ? [] : ['disabled']),
    ...(backup ? ['backup'] : []),
    ...(cookie === null ? [] : ['cookie', quoted(cookie)]),
    ...(proxyProtocol === null ? [] : [proxyProtocol === 'v1' ? 'send-proxy' : 'send-proxy-v2']),
    ...(cutWhenDown ? ['on-marked-down shutdown-sessions'] : []),
  ];
  return words.join(' ');
}

function checkOf(
  probe: ProbeConfiguration,
  probeSpeed: number,
): { readonly lines: readonly string[]; readonly words: readonly string[] } {
  const everyMs = checkEveryMs(probe, probeSpeed);
  const [, host = '', path = '/'] = /^(?:[a-z]+:\/\/)?([^/]*)(\/.*)?$/.exec(probe.url) ?? [];
  const request = `  http-check send meth ${probe.method} uri ${quoted(path)} ver HTTP/1.0`;
  const http = [
    '  option httpchk',
    host === '' ? request : `${request} hdr Host ${quoted(host)}`,
    ...expectation(probe),
  ];
  return {
    lines: [`  timeout check ${checkTimeoutMs(everyMs)}ms`, ...(probe.type === 'http' ? http : [])],
    words: [`check inter ${everyMs}ms fall 2 rise 2`, ...(probe.port === null ? [] : [`port ${probe.port}`])],
  };
}

function expectation({ match, pattern, negate }: ProbeConfiguration): readonly string[] {
  const expect = `  http-check expect ${negate ? '! ' : ''}`;
  switch (match) {
    case 'default':
      return [];
    case 'status':
      return [`${expect}status ${pattern.replaceAll(/[^0-9,]/g, '')}`];
    case 'contains':
      return [`${expect}string ${quoted(pattern)}`];
    case 'matches':
      return [`${expect}rstring ${quoted(pattern)}`];
    default:
      return match satisfies never;
  }
}

/** One word of HAProxy's language, whatever is in it. */
function quoted(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new Error(`Cannot tell HAProxy ${JSON.stringify(text)}: needs one line`);
  return `'${text.replaceAll("'", "'\\''")}'`;
}
