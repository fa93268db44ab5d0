import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { BaseAgent, Client, type ParsedKey, type SignCallback } from 'ssh2';
import { Failure } from '../../domain/failures.js';
import { fingerprintOf } from './ssh-certificate.js';
import { fingerprintsOf, type Credential, type Identity } from './ssh-credential.js';
import type { SshHop, SshLimits } from './ssh-target.js';
import { closeGaps } from './ssh2-gaps.js';

/** Why one attempt failed that may be repeated. */
export class Unreached extends Error {
  override readonly name = 'Unreached';
  /** The machine dropped the connection before it said who it is, as sshd does above `MaxStartups`. */
  readonly dropped: boolean;

  constructor(message: string, dropped = false) {
    super(message);
    this.dropped = dropped;
  }
}

export interface LoggedIn {
  readonly client: Client;
  /** What it runs over. */
  readonly stream: Duplex;
  /** Settles when the connection is gone. A promise, since that may be as soon as it was made, before anybody could listen. */
  readonly closed: Promise<void>;
}

/** A TCP connection to a machine. @throws Unreached */
export function reach({ host, port }: SshHop, { connectTimeoutMs }: SshLimits): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, noDelay: true });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Unreached(`does not answer within ${inSeconds(connectTimeoutMs)} s`));
    }, connectTimeoutMs);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new Unreached(reasonFor(error)));
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

function reasonFor({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ECONNREFUSED') return 'refuses connections';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'resets the connection';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'cannot be reached by any route';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'is a name that nobody knows';
  if (code === 'ETIMEDOUT') return 'does not answer';
  return `cannot be connected to: ${message}`;
}

const rsaAlgorithms: readonly string[] = ['rsa-sha2-512', 'rsa-sha2-256'];

const keyFamilies: readonly (readonly string[])[] = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  rsaAlgorithms,
];

/**
 * Logs in on a machine whose host key is known. A machine has a host key of each kind and shows one: the kinds that are
 * pinned are asked for, and where a pin does not tell its kind, one after the other.
 * @throws Unreached; Failure `HostKeyMismatch`, `ServerLoginRefused`
 */
export async function logIn(
  hop: SshHop,
  credential: Credential,
  limits: SshLimits,
  open: () => Promise<Duplex>,
  where: string,
): Promise<LoggedIn> {
  const seen = new Set<string>();
  for (const algorithms of kindsToAskFor(hop.hostKeys)) {
    const attempt = new Login(hop, credential, limits, where, algorithms, (shown) => seen.add(shown));
    const outcome = await attempt.on(await open());
    if (outcome !== 'other host key') return outcome;
  }
  const shows =
    seen.size === 0 ? 'has no host key of a pinned kind' : `shows the host key ${[...seen].join(' and ')}`;
  throw new Failure(
    'HostKeyMismatch',
    `${where} ${shows}, needs ${hop.hostKeys.join(' or ')}\n  find out why before you change "hostKey": another machine may answer in its place`,
  );
}

/** By the algorithms of their signatures. `undefined` is whatever both prefer. */
function kindsToAskFor(pins: readonly string[]): readonly (readonly string[] | undefined)[] {
  const kinds = [...new Set(pins.map((pin) => (pin.includes(' ') ? pin.split(' ')[0] : undefined)))];
  if (kinds.includes(undefined)) return [undefined, ...keyFamilies];
  return kinds.map((kind) => (kind === 'ssh-rsa' ? rsaAlgorithms : [kind as string]));
}

const pinOf = (hostKey: string): string => hostKey.split(' ').at(-1) ?? '';

/** One handshake and one login. */
class Login {
  readonly #hop: SshHop;
  readonly #credential: Credential;
  readonly #limits: SshLimits;
  readonly #where: string;
  readonly #algorithms: readonly string[] | undefined;
  readonly #onHostKey: (fingerprint: string) => void;
  readonly #client = new Client();
  readonly #closed = new Promise<void>((resolve) => this.#client.once('close', () => resolve()));
  /** Whether the machine's key was seen, and was one that is pinned. */
  #hostKey: 'unseen' | 'known' | 'other' = 'unseen';
  /** What came before the machine said who it is. */
  #greeting = '';
  #isSilent = true;
  #offered = false;
  /** Ways to log in that the machine still offered when it refused. */
  #left: readonly string[] = [];
  #partial = false;
  /** Kinds of signatures that the machine accepts, where it says so. */
  #accepts: readonly string[] | undefined;
  #agentTrouble: string | undefined;

  constructor(
    hop: SshHop,
    credential: Credential,
    limits: SshLimits,
    where: string,
    algorithms: readonly string[] | undefined,
    onHostKey: (fingerprint: string) => void,
  ) {
    this.#hop = hop;
    this.#credential = credential;
    this.#limits = limits;
    this.#where = where;
    this.#algorithms = algorithms;
    this.#onHostKey = onHostKey;
  }

  async on(stream: Duplex): Promise<LoggedIn | 'other host key'> {
    try {
      await this.#begin(stream);
      return { client: this.#client, stream, closed: this.#closed };
    } catch (error) {
      stream.destroy();
      if (this.#hostKey === 'other') return 'other host key';
      if (/no matching host key/i.test((error as Error).message) && this.#algorithms) return 'other host key';
      throw this.#explained(error as Error & { readonly level?: string; readonly code?: unknown });
    }
  }

  #begin(stream: Duplex): Promise<void> {
    const client = this.#client;
    const { loginTimeoutMs, keepAliveMs } = this.#limits;
    return new Promise((resolve, reject) => {
      client.once('ready', () => resolve());
      // Also after it is ready: a lost link is an error first, and its users hear of it by `close`.
      client.on('error', (error: Error & { readonly level?: string }) => {
        // The next key is tried after this one.
        if (error.level === 'agent') this.#agentTrouble = error.message;
        else reject(error);
      });
      client.once('close', () => reject(new Error('closed')));
      client.connect({
        sock: stream as never,
        username: this.#hop.user,
        readyTimeout: loginTimeoutMs,
        keepaliveInterval: keepAliveMs,
        keepaliveCountMax: 3,
        ...(this.#algorithms === undefined
          ? {}
          : { algorithms: { serverHostKey: [...this.#algorithms] as never } }),
        hostVerifier: (hostKey: Buffer) => this.#verify(hostKey),
        authHandler: (() => this.#next()) as never,
      });
      closeGaps(client, {
        onGreeting: (text) => (this.#greeting = text),
        onIdentification: () => (this.#isSilent = false),
        onAlgorithms: (names) => (this.#accepts = names),
        onRefusal: (left, partial) => {
          this.#left = left;
          this.#partial ||= partial;
        },
      });
    });
  }

  #verify(hostKey: Buffer): boolean {
    const fingerprint = fingerprintOf(hostKey);
    this.#onHostKey(fingerprint);
    this.#hostKey = this.#hop.hostKeys.some((pin) => pinOf(pin) === fingerprint) ? 'known' : 'other';
    return this.#hostKey === 'known';
  }

  /** Everything is offered at once: what is not accepted then, never will be. */
  #next() {
    if (this.#offered) return false;
    this.#offered = true;
    const agent = new Identities(this.#credential.identities);
    return { type: 'agent', username: this.#hop.user, agent };
  }

  #explained(error: Error & { readonly level?: string; readonly code?: unknown }): Error {
    const { message, level, code } = error;
    if (level === 'client-authentication') return this.#refused();
    if (/too many authentication failures/i.test(message)) {
      const many = this.#credential.identities.length;
      return this.#refusal(
        `gave up after some of the ${many} ${this.#credential.words.replace(/^the /, '')}`,
        "needs the right one to be named: keys of the agent in the worker's worker.yaml",
      );
    }
    if (level === 'client-timeout') return new Unreached(this.#late());
    if (level === 'handshake' || /^no matching/i.test(message)) {
      return new Unreached(`agrees on no way to talk: ${message}`);
    }
    if (this.#isSilent) {
      const said = this.#greeting.trim().split('\n')[0] ?? '';
      if (said !== '' && !/MaxStartups|allowed at this time/i.test(said)) {
        return new Unreached(`is no SSH server: it says "${said.slice(0, 80)}"`);
      }
      const words = said === '' ? '' : ` ("${said}")`;
      return new Unreached(`closes the connection before the handshake${words}`, true);
    }
    if (this.#hostKey === 'known') return new Unreached(`closed the connection during the login: ${message}`);
    return new Unreached(
      typeof code === 'string'
        ? reasonFor(error as NodeJS.ErrnoException)
        : 'closes the connection in the handshake',
    );
  }

  #late(): string {
    const seconds = inSeconds(this.#limits.loginTimeoutMs);
    if (this.#isSilent) return `does not answer: it takes connections and says nothing for ${seconds} s`;
    return this.#hostKey === 'known'
      ? `does not answer the login within ${seconds} s`
      : `does not finish the handshake within ${seconds} s`;
  }

  #refused(): Failure {
    const { identities } = this.#credential;
    if (this.#agentTrouble !== undefined)
      return this.#refusal(`cannot be asked: the agent ${this.#agentTrouble}`, 'needs an agent that signs');
    if (this.#partial) {
      return this.#refusal(
        `accepts ${this.#credential.words}, but wants ${this.#left.join(' or ')} as well`,
        'needs "AuthenticationMethods publickey" for this user',
      );
    }
    if (this.#left.length > 0 && !this.#left.includes('publickey')) {
      return this.#refusal(
        `accepts no keys at all, only ${this.#left.join(' or ')}`,
        'needs "PubkeyAuthentication yes"',
      );
    }
    const accepts = this.#accepts;
    if (accepts && !identities.some(({ key }) => signaturesOf(key).some((name) => accepts.includes(name)))) {
      return this.#refusal(
        `accepts only keys of type ${accepts.join(', ')}, and ${this.#credential.words} is ${fingerprintsOf(identities)}`,
        'needs a key of such a type',
      );
    }
    const [first] = identities;
    if (first?.certificate) {
      const { keyId, principals, authority } = first.certificate;
      return this.#refusal(
        `does not accept the certificate "${keyId}" (for ${principals.length === 0 ? 'anybody' : principals.join(', ')}, signed by ${authority})`,
        `needs that authority in TrustedUserCAKeys, and the user among those that it is for`,
      );
    }
    return this.#refusal(
      `does not accept ${this.#credential.words} (${fingerprintsOf(identities)})`,
      'needs its public key in authorized_keys',
    );
  }

  #refusal(what: string, needs: string): Failure {
    return new Failure('ServerLoginRefused', `${this.#where} ${what} for user "${this.#hop.user}", ${needs}`);
  }
}

const signaturesOf = ({ type }: ParsedKey): readonly string[] =>
  type === 'ssh-rsa' ? rsaAlgorithms : [type.replace(/-cert-v01@openssh\.com$/, '')];

const inSeconds = (ms: number): number => Math.max(1, Math.round(ms / 1000));

/** What ssh2 calls an agent: it lists keys and signs. */
class Identities extends BaseAgent {
  readonly #identities: readonly Identity[];

  constructor(identities: readonly Identity[]) {
    super();
    this.#identities = identities;
  }

  override getIdentities(done: (error: undefined, keys: ParsedKey[]) => void): void {
    done(
      undefined,
      this.#identities.map(({ key }) => key),
    );
  }

  override sign(key: never, data: Buffer, options: unknown, done?: SignCallback): void {
    const { hash } = options as { readonly hash?: string };
    const identity = this.#identities.find((one) => one.key === key);
    if (!identity) throw new TypeError('Cannot sign with a key that was not offered');
    void answer(done, () => identity.sign(data, hash));
  }
}

async function answer(done: SignCallback | undefined, sign: () => Promise<Buffer>): Promise<void> {
  let signature: Buffer;
  try {
    signature = await sign();
  } catch (error) {
    done?.(error as Error);
    return;
  }
  done?.(undefined, signature);
}
