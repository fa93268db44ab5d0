import { readFileSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { z } from 'zod';
import { colors } from '../../domain/color.js';
import { ServiceId } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { Refusal } from '../refusal.js';
import {
  complaintsOf,
  describeComplaint,
  describeError,
  type ConfigurationComplaint,
} from '../../configuration/complaints.js';
import { knownKeysIn } from '../../configuration/known-keys.js';
import { contradictionsIn } from './contradictions.js';
import { parseKnownHosts, type KnownHosts } from './known-hosts.js';
import {
  isRecord,
  overlay,
  parseSource,
  type Position,
  type SourceFile,
} from '../../configuration/documents.js';
import type { PlacedServer, ReadableParts } from './readable-parts.js';
import { Configuration, ServerEntry } from './schema.js';
import { unknownBalancer, withoutIds } from './unnamed.js';
import { toService } from './service.js';

export const defaultConfigurationFile = 'verdigris.yaml';
export const defaultDestination = 'production';

/** Everything that a configuration has wrong, each with file, line and column. */
export class ConfigurationError extends Refusal {
  override readonly complaints: readonly string[];

  constructor(heading: string, complaints: readonly string[]) {
    super([heading, ...complaints.map((complaint) => `  ${complaint}`)].join('\n'));
    this.name = 'ConfigurationError';
    this.complaints = complaints;
  }
}

/**
 * Reads `verdigris.yaml` and, over it, `verdigris.<destination>.yaml`. Only the default destination may do
 * without an overlay. Throws a `ConfigurationError` with every complaint at once.
 */
export const readService = (configPath: string, destination: string = defaultDestination): Service =>
  serviceIn(configPath, destination, (value) => value);

/** Reads it before the machines' host keys are known: one that is not pinned yet is `noHostKey`. */
export const readServiceWithoutHostKeys = (configPath: string, destination: string): Service =>
  serviceIn(configPath, destination, withoutHostKeys);

/** What stands where no host key is known. No machine has it. */
export const noHostKey = `SHA256:${'A'.repeat(43)}`;

function withoutHostKeys(value: unknown): unknown {
  if (!isRecord(value) || !isRecord(value['environments'])) return value;
  // Whoever has such a file adds to it.
  if (isRecord(value['ssh']) && value['ssh']['knownHosts'] !== undefined) return value;
  const filled = Object.entries(value['environments']).map(([color, servers]) => [
    color,
    Array.isArray(servers)
      ? servers.map((server: unknown) => (isRecord(server) ? { hostKey: noHostKey, ...server } : server))
      : servers,
  ]);
  return { ...value, environments: Object.fromEntries(filled) as unknown };
}

/** Reads it before the load balancers have all of their objects: what provisioning can create and is not named is `isUnnamed`. */
export const readServiceWithoutIds = (configPath: string, destination: string): Service =>
  serviceIn(configPath, destination, (value) => withoutHostKeys(withoutIds(value)));

/** Reads it before anything is known of the load balancers but what kind they are. */
export const readServiceWithoutBalancer = (configPath: string, destination: string): Service =>
  serviceIn(configPath, destination, (value) => withoutHostKeys(withoutIds(value, unknownBalancer)));

function serviceIn(configPath: string, destination: string, fill: (value: unknown) => unknown): Service {
  const files = readFiles(configPath, destination);
  const value = fill(files.map((file) => file.value).reduce(overlay));
  const configuration = Configuration.safeParse(value);
  const complaints: ConfigurationComplaint[] = [];
  const knownHosts = readKnownHosts(configPath, value, complaints);
  // Nothing is to be said of values where the YAML itself is not understood.
  if (files.every((file) => file.value !== undefined)) {
    if (!configuration.success)
      complaints.push(...complaintsOf(configuration.error.issues, knownKeysIn(jsonSchema(), value)));
    complaints.push(...entranceComplaints(value));
    complaints.push(...contradictionsIn(readableParts(value, knownHosts)));
  }
  const texts = describeAll(complaints, files);
  if (texts.length > 0 || !configuration.success) {
    throw new ConfigurationError(`Cannot use "${configPath}" for ${destination}:`, texts);
  }
  return toService(configuration.data, destination, knownHosts);
}

/** One load balancer at the top, or regions with one each. */
function entranceComplaints(value: unknown): readonly ConfigurationComplaint[] {
  if (!isRecord(value)) return [];
  const hasRegions = 'regions' in value;
  return ['loadBalancer', 'publicAddress'].flatMap((key): readonly ConfigurationComplaint[] => {
    if (key in value !== hasRegions) return [];
    return hasRegions
      ? [
          {
            path: [key],
            at: 'key',
            message: 'is given beside regions, needs to stand in each of them instead',
          },
        ]
      : [{ path: [key], at: 'value', message: 'is missing, needs a map' }];
  });
}

/** `deploy/verdigris.yaml`, `staging` -> `deploy/verdigris.staging.yaml` */
export function overlayPath(configPath: string, destination: string): string {
  const extension = extname(configPath);
  return join(dirname(configPath), `${basename(configPath, extension)}.${destination}${extension}`);
}

export function readFiles(configPath: string, destination: string): readonly SourceFile[] {
  checkDestination(destination);
  const base = readText(configPath);
  if (base === undefined) {
    throw new ConfigurationError(
      `Cannot read "${configPath}": there is no such file, needs a configuration (--config FILE)`,
      [],
    );
  }
  const above = overlayPath(configPath, destination);
  const aboveText = readText(above);
  if (aboveText === undefined && destination !== defaultDestination) {
    throw new ConfigurationError(
      `Cannot use destination "${destination}": there is no ${above}, needs one that says what differs from ${configPath}`,
      [],
    );
  }
  return [parseSource(configPath, base), ...(aboveText === undefined ? [] : [parseSource(above, aboveText)])];
}

function checkDestination(destination: string): void {
  try {
    ServiceId('service', destination);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Refusal(
      `Cannot use destination "${destination}": needs lower-case letters, digits and dashes, starting with a letter`,
      { cause: error },
    );
  }
}

const unreadable: Readonly<Record<string, string>> = {
  EISDIR: 'it is a directory',
  EACCES: 'you may not',
};

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    const why = unreadable[code] ?? message;
    throw new Refusal(`Cannot read "${path}": ${why}, needs a file that may be read`, { cause: error });
  }
}

/** The file that `ssh.knownHosts` names, beside the configuration. What is wrong with it is added to the complaints. */
function readKnownHosts(
  configPath: string,
  value: unknown,
  complaints: ConfigurationComplaint[],
): KnownHosts | undefined {
  const ssh = isRecord(value) ? value['ssh'] : undefined;
  const name = isRecord(ssh) ? ssh['knownHosts'] : undefined;
  if (typeof name !== 'string' || name === '') return undefined;
  const complain = (message: string) =>
    complaints.push({ path: ['ssh', 'knownHosts'], at: 'value', message });
  const text = readText(resolve(dirname(configPath), name));
  if (text === undefined) {
    complain(`is ${JSON.stringify(name)}, which is not there, needs a file beside ${basename(configPath)}`);
    return undefined;
  }
  const known = parseKnownHosts(name, text);
  if (known.unreadable.length > 0) {
    complain(`has no host key in line ${known.unreadable.join(', ')} of ${name}, needs "host type key"`);
  }
  return known;
}

/** In the order of the files, each place and message once. */
function describeAll(
  complaints: readonly ConfigurationComplaint[],
  files: readonly SourceFile[],
): readonly string[] {
  const described = [
    ...files.flatMap(({ errors }) => errors.map(describeError)),
    ...complaints.map((complaint) => describeComplaint(complaint, files)),
  ];
  const rank = (position: Position) => files.findIndex(({ file }) => file === position.file);
  described.sort(
    ({ position: a }, { position: b }) => rank(a) - rank(b) || a.line - b.line || a.column - b.column,
  );
  return [...new Set(described.map(({ text }) => text))];
}

/** Reads key by key, so that one bad key does not hide contradictions among the others. */
function readableParts(value: unknown, knownHosts: KnownHosts | undefined): ReadableParts {
  const raw = isRecord(value) ? value : {};
  return {
    sections: readable(Configuration, raw) ?? {},
    servers: readableServers(raw['environments']),
    knownHosts,
  };
}

function readable<Schema extends z.ZodType>(schema: Schema, raw: unknown): z.output<Schema> | undefined {
  const read = schema.safeParse(raw);
  if (read.success) return read.data;
  const isWrapped = schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
  const inner = isWrapped ? schema.unwrap() : schema;
  const map = inner instanceof z.ZodDiscriminatedUnion ? meant(inner, raw) : inner;
  if (!(map instanceof z.ZodObject) || !isRecord(raw)) return undefined;
  // A bad key stays, as undefined: it is not missing.
  const keys = Object.entries(map.shape as Readonly<Record<string, z.ZodType>>);
  const entries = keys.map(([key, inner]) => [key, readable(inner, raw[key])] as const);
  const known = entries.filter(([key, value]) => value !== undefined || raw[key] !== undefined);
  return Object.fromEntries(known) as z.output<Schema>;
}

function readableServers(environments: unknown): readonly PlacedServer[] {
  if (!isRecord(environments)) return [];
  return colors.flatMap((color) => {
    const list = environments[color];
    if (!Array.isArray(list)) return [];
    return list.flatMap((item: unknown, index) => {
      const read = ServerEntry.safeParse(item);
      return read.success ? [{ color, index, entry: read.data }] : [];
    });
  });
}

/** The JSON schema that editors use. */
export const jsonSchema = (): Readonly<Record<string, unknown>> => ({
  ...z.toJSONSchema(Configuration, { io: 'input' }),
  oneOf: [{ required: ['loadBalancer', 'publicAddress'] }, { required: ['regions'] }],
  title: 'Verdigris configuration',
  description: 'One service at one destination: verdigris.yaml',
});

/** The kind of map that was meant: the one that its driver names, else the first. */
function meant(union: z.ZodDiscriminatedUnion, raw: unknown): unknown {
  const options = union.options as readonly z.ZodType[];
  const driver = isRecord(raw) ? raw['driver'] : undefined;
  const isIt = (option: z.ZodType): boolean =>
    option instanceof z.ZodObject && (option.shape['driver'] as z.ZodType).safeParse(driver).success;
  return options.find(isIt) ?? options[0];
}
