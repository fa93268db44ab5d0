const blockBytes = 512;

/**
 * Looks at the headers of a tar stream as bytes, beside the library that reads them: where that one knows more kinds of
 * entries or numbers than other programs do, the same bytes could be unpacked as something else.
 */
export class ArchiveHeaders {
  readonly #distrust: (danger: string) => void;
  #rest: Buffer = Buffer.alloc(0);
  #skipBytes = 0;
  #ended = false;

  constructor(distrust: (danger: string) => void) {
    this.#distrust = distrust;
  }

  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (!this.#ended) {
      const skipped = Math.min(this.#skipBytes, bytes.length);
      this.#skipBytes -= skipped;
      bytes = bytes.subarray(skipped);
      if (this.#skipBytes > 0 || bytes.length < blockBytes) break;
      this.#read(bytes.subarray(0, blockBytes));
      bytes = bytes.subarray(blockBytes);
    }
    this.#rest = this.#ended ? Buffer.alloc(0) : Buffer.from(bytes);
  }

  #read(header: Buffer): void {
    if (header.every((byte) => byte === 0)) {
      this.#ended = true;
      return;
    }
    const type = String.fromCharCode(header[156] ?? 0);
    const size = /^ *([0-7]+)[ \0]*$/.exec(header.toString('latin1', 124, 136))?.[1];
    if (!knownTypes.has(type)) this.#distrust('has an entry of a kind that not every tar reads');
    if (size === undefined) this.#distrust('has an entry whose header is damaged');
    else if (parseInt(size, 8) > 0 && !typesWithData.has(type)) {
      this.#distrust('has an entry with data where none belongs');
    }
    // From a damaged header on, nothing can be told any more; the archive is refused already.
    if (size === undefined) this.#ended = true;
    else this.#skipBytes = Math.ceil(parseInt(size, 8) / blockBytes) * blockBytes;
  }
}

/** Files, links, devices and directories of POSIX, and the extensions that GNU, BSD and busybox share. */
const knownTypes = new Set(['0', '\0', '1', '2', '3', '4', '5', '6', 'x', 'g', 'L', 'K']);

const typesWithData = new Set(['0', '\0', 'x', 'g', 'L', 'K']);
