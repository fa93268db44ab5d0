import { colors } from '../../../domain/color.js';
import type {
  IplbEntry,
  LoadBalancerSettings,
  OvhIplbSettings,
  OvhPublicCloudSettings,
  Service,
} from '../../../domain/service.js';
import { createIplbProvisioner } from '../../../drivers/load-balancers/ovh-iplb/provisioning.js';
import type { WishedEntry } from '../../../drivers/load-balancers/ovh-iplb/provisioning-plan.js';
import { createPublicCloudProvisioner } from '../../../drivers/load-balancers/ovh-public-cloud/provisioning.js';
import type { EntrancePath, Provisioner } from '../../../drivers/load-balancers/provisioning.js';
import type { OvhApi } from '../../../ovh/api.js';
import { isUnnamed, namedOnly } from '../../configuration/unnamed.js';
import { Refusal } from '../../refusal.js';

export type OvhSettings = Exclude<LoadBalancerSettings, { readonly driver: 'in-memory' }>;

/** One load balancer of a service, with the servers that it sends traffic to. */
export interface Entrance {
  /** The region's name, where there are several. */
  readonly region: string | undefined;
  /** Where it stands in the configuration. */
  readonly path: EntrancePath;
  readonly service: Service;
  readonly settings: OvhSettings;
}

/** All load balancers of a service, in their order. */
export function entrancesOf(service: Service): readonly Entrance[] {
  if (!service.regions)
    return [{ region: undefined, path: [], service, settings: ovhOnly(service.loadBalancer) }];
  return service.regions.map(({ name, loadBalancer, publicAddress, servers }, index) => {
    const of = (color: 'blue' | 'green') =>
      service.environments[color].filter((server) => servers.includes(server.name));
    const environments = { blue: of('blue'), green: of('green') };
    return {
      region: name,
      path: ['regions', index],
      service: { ...service, environments, loadBalancer, publicAddress },
      settings: ovhOnly(loadBalancer),
    };
  });
}

function ovhOnly(settings: LoadBalancerSettings): OvhSettings {
  if (settings.driver !== 'in-memory') return settings;
  throw new Refusal(
    "Cannot provision: the load balancer is in-memory, needs one of OVHcloud's\n  name it in verdigris.yaml: loadBalancer.driver",
  );
}

export interface StagingOptions {
  readonly stagingPort?: number;
  readonly stagingSource?: readonly string[];
  /** Public Cloud alone: no staging listener, where pools are probed without. */
  readonly staging?: boolean;
  /** Public Cloud alone: what the mixed pools shall give the new environment, in percent. */
  readonly share?: readonly number[];
}

/** Nobody: probes do not come through it. */
const nobody = ['127.0.0.1/32'];

export function provisionerFor(
  { service, settings }: Entrance,
  api: OvhApi,
  options: StagingOptions,
): Provisioner {
  const { stagingPort, stagingSource: stagingSources = nobody } = options;
  const base = { service, stagingPort, stagingSources };
  if (settings.driver === 'ovh-iplb') {
    const { testers, also = [] } = settings;
    return createIplbProvisioner(api, {
      ...base,
      settings,
      entries: [
        wishedEntry(settings, []),
        ...also.map((entry, index) => wishedEntry(entry, ['also', index])),
      ],
      ...(testers ? { testers: { route: namedOnly(testers.route), by: testers.by } } : {}),
    });
  }
  const { mixed, stagingListener } = settings;
  return createPublicCloudProvisioner(api, {
    ...base,
    settings,
    pools: namedIn(settings.pools),
    stagingListener,
    hasStaging: stagingListener !== undefined || options.staging !== false,
    ...(mixed ? { mixed: { ...mixed, pools: mixed.pools.filter((id) => !isUnnamed(id)) } } : {}),
    shares: options.share ?? [],
  });
}

const wishedEntry = (
  { protocol, frontends, ports, farms, stagingFrontend, mixed }: IplbEntry,
  path: EntrancePath,
): WishedEntry => ({
  path,
  protocol,
  frontends,
  ...(ports ? { ports } : {}),
  farms: namedIn(farms),
  stagingFrontend: namedOnly(stagingFrontend),
  ...(mixed
    ? { mixed: { farm: namedOnly(mixed.farm), stagingFrontend: namedOnly(mixed.stagingFrontend) } }
    : {}),
});

const namedIn = <Id extends number | string>(
  ids: Readonly<Record<'blue' | 'green', Id>>,
): Readonly<Partial<Record<'blue' | 'green', Id>>> =>
  Object.fromEntries(colors.flatMap((color) => (isUnnamed(ids[color]) ? [] : [[color, ids[color]]])));

/** For people: the load balancer as its product names it. */
export const nameOf = (settings: OvhIplbSettings | OvhPublicCloudSettings): string =>
  settings.driver === 'ovh-iplb' ? settings.serviceName : settings.id;
