import type { ConfigurationComplaint } from '../../../configuration/complaints.js';
import type { KeyPath } from '../../../configuration/documents.js';
import { isPlaceholder } from '../../../domain/template.js';
import { complain, pathOf, type ReadableParts } from '../readable-parts.js';

/** Names that are taken, and files that are something else already. */
export function inConfiguration({
  sections: { configuration, program, service },
  servers,
}: ReadableParts): readonly ConfigurationComplaint[] {
  if (!configuration) return [];
  const layers: readonly (readonly [KeyPath, Readonly<Record<string, unknown>> | undefined])[] = [
    [['configuration', 'values'], configuration.values],
    [['configuration', 'blue', 'values'], configuration.blue?.values],
    [['configuration', 'green', 'values'], configuration.green?.values],
    ...servers.map((server) => [pathOf(server, 'values'), server.entry.values] as const),
  ];
  const taken = layers.flatMap(([path, values]) =>
    Object.keys(values ?? {})
      .filter(isPlaceholder)
      .map((name) => ({
        path: [...path, name],
        at: 'key' as const,
        message: `is filled in by itself ({{${name}}}), needs another name`,
      })),
  );
  const unit = program?.unit ?? (service && `${service}.service`);
  const special = [
    program?.executable ?? `bin/${service}`,
    program?.unitFile ?? `lib/systemd/system/${unit}`,
  ];
  const { files = [] } = configuration;
  const odd = files.flatMap((file, index) => {
    const path = ['configuration', 'files', index];
    if (files.indexOf(file) !== index) return [complain(path, `is ${file} again, needs each once`)];
    if (special.includes(file))
      return [complain(path, `is ${file}, the program or its unit, needs another file`)];
    return [];
  });
  return [...taken, ...odd];
}
