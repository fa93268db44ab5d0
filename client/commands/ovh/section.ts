import { stringify } from 'yaml';
import type { OvhIplbSettings } from '../../../domain/service.js';

/** As far as it is known. */
export type Section = Pick<OvhIplbSettings, 'serviceName' | 'protocol'> &
  Partial<Pick<OvhIplbSettings, 'frontends' | 'stagingFrontend' | 'farms'>>;

/** The part `loadBalancer:` of verdigris.yaml. */
export function sectionOf(
  { serviceName, protocol, frontends, stagingFrontend, farms }: Section,
  endpoint?: string,
): readonly string[] {
  const section = {
    driver: 'ovh-iplb',
    serviceName,
    protocol,
    ...(frontends === undefined ? {} : { frontends }),
    ...(stagingFrontend === undefined ? {} : { stagingFrontend }),
    ...(farms === undefined ? {} : { farms: { blue: farms.blue, green: farms.green } }),
    ...(endpoint === undefined || endpoint === 'ovh-eu' ? {} : { api: { endpoint } }),
  };
  return stringify({ loadBalancer: section }).trimEnd().split('\n');
}
