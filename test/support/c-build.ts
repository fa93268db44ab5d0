import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Compiles C programs and libraries for tests that need real ones, all below one directory. */
export class CBuild {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Gives the path of what was built. `flags` come last, so that libraries are found. */
  async compile(path: string, source: string, ...flags: readonly string[]): Promise<string> {
    const output = join(this.directory, path);
    const input = `${output}.c`;
    await mkdir(dirname(output), { recursive: true });
    await writeFile(input, source);
    const { stderr } = await run('cc', ['-o', output, input, ...flags], { cwd: this.directory });
    if (stderr.includes('error')) throw new Error(stderr);
    return output;
  }

  /** A shared library with a name for the loader. */
  library(path: string, source: string, soname: string, ...flags: readonly string[]): Promise<string> {
    return this.compile(path, source, '-shared', '-fPIC', `-Wl,-soname,${soname}`, ...flags);
  }

  /**
   * A program linked with a `library` newer than any there is, which offers `symbol` under `version`. It does not run here; that
   * is the point.
   */
  async needingNewer(
    path: string,
    source: string,
    ...needs: readonly (readonly [library: string, version: string, symbol: string])[]
  ): Promise<string> {
    const libraries = await Promise.all(needs.map((need) => this.#newer(...need)));
    const output = await this.compile(path, source, ...libraries);
    // A linker takes one library of a name: the newer one has another until here.
    const bytes = (await readFile(output)).toString('latin1');
    await writeFile(
      output,
      bytes.replaceAll(
        /lib0([a-z+-]*\.so\.\d)/g,
        (_, rest: string) => `lib${initials.get(`0${rest}`)}${rest}`,
      ),
      'latin1',
    );
    return output;
  }

  async #newer(library: string, version: string, symbol: string): Promise<string> {
    const map = join(this.directory, `${symbol}.map`);
    await writeFile(map, `${version} { global: ${symbol}; };\n`);
    const disguised = library.replace(/^lib./, 'lib0');
    initials.set(disguised.slice(3), library[3] ?? '');
    return this.library(
      `newer/${symbol}.so`,
      defines(symbol),
      disguised,
      '-nostdlib',
      `-Wl,--version-script=${map}`,
    );
  }
}

/** By the rest of a name, the letter that its disguise has taken. */
const initials = new Map<string, string>();

/** What a program prints that calls one function of another file. */
export const calls = (symbol: string): string =>
  `long ${symbol}(void);\nint main(void) { return (int)${symbol}(); }\n`;

/** A function of its own, for a library. */
export const defines = (symbol: string): string => `long ${symbol}(void) { return 42; }\n`;
