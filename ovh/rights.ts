import {
  entriesOf,
  type OvhIplbSettings,
  type OvhProduct,
  type OvhPublicCloudSettings,
} from '../domain/service.js';
import type { OvhMethod } from './error.js';

/** One call that a credential must be able to make. */
export interface Right {
  readonly method: OvhMethod;
  /** In which `*` stands for any characters, as in the access rules of a consumer key. */
  readonly path: string;
  /** The same as IAM names it, for service accounts. None where IAM does not ask. */
  readonly actions: readonly string[];
}

/** The rule as people grant it. */
export const describeRight = ({ method, path }: { readonly method: string; readonly path: string }): string =>
  `${method} ${path}`;

/** What every consumer key needs so that it can be told what it lacks. Without secrets, and nothing of IAM's. */
export const selfRights: readonly Right[] = [
  { method: 'GET', path: '/auth/currentCredential', actions: [] },
  { method: 'GET', path: '/auth/details', actions: [] },
];

/** What of an OVHcloud Load Balancer the rights depend on. */
export type IplbUse = Pick<
  OvhIplbSettings,
  'serviceName' | 'protocol' | 'frontends' | 'stagingFrontend' | 'farms' | 'mixed' | 'also' | 'testers'
>;

/** What of a Public Cloud Load Balancer the rights depend on. */
export type PublicCloudUse = Pick<
  OvhPublicCloudSettings,
  'project' | 'region' | 'id' | 'listeners' | 'stagingListener' | 'pools' | 'mixed'
>;

/** Any load balancer of OVHcloud's. */
export type BalancerUse = IplbUse | PublicCloudUse;

/** What a deployment calls: reads of the whole load balancer, writes of the service's own objects only. */
export const deployRights = (use: BalancerUse): readonly Right[] =>
  'project' in use ? publicCloudDeployRights(use) : iplbDeployRights(use);

/** Reads of lists, which are of the whole region; writes of the service's own listeners and members only. */
function publicCloudDeployRights({
  project,
  region,
  id,
  listeners,
  stagingListener,
  pools,
  mixed,
}: PublicCloudUse): readonly Right[] {
  const own = (method: OvhMethod, path: string, action: string): Right =>
    publicCloudRight(project, region, method, path, action);
  const writable = [pools.blue, pools.green, ...(mixed?.weights === 'set' ? mixed.pools : [])];
  const moved = [...listeners, ...(stagingListener === undefined ? [] : [stagingListener])];
  return [
    own('GET', `loadbalancer/${id}`, 'loadbalancer/get'),
    ...publicCloudReadRights(project, region),
    own('GET', 'listener/*', 'listener/get'),
    ...moved.map((listener) => own('PUT', `listener/${listener}`, 'listener/edit')),
    ...writable.map((pool) => own('PUT', `pool/${pool}/member/*`, 'pool/member/edit')),
  ];
}

const publicCloudReadRights = (project: string, region: string): readonly Right[] =>
  [
    ['listener', 'listener/get'],
    ['pool', 'pool/get'],
    ['pool/*', 'pool/member/get'],
    ['healthMonitor', 'healthMonitor/get'],
    ['l7Policy', 'l7Policy/get'],
    ['l7Policy/*', 'l7Policy/l7Rule/get'],
  ].map(([path = '', action = '']) => publicCloudRight(project, region, 'GET', path, action));

const publicCloudRight = (
  project: string,
  region: string,
  method: OvhMethod,
  path: string,
  action: string,
): Right => ({
  method,
  path: `/cloud/project/${project}/region/${region}/loadbalancing/${path}`,
  actions: [`publicCloudProject:apiovh:region/loadbalancing/${action}`],
});

/** What looking for Public Cloud Load Balancers calls, in every region of one project or of all. Changes nothing. */
export const publicCloudDiscoverRights = (project = '*'): readonly Right[] => [
  { method: 'GET', path: '/cloud/project', actions: ['publicCloudProject:apiovh:get'] },
  {
    method: 'GET',
    path: `/cloud/project/${project}/region`,
    actions: ['publicCloudProject:apiovh:region/get'],
  },
  publicCloudRight(project, '*', 'GET', 'loadbalancer', 'loadbalancer/get'),
  ...publicCloudReadRights(project, '*'),
];

function iplbDeployRights(use: IplbUse): readonly Right[] {
  const { serviceName, protocol, testers } = use;
  const edits = entriesOf(use).flatMap(({ protocol: kind, frontends, stagingFrontend, farms, mixed }) => [
    ...[...frontends, stagingFrontend, ...(mixed ? [mixed.stagingFrontend] : [])].map(
      (id) => [`${kind}/frontend/${id}`, `${kind}/frontend/edit`] as const,
    ),
    ...[farms.blue, farms.green, ...(mixed ? [mixed.farm] : [])].map(
      (id) => [`${kind}/farm/${id}/server/*`, `${kind}/farm/server/edit`] as const,
    ),
  ]);
  return [
    ...readRights(serviceName),
    ...edits.map(([path, action]) => right(serviceName, 'PUT', path, action)),
    ...(testers
      ? [right(serviceName, 'PUT', `${protocol}/route/${testers.route}`, `${protocol}/route/edit`)]
      : []),
    right(serviceName, 'POST', 'refresh', 'refresh'),
  ];
}

/** What looking at one machine calls, part by part: a credential without some of them still sees the rest. */
export function machineRights(product: OvhProduct): readonly Right[] {
  if (product.kind === 'instance') {
    const path = `/cloud/project/${product.project}/instance/${product.id}`;
    return [{ method: 'GET', path, actions: ['publicCloudProject:apiovh:instance/get'] }];
  }
  const [root, who, parts] =
    product.kind === 'vps'
      ? (['/vps', 'vps', ['serviceInfos']] as const)
      : ([
          '/dedicated/server',
          'dedicatedServer',
          ['specifications/hardware', 'plannedIntervention', 'plannedIntervention/*', 'serviceInfos'],
        ] as const);
  const actionOf = (part: string) =>
    `${who}:apiovh:${[part.replace('/*', ''), 'get'].filter(Boolean).join('/')}`;
  return ['', ...parts].map((part) => ({
    method: 'GET',
    path: [root, product.name, part].filter(Boolean).join('/'),
    actions: [actionOf(part)],
  }));
}

/** The load balancer as IAM names it, below `urn:v1:<region>:resource:`; of a Public Cloud one, its project. */
export const balancerResourceOf = (settings: BalancerUse): string =>
  'project' in settings ? `publicCloudProject:${settings.project}` : `loadbalancer:${settings.serviceName}`;

/** A machine as IAM names it, below `urn:v1:<region>:resource:`. */
export function resourceOf(product: OvhProduct): string {
  if (product.kind === 'instance') return `publicCloudProject:${product.project}`;
  return `${product.kind === 'vps' ? 'vps' : 'dedicatedServer'}:${product.name}`;
}

/**
 * What looking at one load balancer calls, or for all of them and at all of them. Changes nothing. For all of them a load
 * balancer's own document is left out: a rule for it, `/ipLoadbalancing/*`, would be one for everything below too.
 */
export const discoverRights = (serviceName?: string): readonly Right[] => [
  serviceName === undefined
    ? { method: 'GET', path: '/ipLoadbalancing', actions: ['loadbalancer:apiovh:get'] }
    : { method: 'GET', path: `/ipLoadbalancing/${serviceName}`, actions: ['loadbalancer:apiovh:get'] },
  right(serviceName ?? '*', 'GET', 'zone', 'zone/get'),
  ...readRights(serviceName ?? '*'),
];

/** What creating what a service needs calls. Edits and deletes nothing. */
export const provisionRights = (use: BalancerUse): readonly Right[] =>
  'project' in use ? publicCloudProvisionRights(use) : iplbProvisionRights(use);

function iplbProvisionRights(use: IplbUse): readonly Right[] {
  const { serviceName, protocol, testers } = use;
  const own = (method: OvhMethod, path: string, action: string) => right(serviceName, method, path, action);
  const protocols = [...new Set(entriesOf(use).map((entry) => entry.protocol))];
  return [
    ...readRights(serviceName),
    ...protocols.flatMap((kind) => [
      own('GET', `${kind}/farm`, `${kind}/farm/get`),
      own('GET', `${kind}/frontend`, `${kind}/frontend/get`),
      own('POST', `${kind}/farm`, `${kind}/farm/create`),
      own('POST', `${kind}/farm/*/server`, `${kind}/farm/server/create`),
      own('POST', `${kind}/frontend`, `${kind}/frontend/create`),
    ]),
    ...(testers
      ? [
          own('GET', `${protocol}/route`, `${protocol}/route/get`),
          own('POST', `${protocol}/route`, `${protocol}/route/create`),
          own('POST', `${protocol}/route/*/rule`, `${protocol}/route/rule/create`),
        ]
      : []),
    own('POST', 'refresh', 'refresh'),
  ];
}

/** Reads the lists of a region, of the load balancer's own objects only; creates in no other way than by these lists. */
const publicCloudProvisionRights = ({ project, region, id }: PublicCloudUse): readonly Right[] =>
  (
    [
      ['GET', `loadbalancer/${id}`, 'loadbalancer/get'],
      ['GET', 'listener', 'listener/get'],
      ['GET', 'pool', 'pool/get'],
      ['GET', 'pool/*', 'pool/member/get'],
      ['GET', 'healthMonitor', 'healthMonitor/get'],
      ['GET', 'l7Policy', 'l7Policy/get'],
      ['POST', 'pool', 'pool/create'],
      ['POST', 'pool/*/member', 'pool/member/create'],
      ['POST', 'healthMonitor', 'healthMonitor/create'],
      ['POST', 'listener', 'listener/create'],
    ] as const
  ).map(([method, path, action]) => publicCloudRight(project, region, method, path, action));

/**
 * Named one by one: `GET /ipLoadbalancing/<name>/*` would give away more than is needed. Objects of every protocol are read,
 * because a refresh publishes what is stored in any of them. The driver's test runs with nothing else, and so tells when it
 * calls more.
 */
function readRights(serviceName: string): readonly Right[] {
  const read = (path: string, ...actions: readonly string[]): Right =>
    right(serviceName, 'GET', path, ...actions.map((action) => `${action}/get`));
  const told = ['definedFarms', 'definedFrontends', 'definedRoutes', 'pendingChanges', 'task', 'ssl'];
  return [
    ...told.map((name) => read(name, name)),
    read('task/*', 'task'),
    read('ssl/*', 'ssl'),
    ...['http', 'tcp', 'udp'].flatMap((protocol) => [
      read(`${protocol}/frontend/*`, `${protocol}/frontend`),
      read(`${protocol}/farm/*`, `${protocol}/farm`, `${protocol}/farm/server`),
    ]),
    ...['http', 'tcp'].map((protocol) => read(`${protocol}/route/*`, `${protocol}/route`)),
  ];
}

const right = (
  serviceName: string,
  method: OvhMethod,
  path: string,
  ...actions: readonly string[]
): Right => ({
  method,
  path: `/ipLoadbalancing/${serviceName}/${path}`,
  actions: actions.map((action) => `loadbalancer:apiovh:${action}`),
});

/** IAM's names of what is needed, each once. */
export const actionsOf = (rights: readonly Right[]): readonly string[] => [
  ...new Set(rights.flatMap(({ actions }) => actions)),
];

/** Whether an access rule covers a right whole. A `*` in the right is anything, so only a `*` in the rule covers it. */
export function covers(rule: { readonly method: string; readonly path: string }, needed: Right): boolean {
  if (rule.method !== needed.method) return false;
  const literal = rule.path.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${literal.join('.*')}$`, 's').test(needed.path);
}
