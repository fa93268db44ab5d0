import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { Failure } from '../../domain/failures.js';
import type { Secret } from '../../domain/secret.js';
import type { Patience } from '../patience.js';
import { pause } from './pause.js';

/** One machine as one user reaches it. */
export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** `SHA256:...`; no other host key is accepted. */
  readonly hostKey: string;
  /** Tells targets apart that may not share a connection: service and name of the key. */
  readonly owner: string;
  /** Resolved once per connection. */
  readonly key: () => Promise<Secret>;
}

export interface SshPolicy {
  /** A connection that nobody uses is closed after this long. */
  readonly idleMs: number;
  readonly connectTimeoutMs: number;
  /** A connection that says nothing for three times this long is given up. */
  readonly keepAliveMs: number;
  /** Tries to connect before a machine counts as unreachable. */
  readonly tries: number;
}

const defaultPolicy: SshPolicy = { idleMs: 30_000, connectTimeoutMs: 10_000, keepAliveMs: 10_000, tries: 5 };

/** The link was lost while somebody used it. What was asked for may have happened. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost';
}

interface Connection {
  readonly client: Promise<Client>;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

/** A worker's SSH connections: one per machine, shared by all who need it, closed when idle. */
export class SshConnections {
  readonly #policy: SshPolicy;
  readonly #open = new Map<string, Connection>();

  constructor(policy: Partial<SshPolicy> = {}) {
    this.#policy = { ...defaultPolicy, ...policy };
  }

  /**
   * Lends the connection to a machine, made if need be.
   * @throws Failure `ServerUnreachable`, `HostKeyMismatch`, `ServerLoginRefused`, `SecretRefused`
   */
  async use<Result>(
    target: SshTarget,
    patience: Patience,
    action: (client: Client) => Promise<Result>,
  ): Promise<Result> {
    const name = [target.host, target.port, target.user, target.hostKey, target.owner].join(' ');
    const connection = this.#open.get(name) ?? this.#connect(name, target, patience);
    clearTimeout(connection.idle);
    connection.users += 1;
    try {
      return await action(await orAborted(connection.client, patience.signal));
    } finally {
      connection.users -= 1;
      if (connection.users === 0) this.#closeWhenIdle(name, connection);
    }
  }

  /** Closes every connection at once. */
  close(): void {
    for (const [name, connection] of this.#open) this.#drop(name, connection);
  }

  #connect(name: string, target: SshTarget, patience: Patience): Connection {
    const client = connectWithTries(target, this.#policy, (what) => patience.progress(what));
    const connection: Connection = { client, users: 0, idle: undefined };
    this.#open.set(name, connection);
    const forget = () => {
      if (this.#open.get(name) === connection) this.#open.delete(name);
    };
    client.then((connected) => connected.once('close', forget), forget);
    return connection;
  }

  #closeWhenIdle(name: string, connection: Connection): void {
    connection.idle = setTimeout(() => this.#drop(name, connection), this.#policy.idleMs);
    connection.idle.unref();
  }

  #drop(name: string, connection: Connection): void {
    clearTimeout(connection.idle);
    if (this.#open.get(name) === connection) this.#open.delete(name);
    connection.client.then(
      (client) => client.end(),
      // Its users were told why it could not be made.
      () => undefined,
    );
  }
}

/**
 * sshd drops connections at random before the handshake while many begin (`MaxStartups`), and a machine that boots
 * refuses them: both pass, so both are tried again.
 */
async function connectWithTries(
  target: SshTarget,
  policy: SshPolicy,
  progress: (what: string) => void,
): Promise<Client> {
  const key = await target.key();
  const beganAt = Date.now();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await connectToKnownHost(target, key, policy);
    } catch (error) {
      const reason = reasonFor(error);
      if (
        error instanceof Failure ||
        attempt >= policy.tries ||
        Date.now() - beganAt > policy.connectTimeoutMs
      ) {
        if (error instanceof Failure) throw error;
        const seconds = Math.max(1, Math.round((Date.now() - beganAt) / 1000));
        throw new Failure(
          'ServerUnreachable',
          `${target.host}:${target.port} ${reason} (tried ${attempt === 1 ? 'once' : `${attempt} times`} in ${seconds} s)`,
          { cause: error },
        );
      }
      progress(`${target.host}:${target.port} ${reason}, trying again`);
      // Spread, so that those who were dropped together do not come back together.
      await pause(100 * 2 ** attempt * (0.5 + Math.random()), new AbortController().signal);
    }
  }
}

const keyFamilies = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'rsa-sha2-256'],
] as const;

/** A machine has a host key of each kind and shows one: the pinned one is asked for by its kind. */
async function connectToKnownHost(target: SshTarget, key: Secret, policy: SshPolicy): Promise<Client> {
  const seen = new Set<string>();
  for (const family of [undefined, ...keyFamilies]) {
    try {
      return await connectOnce(target, key, policy, family, (fingerprint) => seen.add(fingerprint));
    } catch (error) {
      if (!(error instanceof OtherHostKey) && !isHandshakeRefusal(error, family)) throw error;
    }
  }
  throw new Failure(
    'HostKeyMismatch',
    `${target.host}:${target.port} shows the host key ${[...seen].join(' and ')}, needs ${target.hostKey}\n  find out why before you change "hostKey": another machine may answer in its place`,
  );
}

class OtherHostKey extends Error {}

const isHandshakeRefusal = (error: unknown, family: unknown): boolean =>
  family !== undefined && error instanceof Error && /no matching host key/i.test(error.message);

function connectOnce(
  target: SshTarget,
  key: Secret,
  policy: SshPolicy,
  family: (typeof keyFamilies)[number] | undefined,
  onFingerprint: (fingerprint: string) => void,
): Promise<Client> {
  const client = new Client();
  let known = false;
  const settings: ConnectConfig = {
    host: target.host,
    port: target.port,
    username: target.user,
    privateKey: key.reveal(),
    readyTimeout: policy.connectTimeoutMs,
    keepaliveInterval: policy.keepAliveMs,
    keepaliveCountMax: 3,
    ...(family === undefined ? {} : { algorithms: { serverHostKey: [...family] } }),
    hostVerifier: (hostKey: Buffer) => {
      const fingerprint = fingerprintOf(hostKey);
      onFingerprint(fingerprint);
      known = fingerprint === target.hostKey;
      return known;
    },
  };
  return new Promise((resolve, reject) => {
    let seenKey = false;
    const verify = settings.hostVerifier as (hostKey: Buffer) => boolean;
    client.once('ready', () => resolve(client));
    // Also after it is ready: a lost link is an error first, and its users hear of it by `close`.
    client.on('error', (error: Error & { readonly level?: string }) => {
      if (seenKey && !known) reject(new OtherHostKey());
      else if (error.level === 'client-authentication')
        reject(loginRefused(target, 'does not accept its key'));
      else reject(error);
    });
    client.once('close', () => reject(new Error('closed the connection before the handshake')));
    try {
      client.connect({
        ...settings,
        hostVerifier: (hostKey: Buffer) => {
          seenKey = true;
          return verify(hostKey);
        },
      });
    } catch {
      // The original names what it could not parse; it goes no further, since that is a private key.
      reject(
        loginRefused(
          target,
          'cannot be asked: the key is not a private key in OpenSSH or PEM form without a passphrase',
        ),
      );
    }
  });
}

const loginRefused = ({ host, port, user }: SshTarget, why: string): Failure =>
  new Failure(
    'ServerLoginRefused',
    `${host}:${port} ${why} for user "${user}", needs its public key in authorized_keys`,
  );

/** As `ssh-keygen -l` prints it. */
export const fingerprintOf = (hostKey: Buffer): string =>
  `SHA256:${createHash('sha256').update(hostKey).digest('base64').replace(/=+$/, '')}`;

function reasonFor(error: unknown): string {
  const { code, level, message } = error as Error & { readonly code?: string; readonly level?: string };
  if (code === 'ECONNREFUSED') return 'refuses connections';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'resets the connection';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'cannot be reached by any route';
  if (code === 'ENOTFOUND' || level === 'client-dns') return 'is a name that nobody knows';
  if (code === 'ETIMEDOUT' || level === 'client-timeout') return 'does not answer';
  if (/lost before handshake|before the handshake/i.test(message))
    return 'closes the connection before the handshake';
  return `cannot be connected to: ${message}`;
}

async function orAborted<Result>(result: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  const stop = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { signal: stop.signal });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    stop.abort();
  }
}

export interface Execution {
  readonly signal: AbortSignal;
  /** The command is given up after this long. */
  readonly deadlineMs: number | undefined;
  /** Each line of its output; its standard input may be written to. */
  readonly onLine: (line: string, stdin: Writable) => void;
}

export interface Exit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** The beginning of what it wrote to standard error. */
  readonly stderr: string;
}

/**
 * Runs one command and hands over its output line by line.
 * @throws LinkLost when the connection or the deadline ended first; the signal's reason; whatever `onLine` throws
 */
export function execute(
  client: Client,
  line: string,
  { signal, deadlineMs, onLine }: Execution,
): Promise<Exit> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    let channel: ClientChannel | undefined;
    let timer: NodeJS.Timeout | undefined;
    const settle = (act: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      client.removeListener('close', onLost);
      act();
    };
    const giveUp = (error: unknown) =>
      settle(() => {
        channel?.close();
        reject(error as Error);
      });
    const onAbort = () => giveUp(signal.reason);
    const onLost = () => giveUp(new LinkLost('the connection was lost'));
    signal.addEventListener('abort', onAbort);
    client.once('close', onLost);
    if (deadlineMs !== undefined) {
      const late = () => giveUp(new LinkLost(`no answer came within ${Math.round(deadlineMs / 1000)} s`));
      timer = setTimeout(late, deadlineMs);
    }

    client.exec(line, (error, opened) => {
      if (error) return giveUp(new LinkLost(`no command could be given: ${error.message}`));
      if (signal.aborted) return opened.close();
      channel = opened;
      let exit: Exit | undefined;
      let stderr = '';
      opened.stderr
        .setEncoding('utf8')
        .on('data', (chunk: string) => (stderr = (stderr + chunk).slice(0, 8192)));
      const splitter = new LineSplitter((text) => {
        try {
          onLine(text, opened);
        } catch (thrown) {
          giveUp(thrown);
        }
      });
      opened.setEncoding('utf8').on('data', (chunk: string) => splitter.take(chunk));
      opened.on('error', giveUp);
      opened.on('exit', (code: number | null, killedBy?: string) => {
        exit = { code: code ?? undefined, signal: killedBy, stderr: '' };
      });
      opened.on('close', () => {
        splitter.end();
        if (exit) settle(() => resolve({ ...exit!, stderr }));
        else onLost();
      });
    });
  });
}

class LineSplitter {
  readonly #onLine: (line: string) => void;
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  take(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#onLine(line);
  }

  end(): void {
    if (this.#rest !== '') this.#onLine(this.#rest);
    this.#rest = '';
  }
}
