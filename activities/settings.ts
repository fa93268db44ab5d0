import { Failure } from '../domain/failures.js';
import type { Digest, SecretName } from '../domain/names.js';
import type { Server, Service } from '../domain/service.js';
import { secretsByServer, settingsOf, type Templates } from '../domain/settings.js';
import { checkTemplates, type Reveal } from '../domain/template.js';
import type { Drivers } from '../drivers/drivers.js';
import type { ConfigurationSecret } from '../drivers/servers/configuration-secret.js';

/** The settings of a release as they would be now, and what shows the secrets in them. */
export interface CurrentSettings {
  readonly digest: Digest;
  readonly reveal: Reveal;
}

/** For a plan: every server is given what it needs, and every template makes sense on every server. */
export async function settingsForAll(
  drivers: Drivers,
  service: Service,
  templates: Templates,
): Promise<CurrentSettings> {
  const current = await settings(drivers, service, templates, () => true);
  checkTemplates(service, templates.unit, templates.files, current.reveal);
  return current;
}

/** For one server: its own secrets as it may have them, the others to tell whether they are as planned. */
export const settingsForOne = (
  drivers: Drivers,
  service: Service,
  templates: Templates,
  server: Server,
): Promise<CurrentSettings> =>
  settings(drivers, service, templates, (candidate, seen) => candidate.name === server.name || !seen);

async function settings(
  drivers: Drivers,
  service: Service,
  templates: Templates,
  isWanted: (server: Server, seen: boolean) => boolean,
): Promise<CurrentSettings> {
  const found = new Map<SecretName, ConfigurationSecret>();
  for (const { server, secrets } of secretsByServer(service, templates)) {
    for (const secret of secrets.filter((name) => isWanted(server, found.has(name)))) {
      found.set(secret, await drivers.configurationSecret(service, server, { secret }));
    }
  }
  const known = (name: SecretName): ConfigurationSecret => {
    const secret = found.get(name);
    if (!secret) throw new TypeError(`Cannot reveal secret "${name}": it was not looked up`);
    return secret;
  };
  return {
    digest: settingsOf(service, templates, ({ secret }) => known(secret).fingerprint),
    reveal: ({ secret }) => known(secret).value.reveal(),
  };
}

/** What was approved is what is installed: a secret may have been changed since. */
export function confirmSettings(current: Digest, planned: Digest, where: string): void {
  if (current === planned) return;
  throw new Failure(
    'PlanDrifted',
    `Cannot install on "${where}": a secret of the configuration was changed since the plan was made, needs a plan of its own\n  deploy again: verdigris deploy`,
  );
}
