import {
  highestOfEach,
  type Binary,
  type Hardening,
  type Machine,
  type VersionNeed,
} from '../../domain/binary.js';
import { DamagedElf, ElfBytes } from './elf-bytes.js';

/**
 * As much of a file as is looked at. What a loader reads lies in front, before the debugging information; a program that is
 * larger even so is refused rather than believed.
 */
export const maxElfBytes = 64 * 1024 * 1024;

export type Elf = Omit<Binary, 'path' | 'links'>;

/** What a file is to the loader, or why it is nothing that could be loaded here. */
export type ElfReading =
  { readonly kind: 'read'; readonly elf: Elf } | { readonly kind: 'unusable'; readonly complaint: string };

/** Reads the first bytes of a file, `maxElfBytes` at most. Ends soon whatever they are, and never throws for them. */
export function readElf(bytes: Buffer): ElfReading {
  const machine = machineOf(bytes);
  if (machine === undefined) return { kind: 'unusable', complaint: complaintAboutHeader(bytes) };
  try {
    return { kind: 'read', elf: readLoadable(new ElfBytes(bytes), machine) };
  } catch (error) {
    if (!(error instanceof DamagedElf)) throw error;
    const complaint =
      bytes.length >= maxElfBytes
        ? `cannot be read: what the loader needs lies beyond its first ${maxElfBytes / 1024 / 1024} MiB`
        : `is a damaged ELF file: it ${error.message}`;
    return { kind: 'unusable', complaint };
  }
}

export const isElf = (bytes: Buffer): boolean =>
  bytes.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));

/** The machine that a file is for; `undefined` unless it is a linked 64-bit little-endian ELF file for a known one. */
function machineOf(bytes: Buffer): Machine | undefined {
  if (!isElf64(bytes)) return undefined;
  const type = bytes.readUInt16LE(16);
  return type === fixed || type === shared ? machines[bytes.readUInt16LE(18)] : undefined;
}

function complaintAboutHeader(bytes: Buffer): string {
  if (bytes.length === 0) return 'is empty, needs an ELF program';
  if (bytes.subarray(0, 2).toString('latin1') === '#!') {
    return 'is a script, needs an ELF program: what runs would be its interpreter, which no digest tells apart';
  }
  if (!isElf(bytes)) return 'is no ELF program, needs one built for Linux';
  if (!isElf64(bytes)) return 'is an ELF file of another class, needs 64-bit little-endian';
  if (machines[bytes.readUInt16LE(18)] === undefined)
    return 'is an ELF file for another machine, needs x86-64 or aarch64';
  return 'is an ELF file but no program (an object or core file), needs a linked executable';
}

const headerBytes = 64;
const machines: Readonly<Record<number, Machine>> = { 62: 'x86-64', 183: 'aarch64' };
const fixed = 2;
/** Position-independent executables are shared objects to ELF. */
const shared = 3;

const isElf64 = (bytes: Buffer): boolean =>
  bytes.length >= headerBytes && isElf(bytes) && bytes[4] === 2 && bytes[5] === 1;

function readLoadable(bytes: ElfBytes, machine: Machine): Elf {
  const segments = segmentsOf(bytes);
  const dynamic = dynamicOf(bytes, segments);
  const interpreter = interpreterOf(bytes, segments);
  const imports = importsOf(bytes, dynamic);
  const buildId = buildIdOf(bytes, segments);
  return {
    machine,
    ...(interpreter === undefined ? {} : { interpreter }),
    needed: dynamic.texts(tags.needed),
    rpath: dynamic.texts(tags.rpath).flatMap(pathList),
    runpath: dynamic.texts(tags.runpath).flatMap(pathList),
    versions: highestPerLibrary(imports.versions),
    offers: highestOfEach(offersOf(bytes, dynamic), (version) => version),
    ...(buildId === undefined ? {} : { buildId }),
    hardening: hardeningOf(bytes, segments, dynamic, imports),
  };
}

// --- Segments -------------------------------------------------------------------------------------

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

const segmentTypes = { load: 1, dynamic: 2, interpreter: 3, note: 4, stack: 0x6474e551, relro: 0x6474e552 };
const segmentBytes = 56;
const maxSegments = 512;

function segmentsOf(bytes: ElfBytes): readonly Segment[] {
  const table = bytes.u64(32);
  const count = bytes.u16(56);
  if (count === 0) return [];
  if (bytes.u16(54) !== segmentBytes || count > maxSegments) {
    throw new DamagedElf('has a table of segments that no linker makes');
  }
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * segmentBytes;
    return {
      type: bytes.u32(at),
      flags: bytes.u32(at + 4),
      offset: bytes.u64(at + 8),
      address: bytes.u64(at + 16),
      size: bytes.u64(at + 32),
    };
  });
}

const segmentOf = (segments: readonly Segment[], type: number): Segment | undefined =>
  segments.find((segment) => segment.type === type);

function interpreterOf(bytes: ElfBytes, segments: readonly Segment[]): string | undefined {
  const segment = segmentOf(segments, segmentTypes.interpreter);
  return segment && bytes.text(segment.offset, Math.min(segment.size, maxNameBytes));
}

/** The note that names the build: by it a core dump and its debugging information find each other. */
function buildIdOf(bytes: ElfBytes, segments: readonly Segment[]): string | undefined {
  for (const { offset, size } of segments.filter(({ type }) => type === segmentTypes.note)) {
    const end = Math.min(offset + size, offset + maxNoteBytes);
    for (let at = offset; at + 12 <= end;) {
      const [nameBytes, valueBytes, type] = [bytes.u32(at), bytes.u32(at + 4), bytes.u32(at + 8)];
      const value = at + 12 + aligned(nameBytes);
      if (type === buildIdNote && nameBytes === 4 && bytes.slice(at + 12, 4).toString('latin1') === 'GNU\0') {
        return bytes.slice(value, Math.min(valueBytes, maxBuildIdBytes)).toString('hex');
      }
      at = value + aligned(valueBytes);
    }
  }
  return undefined;
}

const buildIdNote = 3;
const maxNoteBytes = 64 * 1024;
const maxBuildIdBytes = 64;
const aligned = (size: number): number => Math.ceil(size / 4) * 4;

// --- The dynamic section --------------------------------------------------------------------------

const tags = {
  needed: 1,
  hash: 4,
  strings: 5,
  symbols: 6,
  stringBytes: 10,
  rpath: 15,
  runpath: 29,
  bindNow: 24,
  flags: 30,
  flags1: 0x6ffffffb,
  versionOfSymbol: 0x6ffffff0,
  offered: 0x6ffffffc,
  offeredCount: 0x6ffffffd,
  required: 0x6ffffffe,
  requiredCount: 0x6fffffff,
};
const maxDynamicEntries = 4096;
const maxTexts = 256;
const maxNameBytes = 4096;

type DynamicEntry = readonly [tag: number, value: number];

/** The loader's list of what to do: numbers, places and names by tag. */
class Dynamic {
  readonly #bytes: ElfBytes;
  readonly #segments: readonly Segment[];
  readonly #entries: readonly DynamicEntry[];
  readonly #numbers: ReadonlyMap<number, number>;
  #strings: number | undefined;

  constructor(bytes: ElfBytes, segments: readonly Segment[], entries: readonly DynamicEntry[]) {
    this.#bytes = bytes;
    this.#segments = segments;
    this.#entries = entries;
    this.#numbers = new Map(entries);
  }

  has(tag: number): boolean {
    return this.number(tag) !== undefined;
  }

  number(tag: number): number | undefined {
    return this.#numbers.get(tag);
  }

  /** Where in the file the table begins that a tag gives the address of. */
  place(tag: number): number | undefined {
    const address = this.number(tag);
    return address === undefined ? undefined : this.#offsetOf(address);
  }

  /** How many bytes there are at most from a table's begin to the next table that is known of. */
  room(tag: number): number {
    const begin = this.number(tag) ?? 0;
    const next = this.#entries.flatMap(([its, value]) => (tables.has(its) && value > begin ? [value] : []));
    return Math.min(this.#bytes.length, ...next.map((value) => value - begin));
  }

  texts(tag: number): readonly string[] {
    const values = this.#entries.flatMap(([its, value]) => (its === tag ? [value] : []));
    if (values.length > maxTexts) throw new DamagedElf(`names more than ${maxTexts} libraries`);
    return values.map((value) => this.text(value));
  }

  /** A name out of the table of strings. */
  text(index: number): string {
    return this.#bytes.text(...this.#name(index, maxNameBytes));
  }

  /** The beginning of a name of which only that is wanted. */
  beginning(index: number, most: number): string {
    return this.#bytes.beginning(...this.#name(index, most));
  }

  #name(index: number, most: number): readonly [at: number, most: number] {
    this.#strings ??= this.place(tags.strings);
    const size = this.number(tags.stringBytes) ?? 0;
    if (this.#strings === undefined || index >= size) throw new DamagedElf('has a name outside of its names');
    return [this.#strings + index, Math.min(most, size - index)];
  }

  #offsetOf(address: number): number {
    const segment = this.#segments.find(
      (candidate) =>
        candidate.type === segmentTypes.load &&
        address >= candidate.address &&
        address < candidate.address + candidate.size,
    );
    if (!segment) throw new DamagedElf('has a table outside of what is loaded');
    return segment.offset + (address - segment.address);
  }
}

/** Tags whose values are addresses of tables. */
const tables = new Set([
  tags.hash,
  tags.strings,
  tags.symbols,
  tags.versionOfSymbol,
  tags.offered,
  tags.required,
  0x6ffffef5, // GNU hash
  7, // relocations, in all their forms
  17,
  23,
  36,
  12, // what begins and ends it
  13,
]);

function dynamicOf(bytes: ElfBytes, segments: readonly Segment[]): Dynamic {
  const segment = segmentOf(segments, segmentTypes.dynamic);
  const entries: DynamicEntry[] = [];
  const count = segment ? Math.floor(segment.size / 16) : 0;
  if (count > maxDynamicEntries) throw new DamagedElf('has a dynamic section that no linker makes');
  for (let index = 0; segment && index < count; index++) {
    const at = segment.offset + index * 16;
    const tag = bytes.u64(at);
    if (tag === 0) break;
    entries.push([tag, bytes.u64(at + 8)]);
  }
  return new Dynamic(bytes, segments, entries);
}

const pathList = (text: string): readonly string[] => text.split(':');

// --- Symbols and their versions -------------------------------------------------------------------

interface Imports {
  readonly checksStack: boolean;
  readonly versions: readonly VersionNeed[];
}

const stackChecks = new Set(['__stack_chk_fail', '__stack_chk_guard']);
const maxStackCheckBytes = 24;
/** Names of C++ may be as long as a page; people need the beginning. */
const maxShownBytes = 120;

const symbolBytes = 24;
const maxSymbols = 1_000_000;
const maxVersions = 4096;
/** The loader goes on without a version that is marked so. */
const weak = 2;

function importsOf(bytes: ElfBytes, dynamic: Dynamic): Imports {
  const required = requiredVersions(bytes, dynamic);
  const users = new Map<number, string>();
  let checksStack = false;
  const [table, versions] = [dynamic.place(tags.symbols), dynamic.place(tags.versionOfSymbol)];
  const count = table === undefined ? 0 : symbolCount(bytes, dynamic);
  for (let index = 1; table !== undefined && index < count; index++) {
    const at = table + index * symbolBytes;
    if (bytes.u16(at + 6) !== 0) continue; // It has a section: it is defined here.
    const name = bytes.u32(at);
    checksStack ||= stackChecks.has(dynamic.beginning(name, maxStackCheckBytes));
    const version = versions === undefined ? 0 : bytes.u16(versions + index * 2) & 0x7fff;
    if (!users.has(version)) users.set(version, dynamic.beginning(name, maxShownBytes));
  }
  return {
    checksStack,
    versions: required.map(({ index, library, version }) => {
      const symbol = users.get(index);
      return { library, version, ...(symbol === undefined ? {} : { symbol }) };
    }),
  };
}

/** The table of symbols does not tell its size: it ends where the next one begins, at the latest. */
function symbolCount(bytes: ElfBytes, dynamic: Dynamic): number {
  const hash = dynamic.place(tags.hash);
  const counts = [
    dynamic.room(tags.symbols) / symbolBytes,
    dynamic.has(tags.versionOfSymbol) ? dynamic.room(tags.versionOfSymbol) / 2 : Infinity,
    hash === undefined ? Infinity : bytes.u32(hash + 4),
  ];
  return Math.min(maxSymbols, ...counts.map(Math.floor));
}

interface RequiredVersion {
  readonly index: number;
  readonly library: string;
  readonly version: string;
}

function requiredVersions(bytes: ElfBytes, dynamic: Dynamic): readonly RequiredVersion[] {
  const found: RequiredVersion[] = [];
  let seen = 0;
  let at = dynamic.place(tags.required);
  const files = Math.min(dynamic.number(tags.requiredCount) ?? 0, maxVersions);
  for (let file = 0; at !== undefined && file < files; file++) {
    const library = dynamic.text(bytes.u32(at + 4));
    let detail = at + bytes.u32(at + 8);
    for (let left = bytes.u16(at + 2); left > 0; left--) {
      if (++seen > maxVersions) throw new DamagedElf(`needs more than ${maxVersions} versions`);
      const isWeak = (bytes.u16(detail + 4) & weak) !== 0;
      const version = dynamic.text(bytes.u32(detail + 8));
      if (!isWeak) found.push({ index: bytes.u16(detail + 6) & 0x7fff, library, version });
      const next = bytes.u32(detail + 12);
      if (next === 0) break;
      detail += next;
    }
    const next = bytes.u32(at + 12);
    if (next === 0) break;
    at += next;
  }
  return found;
}

function offersOf(bytes: ElfBytes, dynamic: Dynamic): readonly string[] {
  const found: string[] = [];
  let at = dynamic.place(tags.offered);
  const count = Math.min(dynamic.number(tags.offeredCount) ?? 0, maxVersions);
  for (let index = 0; at !== undefined && index < count; index++) {
    found.push(dynamic.text(bytes.u32(at + bytes.u32(at + 12))));
    const next = bytes.u32(at + 16);
    if (next === 0) break;
    at += next;
  }
  return found;
}

function highestPerLibrary(versions: readonly VersionNeed[]): readonly VersionNeed[] {
  const libraries = [...new Set(versions.map(({ library }) => library))];
  return libraries.flatMap((name) =>
    highestOfEach(
      versions.filter(({ library }) => library === name),
      ({ version }) => version,
    ),
  );
}

// --- Hardening ------------------------------------------------------------------------------------

const executableFlag = 1;
const bindNowFlag = 8;
const nowFlag1 = 1;

function hardeningOf(
  bytes: ElfBytes,
  segments: readonly Segment[],
  dynamic: Dynamic,
  { checksStack }: Imports,
): Hardening {
  const stack = segmentOf(segments, segmentTypes.stack);
  const bound =
    dynamic.has(tags.bindNow) ||
    ((dynamic.number(tags.flags) ?? 0) & bindNowFlag) !== 0 ||
    ((dynamic.number(tags.flags1) ?? 0) & nowFlag1) !== 0;
  return {
    positionIndependent: bytes.u16(16) === shared,
    relro: segmentOf(segments, segmentTypes.relro) === undefined ? 'none' : bound ? 'full' : 'partial',
    // Without the mark the loader makes it executable, to be compatible with old compilers.
    executableStack: stack === undefined || (stack.flags & executableFlag) !== 0,
    stackProtector: checksStack || (dynamic.has(tags.needed) ? false : 'unknown'),
  };
}
