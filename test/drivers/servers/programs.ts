import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { create } from 'tar';
import { Digest, ReleaseId } from '../../../domain/names.js';
import type { Behaviour } from '../../../drivers/servers/imagined-program.js';
import type { BuiltRelease } from './server.contract.js';

/** Compiles the test program in its versions, once each, and packs them as CI would. */
export class Programs {
  readonly #directory: string;
  readonly #compiled = new Map<string, Promise<string>>();
  readonly #options: readonly string[];

  private constructor(directory: string, options: readonly string[]) {
    this.#directory = directory;
    this.#options = options;
  }

  /** With options for the compiler, for example `-static`: what runs wherever Linux does. */
  static async start(...options: readonly string[]): Promise<Programs> {
    return new Programs(await mkdtemp(join(tmpdir(), 'vg-programs-')), options);
  }

  /** The executable of a version that does this. */
  executable(version: string, behaviour: Behaviour = { kind: 'answers' }): Promise<string> {
    const name = `${version}-${flagsOf(behaviour).join('')}`;
    const known = this.#compiled.get(name) ?? this.#compile(name, version, behaviour);
    this.#compiled.set(name, known);
    return known;
  }

  async release(version: string, behaviour: Behaviour | undefined, unitFile: string): Promise<BuiltRelease> {
    const program = await this.executable(version, behaviour);
    const tree = await mkdtemp(join(this.#directory, 'tree-'));
    await mkdir(join(tree, 'bin'));
    await copyFile(program, join(tree, 'bin/greeter'));
    await mkdir(join(tree, 'etc'));
    await writeFile(join(tree, 'etc/greeter.conf'), 'greeting = {{greeting}}\n');
    const archive = `${tree}.tar.gz`;
    await create({ gzip: true, file: archive, cwd: tree, portable: true }, ['bin', 'etc']);
    const artifact = await digestOf(archive);
    const id = ReleaseId(`${artifact.slice(0, 12)}-00000000`);
    return {
      id,
      executable: await digestOf(program),
      installation: {
        release: id,
        artifact,
        sizeBytes: (await stat(archive)).size,
        open: () => createReadStream(archive),
        unitFile,
        needs: { bytes: 10_000_000, inodes: 100 },
        files: [],
        shared: [],
        executable: 'bin/greeter',
        keep: 5,
      },
    };
  }

  close(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }

  async #compile(name: string, version: string, behaviour: Behaviour): Promise<string> {
    const output = join(this.#directory, name);
    const source = fileURLToPath(new URL('program.c', import.meta.url));
    const words = [
      '-pthread',
      ...this.#options,
      '-o',
      output,
      `-DVERSION="${version}"`,
      ...flagsOf(behaviour),
    ];
    await execa('gcc', [...words, source]);
    return output;
  }
}

function flagsOf(behaviour: Behaviour): readonly string[] {
  switch (behaviour.kind) {
    case 'answers':
      return [];
    case 'crashes at start':
      return ['-DCRASH_AT_START=1'];
    case 'crashes every':
      return [`-DCRASH_AFTER_MS=${behaviour.everyMs}`];
    default:
      throw new TypeError(`Cannot compile a program that is "${behaviour.kind}": program.c has no such flag`);
  }
}

export const digestOf = async (file: string): Promise<Digest> =>
  Digest(
    createHash('sha256')
      .update(await readFile(file))
      .digest('hex'),
  );
