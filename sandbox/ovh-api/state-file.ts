import { readFile, rename, writeFile } from 'node:fs/promises';

/** Keeps in a file what must survive a restart. Holds secrets, so that only its owner may read it. */
export class StateFile {
  readonly #path: string;
  readonly #tell: () => unknown;
  #writing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** `tell` gives what is to be kept, as plain JSON. */
  constructor(path: string, tell: () => unknown) {
    this.#path = path;
    this.#tell = tell;
  }

  /** What was kept last, or `undefined` where there is no file yet. */
  static async read(path: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(path, 'utf8')) as unknown;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Something has changed. Settles once the file has it; changes that come meanwhile are written together. */
  changed(): Promise<void> {
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      this.#writing = this.#write();
      return this.#writing;
    });
    return this.#next;
  }

  /** Beside it and renamed: a sandbox that is killed meanwhile leaves the file before or the one after. */
  async #write(): Promise<void> {
    const aside = `${this.#path}.new`;
    await writeFile(aside, JSON.stringify(this.#tell()), { mode: 0o600 });
    await rename(aside, this.#path);
  }
}
