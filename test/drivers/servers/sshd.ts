import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';

const run = promisify(execFile);

const sshdPath = '/usr/sbin/sshd';

/** The real OpenSSH; demanded where everything is. */
export const hasOpenSsh = existsSync(sshdPath) || process.env['VERDIGRIS_DEMAND_ALL'] === '1';

/** Whoever runs the tests: a server that is not root's lets in nobody else. */
export const user = userInfo().username;

export interface KeyFile {
  readonly path: string;
  readonly private: string;
  readonly public: string;
  /** `SHA256:...` */
  readonly fingerprint: string;
}

/** A folder that is gone after the test. Root's own: sshd trusts no other. */
export async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vg-sshd-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A key as ssh-keygen makes it, for example `-t rsa -b 2048 -N secret`. */
export async function aKey(folder: string, name: string, ...options: readonly string[]): Promise<KeyFile> {
  const path = join(folder, name);
  const all = [...options];
  if (!all.includes('-t')) all.push('-t', 'ed25519');
  if (!all.includes('-N')) all.push('-N', '');
  await run('ssh-keygen', ['-q', '-f', path, '-C', name, ...all]);
  const [, fingerprint = ''] = (await run('ssh-keygen', ['-l', '-f', `${path}.pub`])).stdout.split(' ');
  return {
    path,
    private: await readFile(path, 'utf8'),
    public: (await readFile(`${path}.pub`, 'utf8')).trim(),
    fingerprint,
  };
}

/** A user certificate for a key. @returns the text of its `-cert.pub` */
export async function aCertificate(
  authority: KeyFile,
  key: KeyFile,
  ...options: readonly string[]
): Promise<string> {
  await run('ssh-keygen', ['-q', '-s', authority.path, '-I', 'the deployer', ...options, `${key.path}.pub`]);
  return readFile(`${key.path}-cert.pub`, 'utf8');
}

export interface Sshd {
  readonly port: number;
  /** `ssh-ed25519 SHA256:...` of each host key, in the order in which they were asked for. */
  readonly hostKeys: readonly string[];
  /** What it logged. */
  log(): Promise<string>;
  /** Connections that it let in. */
  logins(): Promise<number>;
  stop(): Promise<void>;
}

export interface SshdOptions {
  /** Further lines of sshd_config. */
  readonly lines?: readonly string[];
  readonly authorizedKeys?: readonly string[];
  /** Kinds of host keys. */
  readonly hostKeys?: readonly string[];
  readonly port?: number;
}

/** A real sshd on a port of its own, with host keys and configuration of its own, gone after the test. */
export async function startSshd({
  lines = [],
  authorizedKeys = [],
  hostKeys = ['ed25519'],
  port: wanted,
}: SshdOptions): Promise<Sshd> {
  const folder = await aFolder();
  const keys = await Promise.all(hostKeys.map((kind) => aKey(folder, `host_${kind}`, '-t', kind)));
  const port = wanted ?? (await freePort());
  await writeFile(join(folder, 'authorized_keys'), `${authorizedKeys.join('\n')}\n`);
  const config = join(folder, 'sshd_config');
  const logPath = join(folder, 'log');
  const own = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    ...keys.map(({ path }) => `HostKey ${path}`),
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'LogLevel VERBOSE',
    'PidFile none',
  ];
  // The first line of a kind counts.
  await writeFile(config, [...lines, ...own].join('\n'));
  await Promise.all(keys.map(({ path }) => chmod(path, 0o600)));
  // The package makes it when the machine boots.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const sshd = spawn(sshdPath, ['-D', '-f', config, '-E', logPath], { stdio: ['ignore', 'ignore', 'pipe'] });
  // Its connections have processes of their own, which end with their clients.
  const ended = new Promise<void>((resolve) => sshd.once('exit', () => resolve()));
  const stop = async () => {
    sshd.kill('SIGTERM');
    await ended;
  };
  onTestFinished(stop);
  const log = () => readFile(logPath, 'utf8').catch(() => '');
  for (;;) {
    const text = await log();
    if (text.includes(`Server listening on 127.0.0.1 port ${port}`)) break;
    if (sshd.exitCode !== null) throw new Error(`sshd did not start:\n${text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    hostKeys: keys.map(({ public: text, fingerprint }) => `${text.split(' ')[0]} ${fingerprint}`),
    log,
    logins: async () => (await log()).match(/^Accepted publickey /gm)?.length ?? 0,
    stop,
  };
}

/** An agent that holds keys, gone after the test. @returns its socket */
export async function anAgent(...keys: readonly KeyFile[]): Promise<string> {
  const folder = await aFolder();
  const socket = join(folder, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => agent.once('close', () => resolve()));
  onTestFinished(async () => {
    agent.kill('SIGTERM');
    await ended;
  });
  // The socket is there a moment before anybody listens.
  const add = (...words: readonly string[]) =>
    run('ssh-add', words, { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  const noAgent = 2;
  while ((await add('-l').catch(({ code }: { code?: unknown }) => code)) === noAgent) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const { path } of keys) await add('-q', path);
  return socket;
}

/** A port that nothing listens on now. */
export async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => listener.once('listening', resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
