import type { ConfigurationComplaint } from '../../../configuration/complaints.js';
import { colors } from '../../../domain/color.js';
import { complain, pathOf, type ReadableParts } from '../readable-parts.js';
import type { RegionSection } from '../schema.js';

/** Each region is one, and can carry either environment; no server is left to nobody. */
export function inRegions({
  sections: { regions },
  servers,
}: ReadableParts): readonly ConfigurationComplaint[] {
  if (!regions || servers.length === 0) return [];
  const all = servers.map(({ entry }) => entry.name);
  const reached = new Set(regions.flatMap((region) => region.servers ?? all));
  const twice = (
    of: (region: RegionSection) => string,
    keys: (region: RegionSection) => readonly string[],
    what: string,
  ) =>
    regions.flatMap((region, index) =>
      regions.slice(0, index).some((earlier) => of(earlier) === of(region))
        ? [complain(['regions', index, ...keys(region)], `is ${of(region)} again, needs ${what} of its own`)]
        : [],
    );
  return [
    ...twice(
      ({ name }) => name,
      () => ['name'],
      'a name',
    ),
    ...twice(
      ({ loadBalancer }) => (loadBalancer.driver === 'ovh-iplb' ? loadBalancer.serviceName : loadBalancer.id),
      ({ loadBalancer }) => ['loadBalancer', loadBalancer.driver === 'ovh-iplb' ? 'serviceName' : 'id'],
      'a load balancer',
    ),
    ...regions.flatMap((region, index) => {
      const path = ['regions', index, 'servers'];
      const named = region.servers ?? all;
      const unknown = named.filter((name) => !all.includes(name));
      if (unknown.length > 0) return [complain(path, `names ${unknown.join(', ')}, needs names of servers`)];
      return colors
        .filter((color) => !servers.some((each) => each.color === color && named.includes(each.entry.name)))
        .map((color) => complain(path, `has no server of ${color}, needs one at least`));
    }),
    ...servers
      .filter(({ entry }) => !reached.has(entry.name))
      .map((server) => complain(pathOf(server, 'name'), 'is in no region, needs to be in one at least')),
    ...amongRegions(regions),
  ];
}

/** What a deployment asks of all its load balancers in one change, each of them has to know. */
function amongRegions(regions: readonly RegionSection[]): readonly ConfigurationComplaint[] {
  const alike = (key: 'fallback' | 'testers', of: (region: RegionSection) => string) =>
    regions.flatMap((region, index) => {
      const [first, its] = [regions[0] && of(regions[0]), of(region)];
      return its === first
        ? []
        : [
            complain(
              ['regions', index, 'loadBalancer', key],
              `is ${its}, and ${first} in regions[0], needs the same in every region`,
            ),
          ];
    });
  return [
    ...alike('fallback', ({ loadBalancer }) =>
      loadBalancer.driver === 'ovh-iplb' ? loadBalancer.fallback : 'none',
    ),
    ...alike('testers', ({ loadBalancer }) => testersWords(loadBalancer)),
  ];
}

function testersWords(loadBalancer: RegionSection['loadBalancer']): string {
  const testers = loadBalancer.driver === 'ovh-iplb' ? loadBalancer.testers : undefined;
  const marks = (['header', 'cookie'] as const).flatMap((kind) => {
    const mark = testers?.[kind];
    return mark ? [`${kind} ${mark.name}: ${mark.value}`] : [];
  });
  const source = testers?.source === undefined ? [] : [`source ${testers.source}`];
  return [...marks, ...source].join(' and ') || 'nobody';
}
