/**
 * What one instance of a load balancer runs: its objects as the last refresh rendered them for the zone
 * of the instance. Plain data; nothing in it is shared with what people edit meanwhile.
 */
export interface Configuration {
  readonly frontends: readonly FrontendConfiguration[];
  readonly farms: readonly FarmConfiguration[];
}

export type Protocol = 'http' | 'tcp';

export interface FrontendConfiguration {
  readonly protocol: Protocol;
  readonly frontendId: number;
  /** As the API has it: one port, a range or a list of both. */
  readonly port: string;
  readonly disabled: boolean;
  readonly defaultFarmId: number | null;
  /** Where HTTP requests are redirected to when there is no farm for them. */
  readonly redirectLocation: string | null;
  /** Header lines to add to HTTP requests; `%ci` is the client's address, `%cp` its port. */
  readonly httpHeader: readonly string[];
  /** CIDR blocks; when not empty, everybody else is refused. */
  readonly allowedSource: readonly string[];
  readonly deniedSource: readonly string[];
  /** In the order in which they are tried; the first whose rules all match decides. */
  readonly routes: readonly RouteConfiguration[];
}

export interface RouteConfiguration {
  readonly routeId: number;
  readonly action: RouteAction;
  readonly rules: readonly RuleConfiguration[];
}

export type RouteAction =
  | { readonly kind: 'farm'; readonly farmId: number }
  | { readonly kind: 'redirect'; readonly location: string; readonly status: number }
  | { readonly kind: 'reject'; readonly status: number };

export interface RuleConfiguration {
  readonly field: string;
  readonly match: string;
  readonly negate: boolean;
  readonly pattern: string | null;
  /** The name of the header, cookie or parameter. */
  readonly subField: string | null;
}

export type Balance = 'first' | 'leastconn' | 'roundrobin' | 'source' | 'uri';

export interface FarmConfiguration {
  readonly protocol: Protocol;
  readonly farmId: number;
  readonly balance: Balance;
  readonly stickiness: 'cookie' | 'sourceIp' | null;
  readonly probe: ProbeConfiguration | null;
  readonly servers: readonly ServerConfiguration[];
}

export interface ProbeConfiguration {
  /** Everything that is not `http` is checked by a TCP connect. */
  readonly type: string;
  readonly intervalS: number;
  readonly match: 'contains' | 'default' | 'matches' | 'status';
  readonly pattern: string;
  readonly negate: boolean;
  readonly method: string;
  /** `[host]/path`. */
  readonly url: string;
  /** Null probes the server's own port. */
  readonly port: number | null;
}

export interface ServerConfiguration {
  readonly serverId: number;
  readonly address: string;
  readonly port: number;
  /** Inactive servers get nothing, not even a probe. */
  readonly active: boolean;
  /** 0 gets no balanced traffic; clients that stick to the server keep it. */
  readonly weight: number;
  readonly probe: boolean;
  /** Gets traffic only while no other server of the farm can. */
  readonly backup: boolean;
  readonly cookie: string | null;
  readonly proxyProtocol: 'v1' | 'v2' | null;
  /** Cuts what runs on the server when its probes declare it down. */
  readonly cutWhenDown: boolean;
}
