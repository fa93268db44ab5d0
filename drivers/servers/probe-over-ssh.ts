import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import type { HealthQuestion, Sample } from '../../domain/health.js';
import { AttentiveWait } from '../attention.js';
import { LinkLost, untilLost } from './ssh-command.js';

/** sshd forbids tunnels (`AllowTcpForwarding`, `PermitOpen`): the question has to be put in another way. */
export class TunnelForbidden extends Error {
  override readonly name = 'TunnelForbidden';
}

/**
 * Puts one question to a program through the SSH connection, on a connection of its own. Never throws for a bad answer.
 * @throws TunnelForbidden; LinkLost, which says nothing of the program; the signal's reason
 */
export async function probeOverSsh(
  client: Client,
  address: { readonly address: string; readonly port: number },
  question: HealthQuestion,
  signal: AbortSignal,
): Promise<Sample> {
  signal.throwIfAborted();
  const over = new AbortController();
  const wait = new AttentiveWait(question.timeoutMs, () => over.abort());
  const onAbort = () => over.abort();
  signal.addEventListener('abort', onAbort);
  try {
    const stream = await tunnel(client, address, over.signal);
    return await ask(client, stream, address, question, wait, over.signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof LinkLost) throw error;
    if ((error as { readonly reason?: unknown }).reason === forbidden) throw new TunnelForbidden();
    if (over.signal.aborted) return { kind: 'silent', because: `no answer within ${question.timeoutMs} ms` };
    return { kind: 'silent', because: wordsFor(error) };
  } finally {
    wait.end();
    signal.removeEventListener('abort', onAbort);
  }
}

/** A TCP connection that the machine itself makes, so that no port has to be opened. */
function tunnel(
  client: Client,
  { address, port }: { readonly address: string; readonly port: number },
  over: AbortSignal,
): Promise<Duplex> {
  return untilLost(client, over, { early: true }, (resolve, reject) => {
    client.forwardOut('127.0.0.1', 0, address, port, (error, channel) => {
      if (error) reject(error);
      else if (over.aborted) channel.destroy();
      else resolve(asSocket(channel));
    });
  });
}

/** What `node:http` calls on a socket and a channel does not have. */
const asSocket = (channel: Duplex): Duplex =>
  Object.assign(channel, {
    setKeepAlive: () => channel,
    setNoDelay: () => channel,
    setTimeout: () => channel,
    ref: () => channel,
    unref: () => channel,
    destroySoon: () => channel.destroy(),
  });

async function ask(
  client: Client,
  stream: Duplex,
  { address, port }: { readonly address: string; readonly port: number },
  { path, identityHeader }: HealthQuestion,
  wait: AttentiveWait,
  over: AbortSignal,
): Promise<Sample> {
  const beganAtMs = wait.attendedMs;
  try {
    return await untilLost<Sample>(client, over, { early: false }, (resolve, reject) => {
      const asked = request(
        {
          createConnection: () => stream,
          path,
          headers: { host: `${address}:${port}`, connection: 'close', 'user-agent': 'verdigris-probe' },
        },
        (response) => {
          const header =
            identityHeader === undefined ? undefined : response.headers[identityHeader.toLowerCase()];
          const identity = Array.isArray(header) ? header[0] : header;
          response.on('error', reject);
          // An answer counts when all of it is there.
          response.on('end', () => {
            const tookMs = wait.attendedMs - beganAtMs;
            const answer = { kind: 'answered', status: response.statusCode ?? 0, tookMs } as const;
            resolve(identity === undefined ? answer : { ...answer, identity });
          });
          response.resume();
        },
      );
      asked.on('error', reject);
      asked.end();
    });
  } finally {
    stream.destroy();
  }
}

/** Reasons of RFC 4254, 5.1, for a channel that was not opened. */
const forbidden = 1;
const connectFailed = 2;

function wordsFor(error: unknown): string {
  const { message, reason, code } = error as Error & { readonly reason?: number; readonly code?: string };
  if (reason === connectFailed) return 'connection refused';
  if (/socket hang up|aborted|ECONNRESET/i.test(message)) return 'closed without an answer';
  if (code?.startsWith('HPE_')) return 'answered something that is not HTTP';
  return message;
}
