import { Failure } from './failures.js';
import type { ReleaseId } from './names.js';
import type { SecretReference } from './secret.js';
import { layered, serversOf, type Server, type Service } from './service.js';

/** A text of the artifact that is filled in for each server: the unit file, or a file of the program's configuration. */
export interface Template {
  /** Path in the artifact. */
  readonly path: string;
  readonly text: string;
}

/** What a template is filled with: one release of one service on one server. */
export interface TemplateContext {
  readonly service: Service;
  readonly server: Server;
  readonly release: ReleaseId | typeof anyRelease;
}

/** Stands for the id of a release that has none yet. */
export const anyRelease = 'the release';

/** Everything that `{{...}}` may name beside the values of the configuration. */
const placeholders = {
  directory: ({ server }) => server.directory,
  shared: ({ server }) => `${server.directory}/shared`,
  port: ({ server }) => String(server.port),
  address: ({ server }) => server.address,
  server: ({ server }) => server.name,
  color: ({ server }) => server.color,
  unit: ({ server }) => server.unit,
  service: ({ service }) => service.name,
  destination: ({ service }) => service.destination,
  release: ({ release }) => release,
} as const satisfies Record<string, (context: TemplateContext) => string>;

type Placeholder = keyof typeof placeholders;

export const placeholderNames = Object.keys(placeholders) as readonly Placeholder[];

/** Gives a secret's value, or what stands for it. */
export type Reveal = (reference: SecretReference) => string;

/**
 * A template as it is on one server. Only `{{name}}` is replaced: systemd's own `%i` and `${VARIABLE}` stay, and so does what
 * a value itself holds. What is wrong with it was found by `complaintsAboutTemplates`.
 */
export const fill = ({ text }: Template, context: TemplateContext, reveal: Reveal): string =>
  text.replace(marker, (whole, name: string) => {
    const meaning = meaningOf(name.trim(), context);
    if (meaning === undefined) return whole;
    return typeof meaning === 'string' ? meaning : reveal(meaning);
  });

/** The secrets that a template brings to one server. */
export const secretsIn = ({ text }: Template, context: TemplateContext): readonly SecretReference[] =>
  namesIn(text).flatMap((name) => {
    const meaning = meaningOf(name, context);
    return typeof meaning === 'object' ? [meaning] : [];
  });

/** Throws Failure `TemplateRefused` with everything that is wrong, for all servers of a service at once. */
export function checkTemplates(
  service: Service,
  unit: Template,
  files: readonly Template[],
  reveal: Reveal,
): void {
  const servers = serversOf(service);
  const complaints = [unit, ...files].flatMap((template) =>
    merged(
      servers.map(
        (server) =>
          [
            server,
            complaintsAbout(template, { service, server, release: anyRelease }, reveal, template === unit),
          ] as const,
      ),
    ),
  );
  if (complaints.length === 0) return;
  throw new Failure(
    'TemplateRefused',
    [`Cannot fill in the templates of "${service.id}":`, ...complaints].join('\n  '),
  );
}

/** What is wrong for every server is said once, what is wrong for some with their names. */
function merged(found: readonly (readonly [Server, readonly string[]])[]): readonly string[] {
  const servers = new Map<string, string[]>();
  for (const [{ name }, complaints] of found) {
    for (const complaint of complaints) servers.set(complaint, [...(servers.get(complaint) ?? []), name]);
  }
  return [...servers].map(([complaint, names]) =>
    names.length === found.length ? complaint : `${complaint} (${names.join(', ')})`,
  );
}

/** With the file, the line, and what is available. Values of secrets are never part of it. */
function complaintsAbout(
  { path, text }: Template,
  context: TemplateContext,
  reveal: Reveal,
  isUnit: boolean,
): readonly string[] {
  return text.split('\n').flatMap((line, index) => {
    const at = `${path}:${index + 1}:`;
    const complaints = namesIn(line).flatMap((name) => {
      const wrong = complaintAboutName(name, line, context, reveal, isUnit);
      return wrong === undefined ? [] : [`${at} "{{${name}}}" ${wrong}`];
    });
    return line.replace(marker, '').includes('{{')
      ? [...complaints, `${at} "{{" is not closed, needs "}}" on the same line`]
      : complaints;
  });
}

function complaintAboutName(
  name: string,
  line: string,
  context: TemplateContext,
  reveal: Reveal,
  isUnit: boolean,
): string | undefined {
  const meaning = meaningOf(name, context);
  if (meaning === undefined) return `is unknown, needs one of ${known(context)}`;
  if (isUnit && typeof meaning === 'object') {
    return 'is a secret, which everybody on the server could read in a unit; needs to stand in one of configuration.files';
  }
  const value = typeof meaning === 'string' ? meaning : reveal(meaning);
  if (!/[\r\n\0]/.test(value)) return undefined;
  // With a line break a value could add lines of its own to what stands around it.
  if (isUnit || value.includes('\0')) return 'has a value of more than one line, needs a single one';
  return line.replace(marker, '').trim() === ''
    ? undefined
    : 'has a value of more than one line, needs to stand alone on its line';
}

function meaningOf(name: string, context: TemplateContext): string | SecretReference | undefined {
  if (isPlaceholder(name)) return placeholders[name](context);
  const values = layered(context.service.configuration.values, context.server);
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function known({ service, server }: TemplateContext): string {
  const values = Object.keys(layered(service.configuration.values, server)).sort();
  const own = values.length === 0 ? 'a value of configuration.values, which has none here' : inBraces(values);
  return `${inBraces(placeholderNames)} or ${own}`;
}

const inBraces = (names: readonly string[]): string => names.map((name) => `{{${name}}}`).join(' ');

const marker = /\{\{([^{}\n]*)\}\}/g;

const namesIn = (text: string): readonly string[] =>
  [...text.matchAll(marker)].map((match) => (match[1] ?? '').trim());

export const isPlaceholder = (name: string): name is Placeholder => Object.hasOwn(placeholders, name);
