import { chmod, mkdir, mkdtemp, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initClient } from './init-client.js';
import type { Init } from './init.js';
import { journalctl } from './journalctl.js';
import { systemctl } from './systemctl.js';
import { systemdAnalyze } from './systemd-analyze.js';
import type { Terminal } from './terminal.js';

type Tool = (init: Init, words: readonly string[], terminal: Terminal) => number | Promise<number>;

const tools: Readonly<Record<string, Tool>> = {
  systemctl,
  journalctl,
  'systemd-analyze': (_, words, terminal) => systemdAnalyze(words, terminal),
};

/**
 * Runs what follows its options, as who it is already: everybody is root on a machine that has no other users.
 */
const sudo = `#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    -u | -g | -C | -h | -p | -r | -t | -T | -U | -D | -R) shift 2 ;;
    --) shift; break ;;
    -v | -k | -K | -l) exit 0 ;;
    -*) shift ;;
    [A-Za-z_]*=*) export "$1"; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || exit 1
exec "$@"
`;

/** The commands of a machine that talk to its init, reachable until they are closed. */
export interface StandIns {
  close(): Promise<void>;
}

/** Puts the commands into `binDirectory`, and what they need to run beside it. */
export async function serveStandIns(
  init: Init,
  binDirectory: string,
  libDirectory: string,
): Promise<StandIns> {
  const socketDirectory = await newSocketDirectory(libDirectory);
  const socketPath = join(socketDirectory, 'socket');
  const callers = new Set<Socket>();
  const server = createServer((caller) => {
    callers.add(caller);
    caller.once('close', () => callers.delete(caller));
    answer(init, caller);
  });
  await listening(server, socketPath);

  await mkdir(binDirectory, { recursive: true });
  const client = await initClient(libDirectory);
  const call = [...client, socketPath].map(quoted).join(' ');
  for (const tool of Object.keys(tools)) {
    await writeExecutable(join(binDirectory, tool), `#!/bin/sh\nexec ${call} ${tool} "$@"\n`);
  }
  await writeExecutable(join(binDirectory, 'sudo'), sudo);

  return {
    async close() {
      for (const caller of callers) caller.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(socketDirectory, { recursive: true, force: true });
    },
  };
}

/**
 * A path to a socket has room for 107 bytes, which a machine's own directory may well exceed: so it lies elsewhere, and a
 * link in the machine remembers where, for the next start to remove what one that was killed left behind.
 */
async function newSocketDirectory(libDirectory: string): Promise<string> {
  await mkdir(libDirectory, { recursive: true });
  const memory = join(libDirectory, 'init-socket');
  const prefix = join(tmpdir(), 'verdigris-init-');
  const before = await linkTarget(memory);
  if (before?.startsWith(prefix) === true) await rm(before, { recursive: true, force: true });

  const directory = await mkdtemp(prefix);
  await rm(memory, { force: true });
  await symlink(directory, memory);
  return directory;
}

async function linkTarget(link: string): Promise<string | undefined> {
  try {
    return await readlink(link);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeExecutable(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  await chmod(path, 0o755);
}

const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;

const listening = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });

function answer(init: Init, caller: Socket): void {
  const gone = new AbortController();
  let request = Buffer.alloc(0);
  let isComplete = false;

  caller.on('error', () => gone.abort());
  caller.once('close', () => gone.abort());
  caller.on('data', (data) => {
    if (isComplete) return;
    request = Buffer.concat([request, data]);
    const fields = fieldsOf(request);
    if (fields === undefined) return;

    isComplete = true;
    const [tool = '', ...words] = fields.slice(0, -1);
    const terminal: Terminal = {
      directory: fields.at(-1) ?? '/',
      out: (text) => send(caller, 'o', text),
      err: (text) => send(caller, 'e', text),
      gone: gone.signal,
    };
    void run(init, tool, words, terminal).then((status) => caller.end(frame('x', status)));
  });
}

async function run(init: Init, tool: string, words: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return (await tools[tool]?.(init, words, terminal)) ?? 1;
  } catch (error) {
    terminal.err(`${tool}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

/** `undefined` while some of them are still on their way. */
function fieldsOf(request: Buffer): readonly string[] | undefined {
  const line = request.indexOf('\n');
  if (line < 0) return undefined;
  const count = Number(request.toString('utf8', 0, line));
  const fields = request.toString('utf8', line + 1).split('\0');
  return fields.length > count ? fields.slice(0, count) : undefined;
}

function send(caller: Socket, kind: 'o' | 'e', text: string): void {
  if (text === '' || !caller.writable) return;
  const bytes = Buffer.from(text);
  caller.write(Buffer.concat([frame(kind, bytes.length), bytes]));
}

function frame(kind: 'o' | 'e' | 'x', number: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write(kind, 'latin1');
  bytes.writeUInt32BE(number, 1);
  return bytes;
}
