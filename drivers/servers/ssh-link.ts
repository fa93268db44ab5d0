import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import type { HealthQuestion, Sample } from '../../domain/health.js';
import type { Server } from '../../domain/service.js';
import { ProbeCommand } from './probe-on-server.js';
import { probeOverSsh, TunnelForbidden } from './probe-over-ssh.js';
import { SessionChannels } from './ssh-channels.js';
import { execute, type Execution, type Exit } from './ssh-command.js';

/** One connection to a machine, as those use it who have something done there. */
export class SshLink {
  readonly client: Client;
  readonly #stream: Duplex | undefined;
  readonly #channels: SessionChannels;
  #probing: 'through tunnels' | ProbeCommand = 'through tunnels';

  constructor(client: Client, stream?: Duplex) {
    this.client = client;
    this.#stream = stream;
    // Each that waits for something here listens for the end of the connection.
    client.setMaxListeners(0);
    this.#channels = new SessionChannels(client);
  }

  /** Says goodbye, and does not wait: a machine that is frozen never answers, and its socket would stay open. */
  close(): void {
    this.client.end();
    this.#stream?.destroy();
  }

  execute(line: string, execution: Execution): Promise<Exit> {
    return execute(this.client, this.#channels, line, execution);
  }

  /** Through a tunnel; where sshd forbids these, by a command that stays. */
  async probe(address: Server['probe'], question: HealthQuestion, signal: AbortSignal): Promise<Sample> {
    if (this.#probing === 'through tunnels') {
      try {
        return await probeOverSsh(this.client, address, question, signal);
      } catch (error) {
        if (!(error instanceof TunnelForbidden)) throw error;
        this.#probing = new ProbeCommand((line, execution) => this.execute(line, execution));
      }
    }
    return this.#probing.ask(address, question, signal);
  }

  /** A connection that this machine makes to another. */
  forward(host: string, port: number): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const onLost = () => reject(new Error('its own connection was lost'));
      this.client.once('close', onLost);
      const settle = (act: () => void) => {
        this.client.removeListener('close', onLost);
        act();
      };
      try {
        this.client.forwardOut('127.0.0.1', 0, host, port, (error, channel) =>
          settle(() => (error ? reject(error) : resolve(channel))),
        );
      } catch (error) {
        settle(() => reject(error as Error));
      }
    });
  }
}
