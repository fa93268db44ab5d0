import type { ConfigurationComplaint } from '../../configuration/complaints.js';
import type { KeyPath } from '../../configuration/documents.js';
import type { Color } from '../../domain/color.js';
import type { KnownHosts } from './known-hosts.js';
import type { Configuration, ServerEntry } from './schema.js';

/** A server that could be read, and where it stands. */
export interface PlacedServer {
  readonly color: Color;
  readonly index: number;
  readonly entry: ServerEntry;
}

/** What could be read so far: a key with a complaint of its own is missing here. */
export interface ReadableParts {
  readonly sections: { readonly [Section in keyof Configuration]?: Readable<Configuration[Section]> };
  readonly servers: readonly PlacedServer[];
  /** What `ssh.knownHosts` names, where it could be read. */
  readonly knownHosts: KnownHosts | undefined;
}

/** Of a map of one kind or another, each kind by itself. */
export type Readable<Value> =
  Value extends Readonly<Record<string, unknown>> ? { readonly [Key in keyof Value]?: Value[Key] } : Value;
export type Sections = ReadableParts['sections'];

export const complain = (path: KeyPath, message: string): ConfigurationComplaint => ({
  path,
  at: 'value',
  message,
});

export const pathOf = ({ color, index }: PlacedServer, ...keys: string[]): KeyPath => [
  'environments',
  color,
  index,
  ...keys,
];
