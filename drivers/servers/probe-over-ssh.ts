import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import type { HealthQuestion, Sample } from '../../domain/health.js';

/** sshd forbids tunnels (`AllowTcpForwarding`, `PermitOpen`): the question has to be put in another way. */
export class TunnelForbidden extends Error {
  override readonly name = 'TunnelForbidden';
}

/**
 * Puts one question to a program through the SSH connection, on a connection of its own. Never throws for a bad answer.
 * @throws TunnelForbidden; the signal's reason
 */
export async function probeOverSsh(
  client: Client,
  address: { readonly address: string; readonly port: number },
  question: HealthQuestion,
  signal: AbortSignal,
): Promise<Sample> {
  signal.throwIfAborted();
  const late = AbortSignal.timeout(question.timeoutMs);
  const either = AbortSignal.any([signal, late]);
  try {
    const stream = await tunnel(client, address, either);
    return await ask(stream, address, question, either);
  } catch (error) {
    signal.throwIfAborted();
    if ((error as { readonly reason?: unknown }).reason === forbidden) throw new TunnelForbidden();
    if (late.aborted) return { kind: 'silent', because: `no answer within ${question.timeoutMs} ms` };
    return { kind: 'silent', because: wordsFor(error) };
  }
}

/** A TCP connection that the machine itself makes, so that no port has to be opened. */
function tunnel(
  client: Client,
  { address, port }: { readonly address: string; readonly port: number },
  signal: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    const onLost = () => reject(new Error('the connection to the machine was lost'));
    signal.addEventListener('abort', onAbort, { once: true });
    client.once('close', onLost);
    client.forwardOut('127.0.0.1', 0, address, port, (error, channel) => {
      signal.removeEventListener('abort', onAbort);
      client.removeListener('close', onLost);
      if (error) reject(error);
      else if (signal.aborted) channel.destroy();
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

function ask(
  stream: Duplex,
  { address, port }: { readonly address: string; readonly port: number },
  { path, identityHeader }: HealthQuestion,
  signal: AbortSignal,
): Promise<Sample> {
  const beganAtMs = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        createConnection: () => stream,
        path,
        headers: { host: `${address}:${port}`, connection: 'close', 'user-agent': 'verdigris-probe' },
        signal,
      },
      (response) => {
        const header =
          identityHeader === undefined ? undefined : response.headers[identityHeader.toLowerCase()];
        const identity = Array.isArray(header) ? header[0] : header;
        response.on('error', reject);
        // An answer counts when all of it is there.
        response.on('end', () => {
          stream.destroy();
          const tookMs = performance.now() - beganAtMs;
          const answer = { kind: 'answered', status: response.statusCode ?? 0, tookMs } as const;
          resolve(identity === undefined ? answer : { ...answer, identity });
        });
        response.resume();
      },
    );
    asked.on('error', (error) => {
      stream.destroy();
      reject(error);
    });
    asked.end();
  });
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
