import type { Client, ClientChannel } from 'ssh2';
import { Failure } from '../../domain/failures.js';
import { orAborted } from '../patience.js';
import { pause } from './pause.js';
import { LinkLost, untilLost } from './ssh-command.js';

/** Every channel that the machine allows is held by commands that last: waiting for one would take for ever. */
export class ChannelsTaken extends Error {
  override readonly name = 'ChannelsTaken';
}

/** A channel counts at the machine until it has noticed the end: short looks are cheap. */
const lookAgainMs = 100;
const waitAtMostMs = 600_000;
/** Without any of ours open it is not a matter of waiting for one. */
const triesAlone = 20;

/** The commands of one connection. A machine allows some at a time (`MaxSessions`): the others wait for their turn. */
export class SessionChannels {
  readonly #client: Client;
  #short = 0;
  #lasting = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #freed: () => void = () => undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  /** In the order in which they were asked for. @throws ChannelsTaken; LinkLost; Failure `ServerBusy`; the signal's reason */
  open(line: string, signal: AbortSignal, lasting: boolean): Promise<ClientChannel> {
    const before = this.#turn;
    const opened = orAborted(before, signal).then(() => this.#openInTurn(line, signal, lasting));
    // Without what they came to: each would hold on to all before it.
    this.#turn = Promise.allSettled([before, opened]).then(() => undefined);
    return opened;
  }

  async #openInTurn(line: string, signal: AbortSignal, lasting: boolean): Promise<ClientChannel> {
    const beganAt = Date.now();
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        return this.#counted(await opening(this.#client, line, signal), lasting);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        if (this.#short === 0 && this.#lasting > 0 && attempt > 2) throw new ChannelsTaken();
        if (this.#short === 0 && attempt > triesAlone) {
          throw new Failure(
            'ServerBusy',
            'sshd opens no session for a command, needs "MaxSessions" above 0 and a user who may run commands',
            {
              cause: error,
            },
          );
        }
      }
      if (Date.now() - beganAt > waitAtMostMs) {
        throw new Failure(
          'ServerBusy',
          `sshd opens no further session beside the ${this.#short + this.#lasting} that run, needs a higher "MaxSessions"`,
        );
      }
      await Promise.race([
        pause(lookAgainMs, signal),
        new Promise<void>((resolve) => (this.#freed = resolve)),
      ]);
    }
  }

  #counted(channel: ClientChannel, lasting: boolean): ClientChannel {
    if (lasting) this.#lasting += 1;
    else this.#short += 1;
    channel.once('close', () => {
      if (lasting) this.#lasting -= 1;
      else this.#short -= 1;
      this.#freed();
    });
    return channel;
  }
}

/** @throws LinkLost; the signal's reason; ssh2's error with the machine's reason */
const opening = (client: Client, line: string, signal: AbortSignal): Promise<ClientChannel> =>
  untilLost(client, signal, { early: true }, (resolve, reject) => {
    client.exec(line, (error, channel) => {
      if (signal.aborted) channel?.close();
      else if (!error) resolve(channel);
      else
        reject(isRefusal(error) ? error : new LinkLost(`no command could be given: ${error.message}`, true));
    });
  });

/** The machine answered with a reason of RFC 4254, 5.1. */
const isRefusal = (error: unknown): boolean =>
  typeof (error as { readonly reason?: unknown }).reason === 'number';
