import type { Division } from '../../../domain/observation.js';
import type { ServerName } from '../../../domain/names.js';
import type { OvhPublicCloudSettings, Server } from '../../../domain/service.js';
import { smallestShare } from '../../../domain/weights.js';
import type { Configuration } from './configuration.js';
import type { View } from './view.js';

interface Means {
  readonly settings: OvhPublicCloudSettings;
  readonly servers: readonly Server[];
  readonly view: View;
}

/** Why a mixed pool cannot divide traffic, in words; empty where it can. */
export function mixedHindrances(
  id: string,
  configuration: Configuration,
  { settings, servers, view }: Means,
): readonly string[] {
  const pool = configuration.pools.get(id);
  if (!pool) return [`mixed pool ${id} does not exist on this load balancer`];
  const persistence = pool.sessionPersistence?.type ?? 'disabled';
  const protocol = configuration.pools.get(settings.pools.blue)?.protocol;
  const missing = servers.filter((server) => !view.memberOf(server, id, configuration));
  return [
    ...(pool.algorithm === 'roundRobin'
      ? []
      : [`mixed pool ${id} balances by ${pool.algorithm}, needs roundRobin: only by it weights are shares`]),
    ...(persistence === 'disabled'
      ? []
      : [`mixed pool ${id} keeps clients where they are (${persistence}), needs no session persistence`]),
    ...(pool.protocol === protocol
      ? []
      : [`mixed pool ${id} speaks ${pool.protocol}, needs ${protocol ?? 'what blue speaks'} as blue does`]),
    ...(missing.length === 0
      ? []
      : [
          `${missing.map(({ name }) => name).join(', ')} is no member of mixed pool ${id}, needs every server`,
        ]),
  ];
}

/** How the mixed pools could divide traffic between the servers that are not left out, or why they cannot. */
export function divisionBy(
  configuration: Configuration,
  means: Means,
  leftOut: readonly ServerName[],
): Division {
  const { settings, servers } = means;
  const { mixed } = settings;
  if (!mixed) return { kind: 'impossible', because: 'no mixed pool is configured (loadBalancer.mixed)' };
  const because = mixed.pools.flatMap((id) => mixedHindrances(id, configuration, means));
  if (because.length > 0) return { kind: 'impossible', because: because.join('; ') };
  const counted = (color: Server['color']): number =>
    servers.filter((server) => server.color === color && !leftOut.includes(server.name)).length;
  const counts = { blue: counted('blue'), green: counted('green') };
  return {
    kind: 'possible',
    shares: 'of new connections',
    smallest: { blue: smallestShare('blue', counts), green: smallestShare('green', counts) },
  };
}
