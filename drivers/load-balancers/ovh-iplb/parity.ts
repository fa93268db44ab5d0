import { colors } from '../../../domain/color.js';
import type { Inequality } from '../../../domain/observation.js';
import type { Server } from '../../../domain/service.js';
import { inequalitiesOf, type Compared } from '../inequality.js';
import type { Configuration } from './configuration.js';
import type { Entry, Member } from './entry.js';

const ofFarms: readonly Compared[] = [
  { field: 'stickiness', breaks: true },
  { field: 'zone', breaks: true },
  { field: 'vrackNetworkId', breaks: false },
  { field: 'balance', otherwise: 'roundrobin', breaks: false },
  { field: 'probe', breaks: false },
];

/** How the load balancer speaks to a server: one that expects something else answers nobody. */
const ofServers: readonly Compared[] = [
  { field: 'ssl', breaks: true },
  { field: 'proxyProtocolVersion', breaks: true },
  { field: 'chain', breaks: false },
  { field: 'onMarkedDown', breaks: false },
];

/** In what the farms of blue and green, and the servers in them, are set up differently. */
export const inequalitiesIn = (
  entries: readonly Entry[],
  servers: readonly Server[],
  configuration: Configuration,
): readonly Inequality[] =>
  entries.flatMap((entry) => [
    ...farmInequalities(entry, configuration),
    ...serverInequalities(entry, servers, configuration),
  ]);

function farmInequalities(entry: Entry, { farms }: Configuration): readonly Inequality[] {
  const [blue, green] = colors.map((color) => farms.get(entry.farm(color)));
  if (!blue || !green) return [];
  const named = colors.map((color) => `${entry.farm(color)} (${color})`);
  return inequalitiesOf([named[0] ?? '', blue], [named[1] ?? '', green], ofFarms);
}

/** One server stands for those that are set up like it. Those of one environment should be alike, too. */
function serverInequalities(
  entry: Entry,
  servers: readonly Server[],
  configuration: Configuration,
): readonly Inequality[] {
  const [first, ...others] = servers.flatMap((server): readonly Member[] => {
    const member = entry.member(server, server.color, configuration);
    return member ? [member] : [];
  });
  if (!first) return [];
  return ofServers.flatMap((compared) => {
    const differing = others.map((other) => inequalitiesOf(first, other, [compared]));
    return differing.find((found) => found.length > 0) ?? [];
  });
}
