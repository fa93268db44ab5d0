import { connect, createServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2, { type AuthContext, type Connection, type ParsedKey, type ServerChannel } from 'ssh2';
import type { FaultState } from './faults.js';
import type { HostKey } from './host-key.js';
import { Line } from './line.js';
import { refuse, runRemoteCommand, type RemoteCommandOptions } from './remote-command.js';
import type { Session } from './session.js';
import { signalNamed } from './unit-settings.js';

/** What happened on a machine's SSH port, for those who count connections and commands. */
export type LogEntry =
  | { readonly kind: 'login'; readonly at: Date; readonly user: string }
  | { readonly kind: 'exec'; readonly at: Date; readonly command: string };

export interface SshServerOptions {
  readonly hostKey: HostKey;
  /** Public keys in OpenSSH's format. */
  readonly authorizedKeys: readonly string[];
  /** The only user who may log in; anybody when left out. */
  readonly user: string | undefined;
  readonly home: string;
  /** Of the processes that run its commands. */
  readonly owner: string;
  /** What commands find in their environment, besides what follows from the login. */
  readonly environment: Readonly<Record<string, string>>;
  readonly faults: FaultState;
}

/** `MaxSessions` of OpenSSH, as it comes: a connection that opens more is refused the channel. */
const maxSessions = 10;

/** A machine may be up for days. */
const loggedEntries = 10_000;

/** OpenSSH, as it comes, never asks whether the client is still there; the library below always does. */
const never = 2 ** 31 - 1;

/** The SSH side of a machine: public keys only, commands, and tunnels to the machine itself. */
export class SshServer {
  readonly #log: LogEntry[] = [];

  readonly #options: SshServerOptions;
  readonly #keys: readonly ParsedKey[];
  readonly #ssh: ssh2.Server;
  /** By the client's address and port. */
  readonly #lines = new Map<string, Line>();
  /** Commands that run, and those that left processes behind. */
  readonly #sessions = new Set<Session>();
  #tcp: TcpServer | undefined;
  #port = 0;

  constructor(options: SshServerOptions) {
    this.#options = options;
    this.#keys = options.authorizedKeys.map(parsePublicKey);
    this.#ssh = new ssh2.Server({
      hostKeys: [options.hostKey.privateKey],
      ident: 'OpenSSH_9.2p1 Debian-2+deb12u3',
      keepaliveInterval: never,
    });
    this.#ssh.on('connection', (connection, { ip, port }) =>
      this.#serve(connection, () => this.#lines.get(clientKey(ip, port))?.cut()),
    );
  }

  /** The last entries, oldest first. */
  get log(): readonly LogEntry[] {
    return [...this.#log];
  }

  get port(): number {
    return this.#port;
  }

  /** Listens on the port given, or on the one it had before. */
  async listen(port = this.#port): Promise<void> {
    if (this.#tcp !== undefined) return;
    const tcp = createServer((socket) => this.#admit(new Line(socket, this.#options.faults)));
    this.#tcp = tcp;
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject);
      tcp.listen(port, '127.0.0.1', resolve);
    });
    this.#port = (tcp.address() as AddressInfo).port;
  }

  /** Connections that are open stay open. */
  stopListening(): void {
    this.#tcp?.close();
    this.#tcp = undefined;
  }

  /** Cuts every connection and kills every command. */
  async cutEverything(): Promise<void> {
    for (const line of this.#lines.values()) line.cut();
    await Promise.all([...this.#sessions].map((session) => session.end()));
    this.#sessions.clear();
  }

  async close(): Promise<void> {
    this.stopListening();
    await this.cutEverything();
  }

  #admit(line: Line): void {
    const key = clientKey(line.remoteAddress, line.remotePort);
    this.#lines.set(key, line);
    line.once('close', () => this.#lines.delete(key));
    // Whatever is a duplex stream with an address will do, whatever the type says.
    this.#ssh.injectSocket(line as Duplex as Socket);
  }

  #serve(connection: Connection, cut: () => void): void {
    let user = '';
    const sessions = new Set<AbortController>();
    connection.on('authentication', (context) => {
      user = context.username;
      if (this.#isAuthentic(context)) context.accept();
      else context.reject(['publickey']);
    });
    connection.on('ready', () => this.#note({ kind: 'login', at: new Date(), user }));
    connection.on('session', (accept, reject) => {
      if (sessions.size >= maxSessions) {
        reject();
        return;
      }
      const session = accept();
      const gone = new AbortController();
      sessions.add(gone);
      session.once('close', () => {
        sessions.delete(gone);
        gone.abort();
      });
      this.#serveSession(session, { user, cut, gone: gone.signal });
    });
    connection.once('close', () => {
      for (const gone of sessions) gone.abort();
    });
    connection.on('tcpip', (accept, reject, { destIP, destPort }) =>
      openTunnel(accept, reject, destIP, destPort),
    );
    // A client that breaks off in the middle is its own business; its commands are told by `close`.
    connection.on('error', () => undefined);
  }

  #isAuthentic(context: AuthContext): boolean {
    const { user } = this.#options;
    if (context.method !== 'publickey' || (user !== undefined && user !== context.username)) return false;

    const { key: offered, signature, blob, hashAlgo } = context;
    const key = this.#keys.find((known) => known.getPublicSSH().equals(offered.data));
    if (key === undefined) return false;
    // Without a signature the client only asks whether it is worth making one.
    return signature === undefined || (blob !== undefined && verifies(key, blob, signature, hashAlgo));
  }

  #serveSession(
    session: ssh2.Session,
    login: Pick<RemoteCommandOptions, 'cut' | 'gone'> & { user: string },
  ): void {
    const { user, cut, gone } = login;
    const variables: Record<string, string> = {};
    let running: Session | undefined;

    session.on('env', (accept, reject, { key, val }) => {
      if (!/^(LANG|LC_\w+)$/.test(key)) return answerTo(reject);
      variables[key] = val;
      answerTo(accept);
    });
    session.on('signal', (accept, _, { name }) => {
      const signal = signalNamed(name);
      if (signal !== undefined) running?.signalEveryone(signal);
      answerTo(accept);
    });
    session.on('exec', (accept, _, { command }) => {
      this.#note({ kind: 'exec', at: new Date(), command });
      // Nothing comes back, whatever the type says, when the client has ended its side already.
      const channel = accept() as ServerChannel | undefined;
      if (channel === undefined) return;
      const { home, owner, environment, faults } = this.#options;
      const options = {
        channel,
        command,
        owner,
        home,
        environment: { ...environment, ...variables, USER: user, LOGNAME: user },
        faults,
        gone,
        cut,
      };
      runRemoteCommand(options).then(
        (started) => {
          running = started;
          if (started !== undefined) this.#keepTrack(started);
        },
        (error: unknown) => refuse(channel, 126, `/bin/sh: ${String(error)}\n`),
      );
    });
  }

  #note(entry: LogEntry): void {
    this.#log.push(entry);
    if (this.#log.length > loggedEntries) this.#log.shift();
  }

  /** Until it has ended, with all that it started. */
  #keepTrack(session: Session): void {
    this.#sessions.add(session);
    void session.exited.then(() => {
      if (session.livingMembers().length === 0) this.#sessions.delete(session);
    });
  }
}

const clientKey = (address: string | undefined, port: number | undefined): string => `${address} ${port}`;

function parsePublicKey(text: string): ParsedKey {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) {
    throw new TypeError(
      `Cannot authorize "${text.slice(0, 40)}": ${key.message}, needs an OpenSSH public key`,
    );
  }
  return key;
}

/** The library answers a malformed signature with an error instead of `false`. */
const verifies = (key: ParsedKey, blob: Buffer, signature: Buffer, hashAlgo: string | undefined): boolean =>
  (key.verify(blob, signature, hashAlgo) as unknown) === true;

/** Clients that want no answer leave the library without anything to call. */
const answerTo = (reply: (() => void) | undefined): void => reply?.();

/** Only to the machine itself: that is what health probes need, and a sandbox reaches nothing else. */
function openTunnel(accept: () => ServerChannel, reject: () => void, address: string, port: number): void {
  if (!/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(address)) {
    reject();
    return;
  }
  const target = connect({ host: address, port, allowHalfOpen: true });
  target.once('error', reject);
  target.once('connect', () => {
    target.off('error', reject);
    const channel = accept();
    target.once('error', () => channel.destroy());
    target.once('close', () => channel.destroy());
    channel.once('close', () => target.destroy());
    channel.pipe(target).pipe(channel);
  });
}
