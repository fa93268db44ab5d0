import type { Duplex } from 'node:stream';
import { Failure } from '../../domain/failures.js';
import { orAborted, type Patience } from '../patience.js';
import { pause } from './pause.js';
import { ChannelsTaken } from './ssh-channels.js';
import { LinkLost } from './ssh-command.js';
import type { Credential } from './ssh-credential.js';
import { SshLink } from './ssh-link.js';
import { logIn, reach, Unreached, type LoggedIn } from './ssh-login.js';
import { describeHop, type SshLimits, type SshTarget } from './ssh-target.js';
import { Turnstile } from './turnstile.js';

export interface SshPolicy extends SshLimits {
  /** Tries to connect before a machine counts as unreachable. */
  readonly tries: number;
  /** Connections that are being made at the same time. */
  readonly handshakes: number;
}

const defaultPolicy: SshPolicy = {
  idleMs: 30_000,
  connectTimeoutMs: 10_000,
  loginTimeoutMs: 30_000,
  keepAliveMs: 10_000,
  tries: 5,
  handshakes: 20,
};

interface Connection {
  readonly link: Promise<SshLink>;
  readonly idleMs: number;
  users: number;
  idle: NodeJS.Timeout | undefined;
  /** It served somebody before: it may have been closed since without anybody noticing. */
  used: boolean;
  /** It was given up because nothing came any more. */
  silent: boolean;
}

/** Further connections to a machine whose sshd allows no more commands than those that last. */
const mostSpares = 3;

/** A worker's SSH connections: one per machine, shared by all who need it, closed when idle. */
export class SshConnections {
  readonly #policy: SshPolicy;
  readonly #open = new Map<string, Connection>();
  readonly #handshakes: Turnstile;

  constructor(policy: Partial<SshPolicy> = {}) {
    this.#policy = { ...defaultPolicy, ...policy };
    this.#handshakes = new Turnstile(this.#policy.handshakes);
  }

  /**
   * Lends the connection to a machine, made if need be.
   * @throws Failure `ServerUnreachable`, `HostKeyMismatch`, `ServerLoginRefused`, `SecretRefused`, `ServerBusy`; LinkLost
   */
  async use<Result>(
    target: SshTarget,
    patience: Patience,
    action: (link: SshLink) => Promise<Result>,
  ): Promise<Result> {
    for (let spare = 0; ; spare += 1) {
      try {
        return await this.#useTwice(nameOf(target, spare), target, patience, action);
      } catch (error) {
        if (!(error instanceof ChannelsTaken)) throw error;
        if (spare === mostSpares) {
          throw new Failure(
            'ServerBusy',
            `${describeHop(target)} gives every session to commands that last, needs a higher "MaxSessions"`,
          );
        }
      }
    }
  }

  /** Closes every connection at once. */
  close(): void {
    for (const [name, connection] of this.#open) this.#drop(name, connection);
  }

  /** sshd closes connections that idle, which may be noticed only now: what was not begun is begun anew, once. */
  async #useTwice<Result>(
    name: string,
    target: SshTarget,
    patience: Patience,
    action: (link: SshLink) => Promise<Result>,
  ): Promise<Result> {
    const before = this.#open.get(name);
    const wasUsed = before?.used === true;
    try {
      return await this.#lend(name, target, patience, action);
    } catch (error) {
      const stale = error instanceof LinkLost && error.early && wasUsed && !before?.silent;
      if (!before || !stale) throw error;
      // Others may have commands on it that run: it is closed when nobody uses it.
      this.#forget(name, before);
      return this.#lend(name, target, patience, action);
    }
  }

  async #lend<Result>(
    name: string,
    target: SshTarget,
    patience: Patience,
    action: (link: SshLink) => Promise<Result>,
  ): Promise<Result> {
    const connection = this.#held(name, target, patience);
    try {
      return await action(await orAborted(connection.link, patience.signal));
    } finally {
      connection.used = true;
      this.#release(name, connection);
    }
  }

  /** To be released as often as it was held. */
  #held(name: string, target: SshTarget, patience: Patience): Connection {
    const connection = this.#open.get(name) ?? this.#connect(name, target, patience);
    clearTimeout(connection.idle);
    connection.users += 1;
    return connection;
  }

  #release(name: string, connection: Connection): void {
    connection.users -= 1;
    if (connection.users > 0) return;
    connection.idle = setTimeout(() => this.#drop(name, connection), connection.idleMs);
    connection.idle.unref();
  }

  #forget(name: string, connection: Connection): void {
    if (this.#open.get(name) === connection) this.#open.delete(name);
  }

  #drop(name: string, connection: Connection): void {
    clearTimeout(connection.idle);
    this.#forget(name, connection);
    connection.link.then(
      (link) => link.close(),
      // Its users were told why it could not be made.
      () => undefined,
    );
  }

  #connect(name: string, target: SshTarget, patience: Patience): Connection {
    const limits: SshLimits = { ...this.#policy, ...target.limits };
    const forget = () => this.#forget(name, connection);
    const link = this.#connectWithTries(target, limits, patience).then(({ client, stream, closed }) => {
      client.on('error', ({ level }: Error & { readonly level?: string }) => {
        connection.silent ||= level === 'client-timeout';
      });
      void closed.then(forget);
      return new SshLink(client, stream);
    });
    link.catch(forget);
    const connection: Connection = {
      link,
      idleMs: limits.idleMs,
      users: 0,
      idle: undefined,
      used: false,
      silent: false,
    };
    this.#open.set(name, connection);
    return connection;
  }

  /**
   * sshd drops connections at random before the handshake while many begin (`MaxStartups`), and a machine that boots
   * refuses them: both pass, so both are tried again.
   */
  async #connectWithTries(target: SshTarget, limits: SshLimits, patience: Patience): Promise<LoggedIn> {
    const credential = await target.credential();
    const beganAt = Date.now();
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#connectOnce(target, credential, limits, patience);
      } catch (error) {
        if (!(error instanceof Unreached)) throw error;
        // Whoever is dropped for the crowd has to wait until it is smaller.
        const forMs = error.dropped ? limits.loginTimeoutMs : limits.connectTimeoutMs;
        if (attempt >= this.#policy.tries || Date.now() - beganAt > forMs) {
          const times = attempt === 1 ? 'once' : `${attempt} times`;
          const seconds = Math.max(1, Math.round((Date.now() - beganAt) / 1000));
          const crowd = error.dropped
            ? '\n  sshd does so while it is asked by many at a time: look at "MaxStartups" and "PerSourcePenalties" of its sshd_config, or lower ssh.handshakes in worker.yaml'
            : '';
          throw new Failure(
            'ServerUnreachable',
            `${describeHop(target)} ${error.message} (tried ${times} in ${seconds} s)${crowd}`,
            { cause: error },
          );
        }
        patience.progress(`${describeHop(target)} ${error.message}, trying again`);
        // Spread, so that those who were dropped together do not come back together.
        const stepMs = error.dropped ? 250 : 100;
        await pause(stepMs * 2 ** attempt * (0.5 + Math.random()), new AbortController().signal);
      }
    }
  }

  /** The bastion is held for as long as the connection behind it lives. */
  async #connectOnce(
    target: SshTarget,
    credential: Credential,
    limits: SshLimits,
    patience: Patience,
  ): Promise<LoggedIn> {
    const bastion = bastionOf(target);
    const through = bastion && this.#held(nameOf(bastion, 0), bastion, patience);
    const release = () => {
      if (bastion && through) this.#release(nameOf(bastion, 0), through);
    };
    try {
      const link = await through?.link;
      const open = () =>
        link && bastion ? reachThrough(link, bastion, target, limits) : reach(target, limits);
      // Only now: who waits for a bastion must not keep the bastion from being connected to.
      const loggedIn = await this.#handshakes.pass(() =>
        logIn(target, credential, limits, open, describeHop(target)),
      );
      void loggedIn.closed.then(release);
      return loggedIn;
    } catch (error) {
      release();
      throw error;
    }
  }
}

/** The last machine before the target, as a target of its own. */
function bastionOf({ bastions, limits }: SshTarget): SshTarget | undefined {
  const last = bastions.at(-1);
  return last && { ...last, bastions: bastions.slice(0, -1), limits, isBastion: true };
}

/** A connection of the bastion to the target. @throws Unreached */
async function reachThrough(
  link: SshLink,
  bastion: SshTarget,
  { host, port }: SshTarget,
  { connectTimeoutMs }: SshLimits,
): Promise<Duplex> {
  const seconds = Math.max(1, Math.round(connectTimeoutMs / 1000));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Unreached(`does not answer ${describeHop(bastion)} within ${seconds} s`)),
      connectTimeoutMs,
    );
  });
  const forwarding = link.forward(host, port);
  try {
    return await Promise.race([forwarding, late]);
  } catch (error) {
    // One that comes too late is nobody's.
    forwarding.then(
      (stream) => stream.destroy(),
      () => undefined,
    );
    if (error instanceof Unreached) throw error;
    throw new Unreached(wordsFor(error as Error & { readonly reason?: unknown }, describeHop(bastion)));
  } finally {
    clearTimeout(timer);
  }
}

/** Reasons of RFC 4254, 5.1, for a channel that was not opened. */
const forbidden = 1;
const connectFailed = 2;

function wordsFor(
  { reason, message }: { readonly reason?: unknown; readonly message: string },
  bastion: string,
): string {
  const said = message.replace('(SSH) Channel open failure: ', '');
  if (reason === forbidden) {
    return `cannot be reached: ${bastion} forbids the way on, needs "AllowTcpForwarding yes" and a "PermitOpen" that allows it there`;
  }
  if (reason === connectFailed) return `cannot be reached from ${bastion}: ${said}`;
  return `cannot be reached through ${bastion}: ${said}`;
}

/** Those who may not share a connection have different names. */
const nameOf = ({ bastions, ...hop }: SshTarget, spare: number): string =>
  JSON.stringify(
    [...bastions, hop]
      .map(({ host, port, user, hostKeys, owner }) => [host, port, user, hostKeys, owner])
      .concat([[spare] as never]),
  );
