/** A unit's name taken apart: `greeter@blue.service` is instance `blue` of the template `greeter@.service`. */
export interface UnitName {
  readonly full: string;
  /** Before the `@`, or before the suffix where there is none. */
  readonly prefix: string;
  readonly instance: string;
  /** Where an instance's fragment and drop-ins are looked for when it has none of its own. */
  readonly template: string | undefined;
}

/** Without a suffix, a name means a service, as for `systemctl`. */
export function unitName(text: string): UnitName {
  const full = /\.(service|socket|target|timer|path|mount|slice|scope|device|swap|automount)$/.test(text)
    ? text
    : `${text}.service`;
  const suffix = full.slice(full.lastIndexOf('.'));
  const stem = full.slice(0, -suffix.length);
  const at = stem.indexOf('@');
  if (at < 0) return { full, prefix: stem, instance: '', template: undefined };

  const prefix = stem.slice(0, at);
  return { full, prefix, instance: stem.slice(at + 1), template: `${prefix}@${suffix}` };
}

/** Replaces `%n %N %p %P %i %I %j %%`. Any other specifier stays as it is. */
export function resolveSpecifiers(text: string, { full, prefix, instance }: UnitName): string {
  const meanings: Readonly<Record<string, string>> = {
    n: full,
    N: full.slice(0, full.lastIndexOf('.')),
    p: prefix,
    P: unescaped(prefix),
    i: instance,
    I: unescaped(instance),
    j: prefix.slice(prefix.lastIndexOf('-') + 1),
    '%': '%',
  };
  return text.replaceAll(/%(.)/g, (specifier, letter: string) => meanings[letter] ?? specifier);
}

const unescaped = (text: string): string =>
  text
    .replaceAll('-', '/')
    .replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
