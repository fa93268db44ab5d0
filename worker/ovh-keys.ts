import type { ServiceId } from '../domain/names.js';
import type { OvhApiSettings } from '../domain/service.js';
import type { Secrets } from '../drivers/secrets.js';
import { ovhEndpoint } from '../ovh/endpoint.js';
import type { OvhKeys } from '../ovh/keys.js';

/** The values of a service's OVHcloud credential. Each is asked for with the host that it goes to. */
export async function ovhKeys(
  settings: OvhApiSettings,
  service: ServiceId,
  secrets: Secrets,
): Promise<OvhKeys> {
  if ('clientId' in settings) {
    const { tokenUrl } = ovhEndpoint(settings.endpoint, settings.tokenUrl);
    const use = { service, host: tokenUrl.hostname };
    const [clientId, clientSecret] = await Promise.all([
      secrets.resolve(settings.clientId, use),
      secrets.resolve(settings.clientSecret, use),
    ]);
    return { clientId, clientSecret };
  }
  const use = { service, host: ovhEndpoint(settings.endpoint).host };
  const [applicationKey, applicationSecret, consumerKey] = await Promise.all([
    secrets.resolve(settings.applicationKey, use),
    secrets.resolve(settings.applicationSecret, use),
    secrets.resolve(settings.consumerKey, use),
  ]);
  return { applicationKey, applicationSecret, consumerKey };
}
