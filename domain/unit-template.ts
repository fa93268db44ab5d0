import { Failure } from './failures.js';
import type { ReleaseId } from './names.js';
import type { Server, Service } from './service.js';

/** What a unit file template is filled with: one release of one service on one server. */
export interface UnitContext {
  readonly service: Service;
  readonly server: Server;
  readonly release: ReleaseId;
}

/** Everything that `{{...}}` may name in a unit file template. */
const placeholders = {
  directory: ({ server }) => server.directory,
  port: ({ server }) => String(server.port),
  address: ({ server }) => server.address,
  server: ({ server }) => server.name,
  color: ({ server }) => server.color,
  unit: ({ server }) => server.unit,
  service: ({ service }) => service.name,
  release: ({ release }) => release,
} as const satisfies Record<string, (context: UnitContext) => string>;

type Placeholder = keyof typeof placeholders;

export const placeholderNames = Object.keys(placeholders) as readonly Placeholder[];

/**
 * The unit file of a release as it is on one server. Only `{{name}}` is replaced: systemd's own `%i` and `${VARIABLE}` stay.
 * @throws Failure `UnitRefused` with every complaint
 */
export function renderUnit(template: string, context: UnitContext): string {
  const complaints = [...complaintsAboutTemplate(template), ...complaintsAboutValues(template, context)];
  if (complaints.length > 0) {
    throw new Failure(
      'UnitRefused',
      [`Cannot render "${context.server.unit}" for ${context.server.name}:`, ...complaints].join('\n  '),
    );
  }
  return template.replace(marker, (_, name: string) => placeholders[name.trim() as Placeholder](context));
}

/** What is wrong with a template whatever it is filled with; empty when nothing is. */
export function complaintsAboutTemplate(template: string): readonly string[] {
  return template.split('\n').flatMap((line, index) => {
    const unknown = namesIn(line).filter((name) => !isPlaceholder(name));
    const complaints = unknown.map((name) => `line ${index + 1}: "{{${name}}}" is unknown, needs ${known}`);
    return line.replace(marker, '').includes('{{')
      ? [...complaints, `line ${index + 1}: "{{" is not closed, needs "}}" on the same line`]
      : complaints;
  });
}

/** A value with a line break would add lines of its own to the unit. */
function complaintsAboutValues(template: string, context: UnitContext): readonly string[] {
  return [...new Set(namesIn(template))]
    .filter(isPlaceholder)
    .filter((name) => /[\r\n\0]/.test(placeholders[name](context)))
    .map((name) => `the value of "{{${name}}}" has more than one line, needs a single one`);
}

const marker = /\{\{([^{}\n]*)\}\}/g;
const known = `one of ${placeholderNames.map((name) => `{{${name}}}`).join(' ')}`;

const namesIn = (text: string): readonly string[] =>
  [...text.matchAll(marker)].map((match) => (match[1] ?? '').trim());

const isPlaceholder = (name: string): name is Placeholder => Object.hasOwn(placeholders, name);
