import { createHash, createHmac } from 'node:crypto';

/**
 * What a known_hosts file says of the machines of a service. It is read where the configuration is read and its
 * fingerprints go into the plan: which machine is trusted is then approved with the rest, and is the same for every worker.
 */
export interface KnownHosts {
  readonly path: string;
  /** Lines that are not in the format of sshd(8), by number. */
  readonly unreadable: readonly number[];
  lookUp(host: string, port: number): KnownHost;
}

export interface KnownHost {
  /** `ssh-ed25519 SHA256:...`, in the order of the file, without those that are revoked. */
  readonly pinned: readonly string[];
  /** `SHA256:...` of keys that must not be accepted, whoever pins them. */
  readonly revoked: readonly string[];
  /** Why nothing is pinned, as a complaint says it; `undefined` where something is. */
  readonly lacks: string | undefined;
}

interface Line {
  readonly marker: 'none' | '@revoked' | '@cert-authority';
  readonly hosts: string;
  readonly type: string;
  readonly fingerprint: string;
}

/** What can be asked for in a handshake. */
const usableTypes: readonly string[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
];

export function parseKnownHosts(path: string, text: string): KnownHosts {
  const lines: Line[] = [];
  const unreadable: number[] = [];
  for (const [index, written] of text.split('\n').entries()) {
    const trimmed = written.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const line = lineFrom(trimmed);
    if (line) lines.push(line);
    else unreadable.push(index + 1);
  }
  return { path, unreadable, lookUp: (host, port) => lookUp(path, lines, host, port) };
}

function lineFrom(text: string): Line | undefined {
  const words = text.split(/\s+/);
  const marked = words[0]?.startsWith('@') ? words.shift() : undefined;
  const [hosts = '', type = '', key = ''] = words;
  const marker = marked ?? 'none';
  if (marker !== 'none' && marker !== '@revoked' && marker !== '@cert-authority') return undefined;
  const blob = Buffer.from(key, 'base64');
  // The key says its type itself, with its length in front.
  if (blob.length < 8 || blob.toString('latin1', 4, 4 + blob.readUInt32BE(0)) !== type) return undefined;
  const digest = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  return { marker, hosts, type, fingerprint: `SHA256:${digest}` };
}

function lookUp(path: string, lines: readonly Line[], host: string, port: number): KnownHost {
  const name = nameOf(host, port);
  const about = lines.filter(({ hosts }) => matches(hosts, name));
  const of = (marker: Line['marker']) => about.filter((line) => line.marker === marker);
  const revoked = of('@revoked').map(({ fingerprint }) => fingerprint);
  const given = of('none');
  const valid = given.filter(({ fingerprint }) => !revoked.includes(fingerprint));
  const usable = valid.filter(({ type }) => usableTypes.includes(type));
  const pinned = [...new Set(usable.map(({ type, fingerprint }) => `${type} ${fingerprint}`))];
  const lacks = () => {
    if (valid.length > 0) return `${path} has only keys of type ${valid[0]!.type} for ${name}`;
    if (given.length > 0) return `${path} revokes every key of ${name}`;
    if (of('@cert-authority').length > 0)
      return `${path} has only a certificate authority for ${name}, which cannot vouch for it here`;
    const elsewhere = port !== 22 && lines.some(({ hosts }) => matches(hosts, nameOf(host, 22)));
    return elsewhere
      ? `${path} has no line for ${name}, only one for ${nameOf(host, 22)} on port 22`
      : `${path} has no line for ${name}`;
  };
  return { pinned, revoked, lacks: pinned.length > 0 ? undefined : lacks() };
}

/** Only the usual port goes without saying. */
const nameOf = (host: string, port: number): string =>
  port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;

function matches(hosts: string, name: string): boolean {
  const patterns = hosts.split(',');
  const isOneOf = (some: readonly string[]) => some.some((pattern) => matchesPattern(pattern, name));
  const forbidden = patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1));
  return isOneOf(patterns.filter((pattern) => !pattern.startsWith('!'))) && !isOneOf(forbidden);
}

function matchesPattern(pattern: string, name: string): boolean {
  if (pattern.startsWith('|')) return matchesHash(pattern, name);
  const expression = pattern
    .toLowerCase()
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${expression}$`).test(name);
}

/** `|1|salt|hash`: the name is not given away by a file that is copied. */
function matchesHash(pattern: string, name: string): boolean {
  const [, version, salt = '', hash = ''] = pattern.split('|');
  if (version !== '1') return false;
  const digest = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64');
  return digest === hash;
}
