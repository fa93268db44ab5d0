import { colors, otherColor, type Color } from '../domain/color.js';
import type { DataPlane } from './data-plane/data-plane.js';
import { shownAs, type JsonObject } from './ovh-api/json.js';
import type { OvhApi } from './ovh-api/ovh-api.js';
import type { Place } from './settings.js';

export interface LoadBalancerIds {
  readonly frontend: number;
  readonly stagingFrontend: number;
  readonly farms: Readonly<Record<Color, number>>;
}

/** Where the load balancer listens, as the API has it. */
export const frontendPorts = { production: 80, staging: 8888 } as const;

/** A load balancer that was set up, as the sandbox and as `verdigris.yaml` know it. */
export interface SetUp {
  /** Of a Public Cloud one, the data plane's numbers. */
  readonly ids: LoadBalancerIds;
  /** The section `loadBalancer:`, without `api`. */
  readonly section: JsonObject;
}

/** What an OVHcloud Load Balancer is given beside farms and frontends. */
export interface Extent {
  readonly ports?: { readonly production: number; readonly staging: number };
  /** Each farm has the servers of the other environment as backups, inactive at rest. */
  readonly fallback?: boolean;
}

/** Sets up an OVHcloud Load Balancer. */
export async function setUpIplb(
  api: OvhApi,
  servers: readonly Pick<Place, 'name' | 'color' | 'address' | 'port'>[],
  extent: Extent = {},
): Promise<SetUp> {
  const ids = await provision(api, servers, extent);
  return {
    ids,
    section: {
      driver: 'ovh-iplb',
      serviceName: api.serviceName,
      frontends: [ids.frontend],
      stagingFrontend: ids.stagingFrontend,
      farms: { ...ids.farms },
      ...(extent.fallback ? { fallback: 'old-environment' } : {}),
    },
  };
}

/** Sets up a Public Cloud Load Balancer: a pool for each environment, a listener for the world, and one for the idle pool. */
export async function setUpPublicCloud(
  { publicCloud, admin }: OvhApi,
  dataPlane: DataPlane,
  servers: readonly Pick<Place, 'name' | 'color' | 'address' | 'port'>[],
): Promise<SetUp> {
  const balancer = publicCloud.add(dataPlane);
  const { project, region } = publicCloud;
  const { id } = balancer;
  const create = async (path: string, body: JsonObject): Promise<string> => {
    const root = `/cloud/project/${project}/region/${region}/loadbalancing`;
    const made = (await admin.editAsSomebodyElse('POST', `${root}/${path}`, body)) as JsonObject;
    await balancer.settled();
    return shownAs(made['id']);
  };
  const poolOf = async (color: Color): Promise<string> => {
    const pool = await create('pool', {
      loadbalancerId: id,
      name: color,
      algorithm: 'roundRobin',
      protocol: 'http',
    });
    const httpConfiguration = { httpMethod: 'GET', urlPath: '/health', expectedCodes: '200' };
    const often = { delay: 2, timeout: 1, maxRetries: 1, maxRetriesDown: 1 };
    await create('healthMonitor', {
      poolId: pool,
      name: color,
      monitorType: 'http',
      ...often,
      httpConfiguration,
    });
    const members = servers
      .filter((server) => server.color === color)
      .map(({ name, address, port }) => ({ name, address, protocolPort: port }));
    await create(`pool/${pool}/member`, { members });
    return pool;
  };
  const pools = { blue: await poolOf('blue'), green: await poolOf('green') };
  const listenerFor = (color: Color, port: number, name: string): Promise<string> =>
    create('listener', { loadbalancerId: id, name, port, protocol: 'http', defaultPoolId: pools[color] });
  const listener = await listenerFor('blue', 80, 'production');
  const stagingListener = await listenerFor(otherColor('blue'), 8888, 'staging');
  const numbers = Object.fromEntries(colors.map((color) => [color, balancer.numberOf(pools[color])]));
  return {
    ids: {
      frontend: balancer.numberOf(listener),
      stagingFrontend: balancer.numberOf(stagingListener),
      farms: numbers as LoadBalancerIds['farms'],
    },
    section: {
      driver: 'ovh-public-cloud',
      project,
      region,
      id,
      listeners: [listener],
      stagingListener,
      pools,
      statusDelay: '0s',
    },
  };
}

/** What an administrator does once in the control panel: two farms, a frontend for the world, and one for the idle farm. */
export async function provision(
  api: OvhApi,
  servers: readonly Pick<Place, 'name' | 'color' | 'address' | 'port'>[],
  { ports = frontendPorts, fallback = false }: Extent = {},
): Promise<LoadBalancerIds> {
  const root = `/ipLoadbalancing/${api.serviceName}`;
  const create = async (path: string, body: JsonObject): Promise<JsonObject> =>
    (await api.admin.editAsSomebodyElse('POST', `${root}${path}`, body)) as JsonObject;
  const farmOf = async (color: Color): Promise<number> => {
    const probe = {
      type: 'http',
      method: 'GET',
      url: '/health',
      match: 'status',
      pattern: '200',
      interval: 30,
    };
    const farm = await create('/http/farm', {
      zone: 'all',
      port: 8080,
      balance: 'roundrobin',
      displayName: color,
      probe,
    });
    for (const { name, address, port, color: own } of servers) {
      const isBackup = own !== color;
      if (isBackup && !fallback) continue;
      await create(`/http/farm/${Number(farm['farmId'])}/server`, {
        address,
        port,
        status: isBackup ? 'inactive' : 'active',
        probe: true,
        displayName: name,
        ...(isBackup ? { backup: true } : {}),
      });
    }
    return Number(farm['farmId']);
  };
  const frontendFor = async (color: Color, port: string, displayName: string): Promise<number> => {
    const frontend = await create('/http/frontend', {
      zone: 'all',
      port,
      displayName,
      defaultFarmId: farms[color],
    });
    return Number(frontend['frontendId']);
  };
  const farms = { blue: await farmOf('blue'), green: await farmOf('green') };
  const frontend = await frontendFor('blue', `${ports.production}`, 'production');
  const stagingFrontend = await frontendFor(otherColor('blue'), `${ports.staging}`, 'staging');
  await published(api);
  return { frontend, stagingFrontend, farms };
}

/** Refreshes as the administrator, and waits for its task. */
async function published(api: OvhApi): Promise<void> {
  const task = (await api.admin.refreshAsSomebodyElse()) as JsonObject;
  const path = `/ipLoadbalancing/${api.serviceName}/task/${Number(task['id'])}`;
  for (;;) {
    const { status } = (await api.admin.editAsSomebodyElse('GET', path)) as JsonObject;
    if (status === 'done') return;
    if (status === 'error' || status === 'cancelled')
      throw new Error(`Cannot publish the sandbox's load balancer: its task ended as "${status}"`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
