export type Machine = 'x86-64' | 'aarch64';

/** What is needed to tell: the header of a 64-bit ELF file. */
export const elfHeaderBytes = 64;

/** The machine that a program is for; `undefined` unless it is a 64-bit little-endian ELF executable for a known one. */
export function machineOf(header: Buffer): Machine | undefined {
  if (!isElf64(header)) return undefined;
  const type = header.readUInt16LE(16);
  return type === executable || type === shared ? machines[header.readUInt16LE(18)] : undefined;
}

/** What a file is that is no such program. */
export function complaintAboutElf(header: Buffer): string {
  if (header.length === 0) return 'is empty, needs an ELF program';
  if (header.subarray(0, 2).toString('latin1') === '#!') {
    return 'is a script, needs an ELF program: what runs would be its interpreter, which no digest tells apart';
  }
  if (!hasMagic(header)) return 'is no ELF program, needs one built for Linux';
  if (!isElf64(header)) return 'is an ELF file of another class, needs 64-bit little-endian';
  if (machines[header.readUInt16LE(18)] === undefined)
    return 'is an ELF file for another machine, needs x86-64 or aarch64';
  return 'is an ELF file but no program (an object or core file), needs a linked executable';
}

const machines: Readonly<Record<number, Machine>> = { 62: 'x86-64', 183: 'aarch64' };
const executable = 2;
/** Position-independent executables are shared objects to ELF. */
const shared = 3;

const hasMagic = (header: Buffer): boolean => header.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));

const isElf64 = (header: Buffer): boolean =>
  header.length >= elfHeaderBytes && hasMagic(header) && header[4] === 2 && header[5] === 1;
