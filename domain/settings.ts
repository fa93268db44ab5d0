import { hashOf } from './hash.js';
import type { Digest, SecretName } from './names.js';
import { layered, serversOf, type Server, type Service } from './service.js';
import { anyRelease, fill, secretsIn, type Reveal, type Template, type TemplateContext } from './template.js';

/** The texts of an artifact that are filled in for each server. */
export interface Templates {
  readonly unit: Template;
  readonly files: readonly Template[];
}

/** A file of the program's configuration as it is on one server. */
export interface ConfigurationFile {
  readonly path: string;
  readonly text: string;
  /** It holds a secret: only the program's user may read it. */
  readonly private: boolean;
}

/**
 * Digest of everything that makes a release beside its program, on all servers of a service. `fingerprint` stands for each
 * secret: another value gives another digest, and the digest does not give the value away.
 */
export const settingsOf = (service: Service, templates: Templates, fingerprint: Reveal): Digest =>
  hashOf({
    executable: service.program.executable,
    shared: service.configuration.shared,
    servers: serversOf(service).map((server) => {
      const context = { service, server, release: anyRelease } as const;
      const files = filesOf(templates, context, fingerprint);
      return { server: server.name, unit: unitOf(templates, context), files };
    }),
  });

/** The unit file of a release on one server, limits included. */
export function unitOf({ unit }: Templates, context: TemplateContext): string {
  const text = fill(unit, context, refuseSecret);
  const limits = Object.entries(layered(context.service.configuration.limits, context.server));
  if (limits.length === 0) return text;
  const lines = limits.sort(byName).map(([name, value]) => `${name}=${value}`);
  return `${text.trimEnd()}\n\n# limits of the configuration\n[Service]\n${lines.join('\n')}\n`;
}

export const filesOf = (
  { files }: Templates,
  context: TemplateContext,
  reveal: Reveal,
): readonly ConfigurationFile[] =>
  files.map((template) => ({
    path: template.path,
    text: fill(template, context, reveal),
    private: secretsIn(template, context).length > 0,
  }));

/** Which secrets go to which servers, each name once per server. */
export const secretsByServer = (
  service: Service,
  { files }: Templates,
): readonly { readonly server: Server; readonly secrets: readonly SecretName[] }[] =>
  serversOf(service).map((server) => {
    const context = { service, server, release: anyRelease } as const;
    const names = files.flatMap((template) => secretsIn(template, context)).map(({ secret }) => secret);
    return { server, secrets: [...new Set(names)] };
  });

/** What an approval covers beside the program, in words: names of secrets, never secrets. */
export function describeSettings(service: Service, server: Server): readonly string[] {
  const { configuration } = service;
  const values = Object.entries(layered(configuration.values, server)).sort(byName);
  const limits = Object.entries(layered(configuration.limits, server)).sort(byName);
  return [
    ...configuration.files.map((path) => `fills in ${path}`),
    ...values.map(
      ([name, value]) => `${name} = ${typeof value === 'string' ? quoted(value) : `secret:${value.secret}`}`,
    ),
    ...limits.map(([name, value]) => `${name}=${value}`),
    ...configuration.shared.map((path) => `keeps shared/${path}`),
  ];
}

const quoted = (value: string): string =>
  JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : one > other ? 1 : 0;

/** Looked for when the templates were checked: what comes here all the same is our own mistake. */
const refuseSecret: Reveal = ({ secret }) => {
  throw new TypeError(`Cannot put secret "${secret}" into a unit: everybody on the server could read it`);
};
