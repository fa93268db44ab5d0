/** What an ELF file says cannot be so: it points outside of itself, or counts more than it can hold. */
export class DamagedElf extends Error {}

/**
 * The bytes of a 64-bit little-endian ELF file, read only where there are any. Whoever made the file chose every number in
 * it: nothing read from it is trusted to be in range.
 */
export class ElfBytes {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  u8(at: number): number {
    return this.#bytes[this.#within(at, 1)] ?? 0;
  }

  u16(at: number): number {
    return this.#bytes.readUInt16LE(this.#within(at, 2));
  }

  u32(at: number): number {
    return this.#bytes.readUInt32LE(this.#within(at, 4));
  }

  /** As a number: what does not fit into one exactly is no place or size in a real file. */
  u64(at: number): number {
    const value = this.#bytes.readBigUInt64LE(this.#within(at, 8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new DamagedElf('has a size beyond all measure');
    return Number(value);
  }

  slice(at: number, length: number): Buffer {
    return this.#bytes.subarray(this.#within(at, length), at + length);
  }

  /** A text that ends with a zero byte, at most `most` bytes long. Bytes that are no printable ASCII are shown as `?`. */
  text(at: number, most: number): string {
    const bytes = this.slice(at, Math.min(most, Math.max(0, this.length - at)));
    const end = bytes.indexOf(0);
    if (end < 0) throw new DamagedElf('has a name without an end');
    return shown(bytes.subarray(0, end));
  }

  /** The same, cut off where it is longer. */
  beginning(at: number, most: number): string {
    const bytes = this.slice(at, Math.min(most, Math.max(0, this.length - at)));
    const end = bytes.indexOf(0);
    return shown(end < 0 ? bytes : bytes.subarray(0, end));
  }

  #within(at: number, length: number): number {
    if (!Number.isSafeInteger(at) || at < 0 || at + length > this.length) {
      throw new DamagedElf('points to bytes that it does not have');
    }
    return at;
  }
}

const shown = (bytes: Buffer): string => bytes.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '?');
