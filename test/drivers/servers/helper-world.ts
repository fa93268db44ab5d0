import { createHash } from 'node:crypto';
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { create } from 'tar';

/** A systemd that fits on a page: it knows one unit, and what runs is what `current` pointed at when it was started. */
const standIns: Readonly<Record<string, string>> = {
  systemctl: `#!/bin/sh
case $1 in
  show)
    if [ -e "$VERDIGRIS_UNIT_DIRECTORY/greeter.service" ]; then
      echo LoadState=loaded
      echo "FragmentPath=$VERDIGRIS_UNIT_DIRECTORY/greeter.service"
    fi
    if [ -e "$WORLD/runs" ]; then
      echo ActiveState=active
      echo SubState=running
      pid=4194305
      [ ! -e "$WORLD/pid-of-main" ] || read -r pid <"$WORLD/pid-of-main"
      echo MainPID=$pid
    fi
    [ ! -e "$WORLD/user" ] || echo "User=$(cat "$WORLD/user")"
    ;;
  start) readlink "$WORLD/srv/greeter/current" >"$WORLD/runs" ;;
  stop) rm -f "$WORLD/runs" ;;
esac
[ "$1" = show ] || echo "$1" >>"$WORLD/calls"
`,
  journalctl: '#!/bin/sh\necho "these were its last words"\n',
  'systemd-analyze': '#!/bin/sh\n[ ! -e "$WORLD/complaint" ] || cat "$WORLD/complaint"\n',
  // Nothing in this world needs time.
  sleep: '#!/bin/sh\n',
};

/** Commands before which the helper can be killed. */
const watched = [
  'mv',
  'ln',
  'rm',
  'mkdir',
  'cp',
  'sync',
  'tar',
  'chmod',
  'flock',
  'head',
  'touch',
  'mktemp',
  'systemctl',
  'cat',
];

export interface HelperRun {
  readonly lines: readonly string[];
  readonly exitCode: number | undefined;
  /** Whether it was killed on the way. */
  readonly killed: boolean;
}

/** The helper in a directory of its own, without SSH and without systemd. */
export class HelperWorld {
  readonly directory: string;
  readonly server: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.server = join(directory, 'srv/greeter');
  }

  static async start(): Promise<HelperWorld> {
    const world = new HelperWorld(await mkdtemp(join(tmpdir(), 'vg-helper-')));
    // The program's user looks at what was unpacked.
    await chmod(world.directory, 0o755);
    await mkdir(join(world.directory, 'units'));
    await mkdir(join(world.directory, 'bin'));
    await mkdir(join(world.directory, 'trap'));
    for (const [name, text] of Object.entries(standIns)) await world.#executable(`bin/${name}`, text);
    for (const name of watched) {
      const real = name in standIns ? join(world.directory, 'bin', name) : `/usr/bin/${name}`;
      await world.#executable(
        `trap/${name}`,
        `#!/bin/sh
count=0
[ ! -e "$WORLD/count" ] || read -r count <"$WORLD/count"
count=$((count + 1))
echo $count >"$WORLD/count"
[ $count != "$KILL_AT" ] || { kill -9 "$(/usr/bin/cat "$WORLD/pid")"; exit 1; }
exec ${real} "$@"
`,
      );
    }
    return world;
  }

  /** Runs one command of the helper; `killAt` kills it just before the n-th command that it starts. */
  async run(
    command: string,
    words: Readonly<Record<string, string | number>>,
    how: HelperOptions = {},
  ): Promise<HelperRun> {
    const { shell = ['sh'], killAt = 0, input = '', program = helperFile, environment = {} } = how;
    const given = { directory: this.server, unit: 'greeter.service', port: 1, ...words };
    await this.remove('count');
    const result = await execa(
      'sh',
      ['-c', 'echo $$ >"$WORLD/pid"; exec "$@"', 'sh', ...shell, program, command, ...wordsOf(given)],
      {
        reject: false,
        ...(typeof input === 'string' && !input.startsWith('/') ? { input } : { inputFile: input }),
        extendEnv: false,
        env: {
          WORLD: this.directory,
          KILL_AT: String(killAt),
          VERDIGRIS_UNIT_DIRECTORY: join(this.directory, 'units'),
          PATH: [
            ...(killAt > 0 ? [join(this.directory, 'trap')] : []),
            join(this.directory, 'bin'),
            '/usr/bin:/bin',
          ].join(':'),
          ...environment,
        },
      },
    );
    return {
      lines: result.stdout.split('\n'),
      exitCode: result.exitCode,
      killed: result.signal === 'SIGKILL',
    };
  }

  /** Packs a program that is a text, and gives what installs it. */
  async release(name: string): Promise<PackedRelease> {
    const tree = join(this.directory, `tree-${name}`);
    await mkdir(join(tree, 'bin'), { recursive: true });
    await writeFile(join(tree, 'bin/greeter'), `#!/bin/sh\necho ${name}\n`, { mode: 0o777 });
    await mkdir(join(tree, 'etc'));
    await writeFile(join(tree, 'etc/greeter.conf'), 'greeting = {{greeting}}\n');
    await symlink('etc', join(tree, 'link'));
    await symlink('greeter.conf', join(tree, 'etc/link.conf'));
    return this.pack(name, tree);
  }

  /** Packs the program and its libraries that were built into `tree`. */
  async pack(name: string, tree: string, settings = ''): Promise<PackedRelease> {
    const archive = join(this.directory, `${name}.tar.gz`);
    await create({ gzip: true, portable: true, file: archive, cwd: tree }, await readdir(tree));
    await rm(tree, { recursive: true });
    const bytes = await readFile(archive);
    const artifact = createHash('sha256').update(bytes).digest('hex');
    const release = `${artifact.slice(0, 12)}-00000000`;
    const unitConf = Buffer.from(
      `[Service]\nExecStart=\nExecStart=${this.server}/current/bin/greeter\n${settings}`,
    ).toString('base64');
    return {
      release,
      archive,
      words: {
        release,
        artifact,
        size: bytes.length,
        executable: 'bin/greeter',
        keep: 3,
        'unit-conf': unitConf,
      },
    };
  }

  /** What installs a release with these files filled in, `private etc/greeter.conf` to the text. */
  async filled(release: PackedRelease, files: Readonly<Record<string, string>>): Promise<PackedRelease> {
    const lines = Object.entries(files).map(
      ([place, text]) => `${place} ${Buffer.from(text).toString('base64')}\n`,
    );
    const archive = `${release.archive}.with-files`;
    await writeFile(archive, Buffer.concat([Buffer.from(lines.join('')), await readFile(release.archive)]));
    return { ...release, archive, words: { ...release.words, files: lines.length } };
  }

  async current(): Promise<string | undefined> {
    try {
      return (await readlink(join(this.server, 'current'))).replace('releases/', '');
    } catch {
      return undefined;
    }
  }

  async runs(): Promise<string | undefined> {
    return (await this.read('runs'))?.trim().replace('releases/', '');
  }

  async read(file: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.directory, file), 'utf8');
    } catch {
      return undefined;
    }
  }

  write(file: string, text: string): Promise<void> {
    return writeFile(join(this.directory, file), text);
  }

  async list(folder: string): Promise<readonly string[]> {
    try {
      return (await readdir(join(this.server, folder))).sort();
    } catch {
      return [];
    }
  }

  remove(file: string): Promise<void> {
    return rm(join(this.directory, file), { recursive: true, force: true });
  }

  /** Remembers the server as it is. */
  async save(): Promise<void> {
    for (const part of ['srv', 'units', 'runs']) {
      await this.remove(`saved/${part}`);
      await cp(join(this.directory, part), join(this.directory, 'saved', part), {
        recursive: true,
        verbatimSymlinks: true,
      }).catch(ignoreMissing);
    }
  }

  /** Puts it back as it was remembered. */
  async load(): Promise<void> {
    for (const part of ['srv', 'units', 'runs']) {
      await this.remove(part);
      await cp(join(this.directory, 'saved', part), join(this.directory, part), {
        recursive: true,
        verbatimSymlinks: true,
      }).catch(ignoreMissing);
    }
  }

  close(): Promise<void> {
    return rm(this.directory, { recursive: true, force: true });
  }

  async #executable(file: string, text: string): Promise<void> {
    await this.write(file, text);
    await chmod(join(this.directory, file), 0o755);
  }
}

interface HelperOptions {
  readonly shell?: readonly string[];
  readonly killAt?: number;
  /** What it reads: a text, or the absolute path of a file. */
  readonly input?: string;
  /** The helper itself, where it is not the one that travels. */
  readonly program?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface PackedRelease {
  readonly release: string;
  readonly archive: string;
  readonly words: Readonly<Record<string, string | number>>;
}

export const helperFile = fileURLToPath(new URL('../../../drivers/servers/helper.sh', import.meta.url));

const wordsOf = (words: Readonly<Record<string, string | number>>): readonly string[] =>
  Object.entries(words).map(([name, value]) => `${name}=${value}`);

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
