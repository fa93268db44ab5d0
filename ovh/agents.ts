import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createSecureContext, rootCertificates } from 'node:tls';

/**
 * The connections of one client. A kept connection that the server closes meanwhile would make a write ambiguous, so
 * only reads keep theirs.
 */
export class Agents {
  readonly reads: https.Agent;
  readonly writes: https.Agent;

  /** `caFile` names a file of PEM certificates that are trusted beside the public ones, by this client only. */
  constructor(caFile?: string) {
    // One context for all connections: making one from a list reads every root certificate again.
    const trust =
      caFile === undefined
        ? {}
        : {
            secureContext: createSecureContext({
              ca: [...rootCertificates, readFileSync(caFile, 'utf8')],
            }),
          };
    this.reads = new https.Agent({ ...trust, keepAlive: true, maxSockets: 8, timeout: 4_000 });
    this.writes = new https.Agent({ ...trust, keepAlive: false });
  }

  close(): void {
    this.reads.destroy();
    this.writes.destroy();
  }
}

/**
 * Runs `call` with `agent` as the process-wide agent. The npm package `ovh` takes no agent and starts its request
 * before it returns, so nobody else sees the exchange.
 */
export function through<Result>(agent: https.Agent, call: () => Result): Result {
  const shared = https.globalAgent;
  https.globalAgent = agent;
  try {
    return call();
  } finally {
    https.globalAgent = shared;
  }
}
