import { otherColor, type Color } from '../domain/color.js';
import type { JsonObject } from './ovh-api/json.js';
import type { OvhApi } from './ovh-api/ovh-api.js';
import type { Place } from './settings.js';

export interface LoadBalancerIds {
  readonly frontend: number;
  readonly stagingFrontend: number;
  readonly farms: Readonly<Record<Color, number>>;
}

/** What an administrator does once in the control panel: two farms, a frontend for the world, and one for the idle farm. */
export async function provision(
  api: OvhApi,
  servers: readonly Place[],
  ports = { production: 80, staging: 8888 },
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
    for (const server of servers.filter((each) => each.color === color)) {
      await create(`/http/farm/${Number(farm['farmId'])}/server`, {
        address: server.address,
        port: server.port,
        status: 'active',
        probe: true,
        displayName: server.name,
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
