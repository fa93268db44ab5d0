import { Option } from 'commander';
import {
  loadBalancersOf,
  productsOf,
  type LoadBalancerSettings,
  type Service,
} from '../../../domain/service.js';
import {
  deployRights,
  describeRight,
  discoverRights,
  machineRights,
  provisionRights,
  publicCloudDiscoverRights,
  type Right,
} from '../../../ovh/rights.js';
import {
  readServiceWithoutBalancer,
  readServiceWithoutHostKeys,
  readServiceWithoutIds,
} from '../../configuration/configuration.js';
import { Refusal } from '../../refusal.js';
import type { ConfigurationOptions } from '../options.js';

/** What a credential is for. */
export type Purpose = 'deploy' | 'provision' | 'discover';

export const purposeOption = () =>
  new Option('--for <purpose>', 'what it is for')
    .choices(['deploy', 'provision', 'discover'])
    .default('deploy');

/** The service that a purpose is about, as far as that purpose needs it; looking around needs none. */
export function serviceFor(
  purpose: Purpose,
  { config, destination }: ConfigurationOptions,
): Service | undefined {
  switch (purpose) {
    case 'deploy':
      return readServiceWithoutHostKeys(config, destination);
    case 'provision':
      return readServiceWithoutIds(config, destination);
    case 'discover':
      return serviceIfAny(config, destination);
    default:
      return purpose satisfies never;
  }
}

/** For what works without a configuration: keys may be named in one all the same. */
export function serviceIfAny(config: string, destination: string): Service | undefined {
  try {
    return readServiceWithoutBalancer(config, destination);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

export function rightsFor(purpose: Purpose, service: Service | undefined): readonly Right[] {
  const all = service ? loadBalancersOf(service) : [];
  if (purpose === 'discover') return discoverRightsFor(all);
  const ours = all.filter((settings) => settings.driver !== 'in-memory');
  if (ours.length === 0 || ours.length < all.length) {
    throw new Refusal(
      `Cannot tell what is needed: the load balancer is ${service?.loadBalancer.driver ?? 'not known'}, needs one of OVHcloud's`,
    );
  }
  const needed =
    purpose === 'deploy'
      ? [...ours.flatMap(deployRights), ...productsOf(service).flatMap(machineRights)]
      : ours.flatMap(provisionRights);
  return eachOnce(needed);
}

/** What looking around calls, for every kind of load balancer that a service has. */
function discoverRightsFor(all: readonly LoadBalancerSettings[]): readonly Right[] {
  const projects = all.flatMap((settings) =>
    settings.driver === 'ovh-public-cloud' ? [settings.project] : [],
  );
  const hasIplb = projects.length === 0 || all.some(({ driver }) => driver === 'ovh-iplb');
  return eachOnce([...(hasIplb ? discoverRights() : []), ...projects.flatMap(publicCloudDiscoverRights)]);
}

const eachOnce = (rights: readonly Right[]): readonly Right[] => [
  ...new Map(rights.map((right) => [describeRight(right), right])).values(),
];
