import { connect } from 'node:net';
import { Reader, withLength } from './ssh-certificate.js';

/**
 * An SSH agent on the worker's machine, by its socket. ssh2 has a client for agents too, which drops the certificates that
 * an agent holds and waits for ever for one that says nothing.
 */
export interface AgentKey {
  readonly blob: Buffer;
  readonly comment: string;
}

/** Why an agent could not be asked. Says nothing but facts. */
export class AgentTrouble extends Error {
  override readonly name = 'AgentTrouble';
}

/** Signing may wait for somebody who confirms it. */
const answerWithinMs = 20_000;

// Numbers of draft-ietf-sshm-ssh-agent.
const requestIdentities = 11;
const identitiesAnswer = 12;
const signRequest = 13;
const signResponse = 14;
const rsaFlags = { sha256: 2, sha512: 4 } as const;

/** @throws AgentTrouble */
export async function keysOfAgent(socket: string): Promise<readonly AgentKey[]> {
  const answer = await ask(socket, Buffer.from([requestIdentities]), identitiesAnswer);
  if (answer === undefined) throw new AgentTrouble('does not list its keys');
  const reader = new Reader(answer);
  return Array.from({ length: reader.uint32() }, () => ({ blob: reader.bytes(), comment: reader.text() }));
}

/** The bare signature, without the name of its algorithm. @throws AgentTrouble */
export async function signByAgent(
  socket: string,
  blob: Buffer,
  data: Buffer,
  hash: string | undefined,
): Promise<Buffer> {
  const flags = Buffer.alloc(4);
  flags.writeUInt32BE(hash === 'sha256' || hash === 'sha512' ? rsaFlags[hash] : 0);
  const request = Buffer.concat([Buffer.from([signRequest]), withLength(blob), withLength(data), flags]);
  const answer = await ask(socket, request, signResponse);
  if (answer === undefined)
    throw new AgentTrouble(
      'refuses to sign with it: it may be locked, or wait for a confirmation that nobody gave',
    );
  const signature = new Reader(new Reader(answer).bytes());
  signature.bytes(); // the algorithm
  return Buffer.from(signature.bytes());
}

/** @returns `undefined` where the agent refuses */
function ask(socket: string, request: Buffer, expected: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    const fail = (why: string) => {
      connection.destroy();
      reject(new AgentTrouble(why));
    };
    const timer = setTimeout(() => fail(`says nothing for ${answerWithinMs / 1000} s`), answerWithinMs);
    connection.once('close', () => clearTimeout(timer));
    connection.on('error', ({ code }: NodeJS.ErrnoException) =>
      fail(`is not there (${code ?? 'unknown reason'})`),
    );
    connection.on('end', () => fail('hangs up without an answer'));
    let seen = Buffer.alloc(0);
    connection.on('data', (chunk) => {
      seen = Buffer.concat([seen, chunk]);
      if (seen.length < 5 || seen.length < 4 + seen.readUInt32BE(0)) return;
      connection.destroy();
      resolve(seen[4] === expected ? seen.subarray(5) : undefined);
    });
    connection.write(withLength(request));
  });
}
