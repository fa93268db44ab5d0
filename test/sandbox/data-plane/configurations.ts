import type {
  Configuration,
  FarmConfiguration,
  FrontendConfiguration,
  ProbeConfiguration,
  ServerConfiguration,
} from '../../../sandbox/data-plane/configuration.js';

/** Parts of a configuration with nothing special about them but what is asked for. */
export const frontend = (more: Partial<FrontendConfiguration> = {}): FrontendConfiguration => ({
  protocol: 'http',
  frontendId: 1,
  port: '80',
  disabled: false,
  defaultFarmId: 10,
  redirectLocation: null,
  httpHeader: [],
  allowedSource: [],
  deniedSource: [],
  routes: [],
  ...more,
});

export const farm = (
  servers: readonly ServerConfiguration[],
  more: Partial<FarmConfiguration> = {},
): FarmConfiguration => ({
  protocol: 'http',
  farmId: 10,
  balance: 'roundrobin',
  stickiness: null,
  probe: null,
  servers,
  ...more,
});

export const server = (port: number, more: Partial<ServerConfiguration> = {}): ServerConfiguration => ({
  serverId: port,
  address: '127.0.0.1',
  port,
  active: true,
  weight: 1,
  probe: false,
  backup: false,
  cookie: null,
  proxyProtocol: null,
  cutWhenDown: false,
  ...more,
});

export const probe = (more: Partial<ProbeConfiguration> = {}): ProbeConfiguration => ({
  type: 'http',
  intervalS: 30,
  match: 'default',
  pattern: '',
  negate: false,
  method: 'GET',
  url: '/',
  port: null,
  ...more,
});

/** One HTTP frontend with one farm. */
export const serving = (
  servers: readonly ServerConfiguration[],
  more: Partial<FarmConfiguration> = {},
): Configuration => ({ frontends: [frontend()], farms: [farm(servers, more)] });
