import type { BackendObservation, BackendState } from '../../../domain/observation.js';
import type { Server } from '../../../domain/service.js';
import type { Configuration } from './configuration.js';
import type { BackendServer, Farm, ServerState } from './documents.js';
import type { Entry, FarmRole } from './entry.js';

type Seen = Pick<BackendObservation, 'state' | 'checkedAtMs'>;

/** Each server as the load balancer sees it: the worst of its farms and of their instances, and the oldest check. */
export const backendsOf = (
  entries: readonly Entry[],
  servers: readonly Server[],
  configuration: Configuration,
): readonly BackendObservation[] =>
  servers.map((server) => ({
    server: server.name,
    color: server.color,
    ...worst(
      entries.flatMap((entry) =>
        // The servers of a mixed farm that is not whole tell nothing: traffic is not divided by it.
        entry.roles
          .filter(
            (role) => role === server.color || (role === 'mixed' && isWhole(entry, servers, configuration)),
          )
          .map((role) => seenIn(entry, role, server, configuration)),
      ),
    ),
  }));

const isWhole = (entry: Entry, servers: readonly Server[], configuration: Configuration): boolean =>
  servers.every((server) => entry.member(server, 'mixed', configuration) !== undefined);

function seenIn(entry: Entry, role: FarmRole, server: Server, configuration: Configuration): Seen {
  const farm = configuration.farms.get(entry.farm(role));
  const [, member] = entry.member(server, role, configuration) ?? [];
  return farm && member ? stateOf(farm, member) : { state: 'absent' };
}

const badFirst = ['absent', 'inactive', 'down', 'unchecked', 'up'] as const satisfies readonly BackendState[];

function worst(seen: readonly Seen[]): Seen {
  const state = badFirst.find((bad) => seen.some((one) => one.state === bad)) ?? 'absent';
  const checks = seen.map(({ checkedAtMs }) => checkedAtMs ?? NaN);
  const oldest = Math.min(...checks);
  return { state, ...(Number.isNaN(oldest) || checks.length === 0 ? {} : { checkedAtMs: oldest }) };
}

function stateOf(farm: Farm, { status, weight, probe, serverState }: BackendServer): Seen {
  if (status !== 'active') return { state: 'inactive' };
  if (weight === 0) return { state: 'absent' };
  const instances = serverState ?? [];
  if (!farm.probe || !probe || instances.length === 0) return { state: 'unchecked' };
  const states = instances.map(instanceState);
  const state = (['down', 'unchecked'] as const).find((bad) => states.includes(bad)) ?? 'up';
  const checkedAtMs = Math.min(
    ...instances.map(({ checkTime }) => (checkTime ? Date.parse(checkTime) : NaN)),
  );
  return { state, ...(Number.isNaN(checkedAtMs) ? {} : { checkedAtMs }) };
}

/** A server that no check has looked at is presumed up after every reload: that proves nothing. */
function instanceState({ status, checkTime }: ServerState): BackendState {
  if (!status || /no check/i.test(status)) return 'unchecked';
  if (!/^up\b/i.test(status)) return 'down';
  return checkTime ? 'up' : 'unchecked';
}
