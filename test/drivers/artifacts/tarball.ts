import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Artifact } from '../../../domain/deployment.js';
import { Digest } from '../../../domain/names.js';
import type { Service } from '../../../domain/service.js';

/** One entry as it is written, right or wrong: libraries refuse to write what attackers send. */
export interface RawEntry {
  readonly path: string;
  /** The type flag: `0` file, `1` hard link, `2` symbolic link, `3` device, `5` directory, `6` fifo, `x` pax. */
  readonly type?: string;
  readonly mode?: number;
  readonly body?: Buffer | string;
  readonly link?: string;
  readonly damaged?: boolean;
}

export const tar = (entries: readonly RawEntry[], end = Buffer.alloc(1024)): Buffer =>
  Buffer.concat([...entries.map(block), end]);

export const tarball = (...entries: readonly RawEntry[]): Buffer => gzipSync(tar(entries));

/** A pax header that extends the entry after it. */
export const pax = (records: Readonly<Record<string, string>>, type = 'x'): RawEntry => ({
  path: 'PaxHeader',
  type,
  body: Object.entries(records)
    .map(([key, value]) => paxRecord(key, value))
    .join(''),
});

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (Buffer.byteLength(`${length}${rest}`) !== length) length++;
  return `${length}${rest}`;
}

function block({ path, type = '0', mode = 0o644, body = '', link = '', damaged = false }: RawEntry): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(512);
  header.write(path, 0, 100);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(bytes.length, 11), 124);
  header.write(octal(0, 11), 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0) + (damaged ? 1 : 0);
  header.write(`${octal(sum, 6)}\0 `, 148);
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');

/** The smallest thing that looks like a program. */
export function elf({ machine = 62, type = 3, elfClass = 2, tail = 'code' } = {}): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 0, 'latin1');
  header[4] = elfClass;
  header[5] = 1;
  header.writeUInt16LE(type, 16);
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, Buffer.from(tail)]);
}

export const unit = '[Service]\nExecStart={{directory}}/current/bin/greeter --port {{port}}\n';
export const programEntry: RawEntry = { path: 'bin/greeter', mode: 0o755, body: elf() };
export const unitEntry: RawEntry = { path: 'greeter.service', body: unit };
export const program = { executable: 'bin/greeter', unitFile: 'greeter.service', user: 'greeter' };

export const sha256 = (bytes: Buffer | string): Digest =>
  Digest(createHash('sha256').update(bytes).digest('hex'));

export const artifactAt = (url: string, bytes: Buffer): Artifact => ({ url, sha256: sha256(bytes) });

/** What artifact drivers read of a service. */
export const aService = (artifact: Partial<Service['artifact']> = {}): Service =>
  ({
    id: 'greeter@production',
    name: 'greeter',
    program,
    configuration: { files: [] },
    artifact: { headers: {}, maxBytes: 50_000_000, timeoutMs: 30_000, ...artifact },
  }) as unknown as Service;
