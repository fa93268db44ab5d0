import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { Failure } from '../../domain/failures.js';
import type { Binary } from '../../domain/binary.js';
import { libraryPathOf, type Binaries } from '../../domain/library-search.js';
import { Digest } from '../../domain/names.js';
import type { ProgramSettings } from '../../domain/service.js';
import type { Template } from '../../domain/template.js';
import type { Patience } from '../patience.js';
import {
  dangersOf,
  dangersOfExtension,
  isFile,
  linksByFile,
  plainPath,
  shown,
  type ArchiveEntry,
} from './archive-entry.js';
import { ArchiveHeaders } from './archive-headers.js';
import { isElf, maxElfBytes, readElf, type Elf, type ElfReading } from './elf.js';

/** What is in an artifact that has everything it needs and nothing that it must not have. */
export interface ArchiveContents {
  readonly executable: Digest;
  readonly binaries: Binaries;
  readonly unitTemplate: string;
  /** The files of the program's configuration, as they are before they are filled in. */
  readonly configuration: readonly Template[];
  /** Entries that are no directories. */
  readonly files: number;
  /** All entries. */
  readonly entries: number;
  readonly unpackedBytes: number;
}

/** How much an archive may grow when it is unpacked. */
export interface ArchiveLimits {
  readonly unpackedBytes: number;
  readonly entries: number;
}

/** What a service wants to find in an archive. */
export interface Wanted extends ProgramSettings {
  /** Paths of the files of the program's configuration. */
  readonly configurationFiles?: readonly string[];
}

/**
 * Reads the tar.gz at `path` from begin to end without unpacking it. `name` stands for it in messages.
 * @throws Failure `ArchiveUnsafe` or `ArchiveIncomplete`, with all complaints at once
 */
export async function inspectArchive(
  path: string,
  name: string,
  program: Wanted,
  limits: ArchiveLimits,
  patience: Patience,
): Promise<ArchiveContents> {
  const inspection = new Inspection(program, limits);
  const parser = new Parser({
    onReadEntry: (entry) => inspection.read(entry),
    onwarn: (code, message) => inspection.distrust(parserWords[code] ?? String(message)),
  });
  parser.on('meta', (text: string) => inspection.readExtension(text));
  parser.on('ignoredEntry', () => inspection.distrust('has an entry of a kind that not every tar reads'));
  parser.on('nullBlock', () => inspection.end());
  try {
    await parse(path, parser, inspection, patience);
    inspection.finish();
  } catch (error) {
    patience.signal.throwIfAborted();
    if (!(error instanceof Unacceptable) && !isCompressionError(error)) throw error;
    inspection.distrust(error instanceof Unacceptable ? error.message : wordsFor(error));
  }
  return inspection.judge(name);
}

async function parse(
  path: string,
  parser: Parser,
  inspection: Inspection,
  patience: Patience,
): Promise<void> {
  const packed = createReadStream(path, { signal: patience.signal });
  // Long chunks: node-tar reads a name that is split between two of them wrongly.
  const unpacked = createGunzip({ chunkSize: 1024 * 1024 });
  packed.on('error', (error) => unpacked.destroy(error));
  const { signal } = patience;
  try {
    for await (const chunk of packed.pipe(unpacked) as AsyncIterable<Buffer>) {
      inspection.unpack(chunk);
      patience.progress(`checking the archive: ${megabytes(inspection.unpackedBytes)} MB so far`);
      if (!parser.write(chunk)) await once(parser, 'drain', { signal });
    }
    const ended = once(parser, 'end', { signal });
    parser.end();
    await ended;
  } finally {
    packed.destroy();
    unpacked.destroy();
  }
}

/** What one pass over an archive brings together. */
class Inspection {
  readonly #entries: ArchiveEntry[] = [];
  readonly #distrust = new Set<string>();
  readonly #headers = new ArchiveHeaders((danger) => this.distrust(danger));
  readonly #executablePath: string;
  readonly #unitPath: string;
  readonly #limits: ArchiveLimits;
  readonly #libraries = new Map<string, ReadFile<ElfReading | undefined>>();
  #executable: ReadFile<ElfReading> | undefined;
  #unit: ReadFile<Buffer> | undefined;
  readonly #configurationPaths: readonly string[];
  readonly #configuration = new Map<string, ReadFile<Buffer>>();
  #ended = false;
  /** The first bytes, which may come one by one. */
  #begin: Buffer = Buffer.alloc(0);
  unpackedBytes = 0;

  constructor(program: Wanted, limits: ArchiveLimits) {
    this.#executablePath = plainPath(program.executable);
    this.#unitPath = plainPath(program.unitFile);
    this.#configurationPaths = (program.configurationFiles ?? []).map(plainPath);
    this.#limits = limits;
  }

  /** Looks at bytes before the parser does. */
  unpack(chunk: Buffer): void {
    if (this.#begin.length < longestMagic) {
      this.#begin = Buffer.concat([this.#begin, chunk.subarray(0, longestMagic)]);
      if (compressed.some((magic) => this.#begin.subarray(0, magic.length).equals(magic)))
        throw new Unacceptable('is compressed twice');
    }
    this.unpackedBytes += chunk.length;
    if (this.unpackedBytes > this.#limits.unpackedBytes) {
      throw new Unacceptable(`is larger than ${megabytes(this.#limits.unpackedBytes)} MB when unpacked`);
    }
    this.#headers.push(chunk);
  }

  read(entry: ReadEntry): void {
    const { path, type, mode = 0, size, linkpath, globalExtended } = entry;
    if (this.#ended) this.distrust('goes on after its end');
    if (globalExtended?.path !== undefined || globalExtended?.linkpath !== undefined) {
      this.distrust('gives one name to all entries');
    }
    if (entry.header.size === undefined && type !== 'Directory') this.distrust(damagedHeader);
    this.#entries.push({
      path,
      type,
      mode,
      sizeBytes: size,
      ...(linkpath === undefined ? {} : { linkTarget: linkpath }),
    });
    if (this.#entries.length > this.#limits.entries) {
      throw new Unacceptable(`has more than ${this.#limits.entries} entries`);
    }
    const plain = plainPath(path);
    if (plain === this.#executablePath) this.#executable = new ReadFile(entry, maxElfBytes, readElf);
    else if (plain === this.#unitPath) this.#unit = readText(entry);
    else if (this.#configurationPaths.includes(plain)) this.#configuration.set(plain, readText(entry));
    else if (isLibrary(plain) && this.#libraries.size < maxLibraries) {
      this.#libraries.set(plain, new ReadFile(entry, maxElfBytes, readLibrary));
    } else entry.resume();
  }

  /** A header that speaks about the entry after it. */
  readExtension(text: string): void {
    for (const danger of dangersOfExtension(text)) this.distrust(danger);
  }

  /** An empty block: for most unpackers the archive is over here. */
  end(): void {
    this.#ended = true;
  }

  /** Everything was read. An archive without its end was cut off at a place where only that tells. */
  finish(): void {
    if (!this.#ended || this.unpackedBytes % blockBytes !== 0) this.distrust(notWhole);
  }

  distrust(danger: string): void {
    this.#distrust.add(danger);
  }

  judge(name: string): ArchiveContents {
    const dangers = [...this.#distrust, ...dangersOf(this.#entries)];
    const executable = this.#judgeExecutable();
    const unit = this.#judgeTemplate(this.#unitPath, 'program.unitFile', this.#unit);
    const configuration = this.#configurationPaths.map((path) =>
      this.#judgeTemplate(path, 'configuration.files', this.#configuration.get(path)),
    );
    const gaps = [
      ...('complaints' in executable ? executable.complaints : []),
      ...[unit, ...configuration].flatMap((template) =>
        'complaints' in template ? template.complaints : [],
      ),
    ];
    if (dangers.length > 0) throw refusal('ArchiveUnsafe', name, [...dangers, ...gaps]);
    if ('complaints' in executable || 'complaints' in unit || gaps.length > 0) {
      throw refusal('ArchiveIncomplete', name, gaps);
    }
    return {
      executable: executable.executable,
      binaries: this.#binaries(executable.elf, unit.text),
      unitTemplate: unit.text,
      configuration: configuration.flatMap((template) => ('complaints' in template ? [] : [template])),
      files: this.#entries.filter(({ type }) => type !== 'Directory').length,
      entries: this.#entries.length,
      unpackedBytes: this.unpackedBytes,
    };
  }

  #judgeExecutable(): { readonly executable: Digest; readonly elf: Elf } | Complaints {
    const path = this.#executablePath;
    const complaint = this.#complaintAboutFile(path, 'program.executable');
    if (complaint !== undefined) return { complaints: [complaint] };
    const { mode, seen, digest } = this.#executable!;
    const complaints = [
      ...((mode & 0o100) === 0 ? ['is not executable, needs mode 755: chmod +x before packing'] : []),
      ...(seen.kind === 'unusable' ? [seen.complaint] : []),
    ].map((words) => `"${path}" ${words}`);
    return seen.kind === 'read' && complaints.length === 0
      ? { executable: digest, elf: seen.elf }
      : { complaints };
  }

  /** The program and what it brings along. A library that cannot be read may be none that is needed: it is told, not refused. */
  #binaries(program: Elf, unitTemplate: string): Binaries {
    const links = linksByFile(this.#entries);
    const binary = (path: string, elf: Elf): Binary => ({ path, links: links.get(path) ?? [], ...elf });
    const libraries = [...this.#libraries].filter(([path]) => path !== this.#executablePath);
    const read = libraries.flatMap(([path, { seen }]) =>
      seen?.kind === 'read' ? [binary(path, seen.elf)] : [],
    );
    const unread = libraries.flatMap(([path, { seen }]) =>
      seen?.kind === 'unusable' ? [`"${shown(path)}" ${seen.complaint}`] : [],
    );
    const left = this.#entries.filter((entry) => isFile(entry) && isLibrary(plainPath(entry.path))).length;
    const more = left - libraries.length;
    return {
      program: binary(this.#executablePath, program),
      libraries: read,
      unread: [
        ...shortened(unread),
        ...(more > 0 ? [`${more} more libraries of the artifact were not looked at`] : []),
      ],
      libraryPath: libraryPathOf(unitTemplate),
    };
  }

  #judgeTemplate(path: string, key: string, file: ReadFile<Buffer> | undefined): Template | Complaints {
    const complaint = this.#complaintAboutFile(path, key);
    if (complaint !== undefined) return { complaints: [complaint] };
    const { seen } = file!;
    if (seen.length > maxTemplateBytes)
      return { complaints: [`"${path}" is larger than ${maxTemplateBytes / 1024} KiB (${key})`] };
    const text = textOf(seen);
    return text === undefined ? { complaints: [`"${path}" is no UTF-8 text (${key})`] } : { path, text };
  }

  #complaintAboutFile(path: string, key: string): string | undefined {
    const entry = this.#entries.findLast((candidate) => plainPath(candidate.path) === path);
    if (!entry) return `"${path}" is missing (${key})${this.#hint(path)}`;
    return isFile(entry) ? undefined : `"${path}" is no regular file (${key})`;
  }

  /** The usual slip is a folder more or less at the top. */
  #hint(path: string): string {
    const base = `/${path.split('/').at(-1)}`;
    const near = this.#entries.find((entry) => isFile(entry) && `/${plainPath(entry.path)}`.endsWith(base));
    if (near) return `, there is "${shown(plainPath(near.path))}"`;
    const files = this.#entries.filter(isFile).slice(0, 5);
    return files.length === 0
      ? ', there is no file at all'
      : `, there is ${files.map((file) => `"${shown(plainPath(file.path))}"`).join(', ')}`;
  }
}

/** What the parser would unpack by itself: gzip and zstd. */
const compressed = [Buffer.from([0x1f, 0x8b]), Buffer.from([0x28, 0xb5, 0x2f, 0xfd])] as const;
const longestMagic = 4;

interface Complaints {
  readonly complaints: readonly string[];
}

/** A file of the archive of which the digest is wanted, and what its first bytes show. */
class ReadFile<Seen> {
  readonly mode: number;
  readonly #hash = createHash('sha256');
  readonly #look: (bytes: Buffer) => Seen;
  #missing: number;
  #chunks: Buffer[] = [];
  #seen: { readonly it: Seen } | undefined;

  constructor(entry: ReadEntry, keepBytes: number, look: (bytes: Buffer) => Seen) {
    this.mode = entry.mode ?? 0;
    this.#missing = keepBytes;
    this.#look = look;
    entry.on('data', (chunk: Buffer) => {
      this.#hash.update(chunk);
      if (this.#missing === 0) return;
      const kept = chunk.subarray(0, this.#missing);
      this.#missing -= kept.length;
      this.#chunks.push(kept);
    });
    entry.on('end', () => this.#lookNow());
  }

  get seen(): Seen {
    return (this.#seen ?? this.#lookNow()).it;
  }

  get digest(): Digest {
    return Digest(this.#hash.copy().digest('hex'));
  }

  /** The bytes go as soon as they were looked at: an archive may bring many libraries. */
  #lookNow(): { readonly it: Seen } {
    this.#seen = { it: this.#look(Buffer.concat(this.#chunks)) };
    this.#chunks = [];
    return this.#seen;
  }
}

/** A text in its place is no library: linkers read scripts under such names. */
const readLibrary = (bytes: Buffer): ElfReading | undefined => (isElf(bytes) ? readElf(bytes) : undefined);

const isLibrary = (path: string): boolean => /\.so(\.\d+)*$/.test(path);

/** More than a program brings along by itself: each is a piece of the deployment's history. */
const maxLibraries = 64;

/** They are filled in, and travel with each installation. */
const maxTemplateBytes = 64 * 1024;
const readText = (entry: ReadEntry) => new ReadFile(entry, maxTemplateBytes + 1, (bytes) => bytes);

/** Ends the reading early: the rest could only be worse. */
class Unacceptable extends Error {}

const blockBytes = 512;
const notWhole = 'is no whole tar archive (cut off, or not one at all)';
const damagedHeader = 'has an entry whose header is damaged';

const parserWords: Readonly<Record<string, string>> = {
  TAR_BAD_ARCHIVE: notWhole,
  TAR_ENTRY_INVALID: damagedHeader,
  TAR_ENTRY_ERROR: 'has an entry that cannot be read',
  TAR_ABORT: 'cannot be read as a tar archive',
};

const refusal = (
  failure: 'ArchiveUnsafe' | 'ArchiveIncomplete',
  name: string,
  complaints: readonly string[],
): Failure => new Failure(failure, [`Cannot use "${name}":`, ...shortened(complaints)].join('\n  '));

/** A hostile archive has thousands of complaints; an outcome has to stay readable. */
const shortened = (complaints: readonly string[]): readonly string[] =>
  complaints.length <= maxComplaints
    ? complaints
    : [...complaints.slice(0, maxComplaints), `and ${complaints.length - maxComplaints} more`];

const maxComplaints = 20;

const isCompressionError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('Z_');

const wordsFor = ({ code, message }: NodeJS.ErrnoException): string =>
  code === 'Z_BUF_ERROR'
    ? 'ends in the middle of its gzip data'
    : /header/.test(message)
      ? 'is not compressed with gzip, needs a tar.gz'
      : `is damaged inside its gzip data (${message})`;

function textOf(bytes: Buffer): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') ? undefined : text;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

const megabytes = (bytes: number): number => Math.round(bytes / 1e6);
