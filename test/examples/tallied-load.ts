import { RawConnection, request } from './raw-http.js';

export interface Tally {
  answered: number;
  /** Answered after `mark` was called. */
  answeredAfterMark: number;
  /** Connections that ended properly before the first byte of a request that was sent on them. */
  readonly failures: string[];
}

/**
 * Clients that send until the server no longer takes connections. Only what was asked on an established
 * connection counts as failed: a refused connection is for the load balancer to try elsewhere.
 */
export class TalliedLoad {
  readonly tally: Tally = { answered: 0, answeredAfterMark: 0, failures: [] };
  #marked = false;

  mark(): void {
    this.#marked = true;
  }

  /** A new connection for each request. */
  async newConnections(port: number): Promise<void> {
    for (let connection; (connection = await established(port));) {
      await this.ask(connection, 'new connection', request('GET', '/', 'Connection: close'));
      connection.destroy();
    }
  }

  /** One connection for as long as the server keeps it, with a pause between requests. */
  async keptAlive(port: number, pauseMs: number): Promise<void> {
    for (let connection; (connection = await established(port));) {
      let stays = true;
      while (stays) {
        stays = await this.ask(connection, `kept alive, ${pauseMs} ms`, request('GET', '/'));
        if (stays) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
      connection.destroy();
    }
  }

  /** One request, until it is answered. True: the connection stays. */
  async ask(connection: RawConnection, what: string, text: string): Promise<boolean> {
    connection.write(text);
    try {
      const { headers, status } = await connection.response();
      if (status !== 200) this.tally.failures.push(`${what}: HTTP ${status}`);
      this.tally.answered++;
      if (this.#marked) this.tally.answeredAfterMark++;
      return headers['connection'] !== 'close';
    } catch (error) {
      this.tally.failures.push(`${what}: ${String(error)}`);
      return false;
    }
  }
}

/** Undefined: nothing listens any more. */
const established = (port: number): Promise<RawConnection | undefined> =>
  RawConnection.open(port).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNREFUSED') return undefined;
    throw error;
  });
