import type { ConfigurationComplaint } from '../../configuration/complaints.js';
import type { KeyPath } from '../../configuration/documents.js';
import { describeDuration } from '../../configuration/quantities.js';
import { colors } from '../../domain/color.js';
import { atLeast, atMost } from '../../domain/fleet.js';
import { inLoadBalancer, inOvhApi } from './contradictions/load-balancer.js';
import { inConfiguration } from './contradictions/program.js';
import { inRegions } from './contradictions/regions.js';
import { amongServers, incompleteServers } from './contradictions/servers.js';
import { hostKeyContradictions, keyContradictions } from './reaching.js';
import { complain, type ReadableParts, type Sections } from './readable-parts.js';

/** What each key allows but the keys together do not. */
export const contradictionsIn = (parts: ReadableParts): readonly ConfigurationComplaint[] => [
  ...amongServers(parts),
  ...incompleteServers(parts),
  ...keyContradictions(parts),
  ...hostKeyContradictions(parts),
  ...inConfiguration(parts),
  ...entrancesIn(parts.sections).flatMap(({ path, loadBalancer, publicAddress }) => [
    ...inLoadBalancer([...path, 'loadBalancer'], loadBalancer, parts.servers),
    ...inOvhApi([...path, 'loadBalancer', 'api'], loadBalancer?.api),
    ...inPublicAddress([...path, 'publicAddress', 'url'], publicAddress?.url),
  ]),
  ...inRegions(parts),
  ...inVerify(parts.sections),
  ...inFleet(parts),
  ...betweenBakeAndProber(parts.sections),
];

/** A load balancer and the way in to it, and where they stand. */
interface PlacedEntrance extends Pick<Sections, 'loadBalancer' | 'publicAddress'> {
  readonly path: KeyPath;
}

const entrancesIn = ({ regions, ...top }: Sections): readonly PlacedEntrance[] => [
  { path: [], ...top },
  ...(regions ?? []).map((region, index) => ({ path: ['regions', index], ...region })),
];

function inVerify({ verify, health }: Sections): readonly ConfigurationComplaint[] {
  if (verify?.deadline === undefined) return [];
  const { minimum, passes, every, deadline } = verify;
  const most = `verify.deadline (${describeDuration(deadline)})`;
  const complaints: ConfigurationComplaint[] = [];
  if (minimum !== undefined && minimum > deadline) {
    complaints.push(
      complain(['verify', 'minimum'], `is ${describeDuration(minimum)}, needs at most ${most}`),
    );
  }
  if (passes !== undefined && every !== undefined && passes * every > deadline) {
    complaints.push(
      complain(
        ['verify', 'passes'],
        `is ${passes}, which takes ${describeDuration(passes * every)} at one every ${describeDuration(every)}, needs to fit into ${most}`,
      ),
    );
  }
  if (health?.timeout !== undefined && health.timeout > deadline) {
    complaints.push(
      complain(['health', 'timeout'], `is ${describeDuration(health.timeout)}, needs at most ${most}`),
    );
  }
  return complaints;
}

/** What may fail and what has to be left cannot both be had: the stricter one would win in silence. Told once, not for each color. */
function inFleet({ sections: { fleet, environments } }: ReadableParts): readonly ConfigurationComplaint[] {
  const { mayFail, minCapacity } = fleet ?? {};
  if (mayFail === undefined || minCapacity === undefined) return [];
  const complaints = colors.flatMap((color) => {
    const all = environments?.[color]?.length;
    if (all === undefined) return [];
    const needed = atLeast(minCapacity, all);
    if (needed > all) {
      return [
        complain(['fleet', 'minCapacity'], `is ${needed}, needs at most the ${all} servers of ${color}`),
      ];
    }
    const failing = atMost(mayFail, all);
    if (failing <= all - needed) return [];
    return [
      complain(
        ['fleet', 'mayFail'],
        `lets ${failing} of the ${all} servers of ${color} fail, needs at most ${all - needed}: fleet.minCapacity keeps ${needed}`,
      ),
    ];
  });
  return complaints.slice(0, 1);
}

/** A bake that cannot see enough requests would always end without a verdict. */
function betweenBakeAndProber({ bake, prober }: Sections): readonly ConfigurationComplaint[] {
  const { duration, minRequests } = bake ?? {};
  const rate = prober?.requestsPerSecond;
  if (duration === undefined || minRequests === undefined || rate === undefined) return [];
  const most = Math.floor((rate * duration) / 1_000);
  if (minRequests <= most) return [];
  return [
    complain(
      ['bake', 'minRequests'],
      `is ${minRequests}, but the prober sends ${most} in ${describeDuration(duration)} (${rate} per second), needs ${most} at most, a longer bake.duration or a higher prober.requestsPerSecond`,
    ),
  ];
}

function inPublicAddress(path: KeyPath, url: string | undefined): readonly ConfigurationComplaint[] {
  if (url === undefined) return [];
  const { pathname } = new URL(url);
  return pathname === '/'
    ? []
    : [
        complain(
          path,
          `ends in the path ${pathname}, needs none: what is asked there is prober.path and publicAddress.identify.path`,
        ),
      ];
}
