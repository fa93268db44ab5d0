import { stringify } from 'yaml';
import type { OvhIplbSettings, OvhPublicCloudSettings, TestersMark } from '../../../domain/service.js';

/** As far as it is known. */
export type Section = Pick<OvhIplbSettings, 'serviceName' | 'protocol'> &
  Partial<
    Pick<
      OvhIplbSettings,
      'frontends' | 'stagingFrontend' | 'farms' | 'mixed' | 'also' | 'testers' | 'fallback'
    >
  >;

/** The part `loadBalancer:` of verdigris.yaml. */
export function sectionOf(
  { serviceName, protocol, frontends, stagingFrontend, farms, mixed, also, testers, fallback }: Section,
  endpoint?: string,
): readonly string[] {
  return written({
    driver: 'ovh-iplb',
    serviceName,
    protocol,
    ...(frontends === undefined ? {} : { frontends }),
    ...(stagingFrontend === undefined ? {} : { stagingFrontend }),
    ...(farms === undefined ? {} : { farms: { blue: farms.blue, green: farms.green } }),
    ...(mixed ? { mixed } : {}),
    ...(also && also.length > 0 ? { also } : {}),
    ...(fallback === undefined ? {} : { fallback }),
    ...(testers ? { testers: { route: testers.route, ...markedBy(testers.by) } } : {}),
    ...atEndpoint(endpoint),
  });
}

const markedBy = (mark: TestersMark) =>
  mark.kind === 'source' ? { source: mark.address } : { [mark.kind]: { name: mark.name, value: mark.value } };

/** As far as it is known. */
export type PublicCloudSection = Pick<OvhPublicCloudSettings, 'project' | 'region' | 'id'> &
  Partial<Pick<OvhPublicCloudSettings, 'listeners' | 'stagingListener' | 'pools'>> & {
    readonly mixed?: { readonly pools: readonly string[] };
  };

/** The same for a Public Cloud Load Balancer. */
export const publicCloudSectionOf = (
  { project, region, id, listeners, stagingListener, pools, mixed }: PublicCloudSection,
  endpoint?: string,
): readonly string[] =>
  written({
    driver: 'ovh-public-cloud',
    project,
    region,
    id,
    ...(listeners === undefined ? {} : { listeners }),
    ...(stagingListener === undefined ? {} : { stagingListener }),
    ...(pools === undefined ? {} : { pools: { blue: pools.blue, green: pools.green } }),
    ...(mixed === undefined ? {} : { mixed }),
    ...atEndpoint(endpoint),
  });

const atEndpoint = (endpoint: string | undefined) =>
  endpoint === undefined || endpoint === 'ovh-eu' ? {} : { api: { endpoint } };

const written = (section: object): readonly string[] =>
  stringify({ loadBalancer: section }).trimEnd().split('\n');
