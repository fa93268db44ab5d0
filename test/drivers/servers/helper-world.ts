import { createHash } from 'node:crypto';
import {
  chmod,
  cp,
  lstat,
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
PATH=/usr/bin:/bin
case $1 in
  show)
    if [ -e "$VERDIGRIS_UNIT_DIRECTORY/greeter.service" ]; then
      echo LoadState=loaded
      echo "FragmentPath=$VERDIGRIS_UNIT_DIRECTORY/greeter.service"
      (cd "$VERDIGRIS_UNIT_DIRECTORY" && find . -printf '%p %l\n' | sort) | cmp -s - "$WORLD/loaded" || echo NeedDaemonReload=yes
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
  # What it has read of its units counts, not what is written there.
  daemon-reload) (cd "$VERDIGRIS_UNIT_DIRECTORY" && find . -printf '%p %l\n' | sort) >"$WORLD/loaded" ;;
  start) readlink "$WORLD/srv/greeter/current" >"$WORLD/runs" ;;
  stop) rm -f "$WORLD/runs" ;;
esac
[ "$1" = show ] || echo "$1" >>"$WORLD/calls"
`,
  journalctl: '#!/bin/sh\necho "these were its last words"\n',
  'systemd-analyze': '#!/bin/sh\n[ ! -e "$WORLD/complaint" ] || /usr/bin/cat "$WORLD/complaint"\n',
  // It is always the same moment.
  date: '#!/bin/sh\nexec /usr/bin/date -d @1700000000 "$@"\n',
  // Nothing in this world needs time.
  sleep: '#!/bin/sh\n',
};

/** Every other program that the helper starts. In a run with points there are no more: one that is missing here is not found. */
const others = words(`
  awk base64 cat chmod chown cmp cp cut date df dirname env expr find flock grep gzip head id ls mkdir mktemp mv readlink rm rmdir
  sed sh sha256sum sort ss sync tail tar test touch tr wc runuser ln getconf timeout uname renice ionice systemd-run
`);

/** What a server consists of in this world. */
const parts = ['srv', 'units', 'runs', 'loaded'] as const;

const journal = 'srv/greeter/.verdigris/journal';

/** A moment just before or just after a program that the helper starts, by its number in the run. */
export interface Point {
  readonly when: 'before' | 'after';
  readonly number: number;
}

/** As the traps know it. */
const nameOf = ({ when, number }: Point): string => `${when} ${number}`;

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

/** Stands before a program: keeps the server as it is at both of its points, or kills the helper at one. */
const trap = (program: string): string =>
  `#!/bin/sh
echo $$ >>"$WORLD/numbers"
# By the shell alone: programs would cost more than everything else here.
line=0
while read -r pid; do
  line=$((line + 1))
  [ "$pid" != $$ ] || number=$line
done <"$WORLD/numbers"
at() {
  [ "$KILL_AT" != "$1 $number" ] || { kill -9 "$(/usr/bin/cat "$WORLD/pid")"; exit 1; }
  [ -z "$KILL_AT" ] || return 0
  kept="$WORLD/points/$1 $number"
  set --
  for part in ${parts.join(' ')}; do
    [ ! -e "$WORLD/$part" ] || set -- "$@" "$WORLD/$part"
  done
  /usr/bin/mkdir -p "$kept"
  /usr/bin/cp -a "$@" "$kept"
}
at before
${program} "$@"
status=$?
at after
exit $status
`;

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
    for (const name of new Set([...Object.keys(standIns), ...others])) {
      const real = name in standIns ? join(world.directory, 'bin', name) : `/usr/bin/${name}`;
      await world.#executable(`trap/${name}`, trap(real));
    }
    return world;
  }

  /** Runs one command of the helper, and keeps or ends it at its points where that is asked. */
  async run(
    command: string,
    words: Readonly<Record<string, string | number>>,
    how: HelperOptions = {},
  ): Promise<HelperRun> {
    const { shell = ['/bin/sh'], points, input = '', program = helperFile, environment = {} } = how;
    const given = { directory: this.server, unit: 'greeter.service', port: 1, ...words };
    await this.remove('numbers');
    if (points === 'kept') await this.remove('points');
    const result = await execa(
      '/bin/sh',
      ['-c', 'echo $$ >"$WORLD/pid"; exec "$@"', 'sh', ...shell, program, command, ...wordsOf(given)],
      {
        reject: false,
        ...(typeof input === 'string' && !input.startsWith('/') ? { input } : { inputFile: input }),
        extendEnv: false,
        env: {
          WORLD: this.directory,
          KILL_AT: typeof points === 'object' ? nameOf(points) : '',
          VERDIGRIS_UNIT_DIRECTORY: join(this.directory, 'units'),
          PATH:
            points === undefined
              ? `${join(this.directory, 'bin')}:/usr/bin:/bin`
              : join(this.directory, 'trap'),
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
    for (const part of parts) {
      await this.remove(`saved/${part}`);
      await cp(join(this.directory, part), join(this.directory, 'saved', part), {
        recursive: true,
        verbatimSymlinks: true,
      }).catch(ignoreMissing);
    }
  }

  /** Puts it back as it was remembered, or as it was at a point that was kept. */
  async load(point?: Point): Promise<void> {
    const from = point ? join('points', nameOf(point)) : 'saved';
    for (const part of parts) {
      await this.remove(part);
      await cp(join(this.directory, from, part), join(this.directory, part), {
        recursive: true,
        verbatimSymlinks: true,
      }).catch(ignoreMissing);
    }
  }

  /**
   * The server as it is, or was at a point: every file, directory and link of it with its mode and what is in it. The names of
   * directories to work in are chance; the journal, which may tell a thing twice, is apart.
   */
  async state(at = this.directory): Promise<string> {
    const lines: string[] = [];
    for (const part of parts) {
      const entries = await readdir(join(at, part), { recursive: true }).catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOTDIR') return [''];
          ignoreMissing(error);
          return [];
        },
      );
      // What a link leads to is looked at where it is.
      for (const entry of entries.filter((each) => !each.startsWith('greeter/current/'))) {
        const path = join(at, part, entry);
        const about = await lstat(path);
        const holds = about.isSymbolicLink()
          ? await readlink(path)
          : about.isFile()
            ? await readFile(path, 'utf8')
            : 'directory';
        const name = join(part, entry).replace(/(\.verdigris\/incoming\/)[^/]+/, '$1*');
        if (name !== journal) lines.push(`${name} ${(about.mode & 0o7777).toString(8)} ${holds}`);
      }
    }
    return lines.sort().join('\n');
  }

  /** What it tells that it did, each thing once. */
  async journal(): Promise<ReadonlySet<string>> {
    return new Set((await this.read(journal))?.split('\n'));
  }

  /** The points that were kept, one for each state that the server was in, in their order. */
  async points(): Promise<ReadonlyMap<string, Point>> {
    const found = new Map<string, Point>();
    const names = await readdir(join(this.directory, 'points'));
    const all = names.map((name) => {
      const [when, number] = name.split(' ');
      return { name, when: when as Point['when'], number: Number(number) };
    });
    all.sort((one, other) => one.number - other.number || (one.when === 'before' ? -1 : 1));
    for (const { name, when, number } of all) {
      const state = await this.state(join(this.directory, 'points', name));
      if (!found.has(state)) found.set(state, { when, number });
    }
    return found;
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
  /** Every point is kept, or it is killed at one. */
  readonly points?: 'kept' | Point;
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
