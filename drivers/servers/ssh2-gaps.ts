import type { Client, ParsedKey } from 'ssh2';
import { isCertificateType, Reader, suffix, withLength } from './ssh-certificate.js';

/**
 * What ssh2 1.17 lacks and people's servers need, added to one connection's own objects. They are private: the version is
 * pinned, and another one is refused instead of half used.
 */
export interface Hearing {
  /** Everything that comes before the machine has said who it is. */
  readonly onGreeting: (text: string) => void;
  /** The machine has said who it is. */
  readonly onIdentification: () => void;
  /** Algorithms of signatures that it says it accepts. */
  readonly onAlgorithms: (names: readonly string[]) => void;
  /** Ways to log in that are left; `partial` where the last one was good and not enough. */
  readonly onRefusal: (left: readonly string[], partial: boolean) => void;
}

interface Protocol {
  parse(data: Buffer, from: number, length: number): void;
  authPK(user: string, key: ParsedKey, algorithm?: string, sign?: Sign): void;
  readonly _packetRW: { readonly write: PacketWriter };
  readonly _handlers: Record<string, (protocol: unknown, ...facts: readonly unknown[]) => void>;
}

type Sign = (data: Buffer, done: (signature: Buffer) => void) => void;

interface PacketWriter {
  readonly allocStart: number;
  alloc(payloadSize: number): Buffer;
  finalize(packet: Buffer, force?: boolean): Buffer;
}

/** To be called once, right after `connect`. */
export function closeGaps(client: Client, hearing: Hearing): void {
  const protocol = protocolOf(client);
  gatherIdentification(protocol, hearing);
  listen(protocol, hearing);
  allowCertificates(protocol);
}

function protocolOf(client: Client): Protocol {
  const { _protocol: protocol } = client as unknown as { readonly _protocol?: Partial<Protocol> };
  const isKnown =
    typeof protocol?.parse === 'function' &&
    typeof protocol.authPK === 'function' &&
    typeof protocol._packetRW?.write.finalize === 'function' &&
    typeof protocol._handlers?.['USERAUTH_FAILURE'] === 'function' &&
    typeof protocol._handlers['EXT_INFO'] === 'function';
  if (!isKnown)
    throw new TypeError('Cannot use this version of ssh2: needs 1.17, which its gaps are known of');
  return protocol as Protocol;
}

/** ssh2 loses what came in between when the identification comes in more than two pieces. */
function gatherIdentification(protocol: Protocol, { onGreeting, onIdentification }: Hearing): void {
  const mostBytes = 65_536;
  const parse = protocol.parse.bind(protocol);
  let held = Buffer.alloc(0);
  protocol.parse = (data, from, length) => {
    held = Buffer.concat([held, data.subarray(from, length)]);
    const start = /(^|\n)SSH-[^\n]*\n/.exec(held.toString('latin1'));
    if (!start && held.length < mostBytes) {
      onGreeting(held.toString('latin1'));
      return;
    }
    delete (protocol as Partial<Protocol>).parse;
    if (start) onIdentification();
    const rest = held.subarray(start ? start.index + (start[1] ?? '').length : 0);
    parse(rest, 0, rest.length);
  };
}

function listen({ _handlers: handlers }: Protocol, { onAlgorithms, onRefusal }: Hearing): void {
  const before = (name: string, hear: (...facts: readonly unknown[]) => void) => {
    const original = handlers[name]!;
    handlers[name] = (protocol, ...facts) => {
      hear(...facts);
      original(protocol, ...facts);
    };
  };
  before('EXT_INFO', (extensions) => {
    const all = extensions as readonly { readonly name: string; readonly algs: readonly string[] }[];
    const algorithms = all.find(({ name }) => name === 'server-sig-algs');
    if (algorithms) onAlgorithms(algorithms.algs);
  });
  before('USERAUTH_FAILURE', (left, partial) => onRefusal(left as readonly string[], partial === true));
}

/** A signature is named by its own algorithm: ssh2 gives it the name of the key's, which for a certificate is another. */
function allowCertificates(protocol: Protocol): void {
  const authPK = protocol.authPK.bind(protocol);
  protocol.authPK = (user, key, algorithm, sign) => {
    if (!isCertificateType(key.type) || sign === undefined) {
      authPK(user, key, algorithm, sign);
      return;
    }
    authPK(user, key, algorithm, (data, done) =>
      sign(data, (signature) => {
        // `done` writes the packet at once. The writer is not the one of the handshake any more.
        const writer = protocol._packetRW.write;
        const finalize = writer.finalize.bind(writer);
        writer.finalize = (packet, force) => finalize(renamed(packet, writer), force);
        try {
          done(signature);
        } finally {
          delete (writer as Partial<PacketWriter>).finalize;
        }
      }),
    );
  };
}

/** The same request with the signature named by its own algorithm: `ssh-ed25519`, not `ssh-ed25519-cert-...`. */
function renamed(packet: Buffer, writer: PacketWriter): Buffer {
  const reader = new Reader(packet.subarray(writer.allocStart));
  reader.skip(1); // SSH_MSG_USERAUTH_REQUEST
  for (const _ of ['user', 'service', 'method']) reader.bytes();
  reader.skip(1); // TRUE: a signature follows
  const algorithm = reader.text();
  reader.bytes(); // the certificate
  const before = packet.subarray(writer.allocStart, writer.allocStart + reader.position);
  const signature = new Reader(reader.bytes());
  signature.bytes();
  const plain = Buffer.from(algorithm.slice(0, -suffix.length));
  const payload = Buffer.concat([
    before,
    withLength(Buffer.concat([withLength(plain), withLength(signature.bytes())])),
  ]);
  const result = writer.alloc(payload.length);
  payload.copy(result, writer.allocStart);
  return result;
}
