import type { Writable } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import type { SessionChannels } from './ssh-channels.js';

/** The link was lost while somebody used it. What was asked for may have happened. */
export class LinkLost extends Error {
  override readonly name = 'LinkLost';
  /** The command had not begun. */
  readonly early: boolean;

  constructor(message: string, early = false) {
    super(message);
    this.early = early;
  }
}

/**
 * What `work` comes to, or why nobody waits for it any more: a channel of a link that is silent or lost may never say so. `early`
 * tells that nothing has begun yet.
 * @throws LinkLost; the signal's reason; whatever `work` rejects with
 */
export function untilLost<Result>(
  client: Client,
  over: AbortSignal,
  { early }: Pick<LinkLost, 'early'>,
  work: (resolve: (result: Result) => void, reject: (error: unknown) => void) => void,
): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    const settle = (act: () => void) => {
      over.removeEventListener('abort', onOver);
      client.removeListener('close', onLost);
      act();
    };
    const onOver = () => settle(() => reject(over.reason as Error));
    const onLost = () => settle(() => reject(new LinkLost('the connection was lost', early)));
    if (over.aborted) return onOver();
    over.addEventListener('abort', onOver);
    client.once('close', onLost);
    try {
      work(
        (result) => settle(() => resolve(result)),
        (error) => settle(() => reject(error as Error)),
      );
    } catch (error) {
      settle(() => reject(new LinkLost(`nothing could be asked for: ${(error as Error).message}`, early)));
    }
  });
}

export interface Execution {
  readonly signal: AbortSignal;
  /** The command is given up after this long. */
  readonly deadlineMs: number | undefined;
  /** Each line of its output; its standard input may be written to. */
  readonly onLine: (line: string, stdin: Writable) => void;
  /** It runs until somebody ends it: others do not wait for its channel. */
  readonly lasting?: boolean;
}

export interface Exit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** The beginning of what it wrote to standard error. */
  readonly stderr: string;
}

/**
 * Runs one command and hands over its output line by line.
 * @throws LinkLost when the connection or the deadline ended first; ChannelsTaken; the signal's reason; whatever `onLine` throws
 */
export async function execute(
  client: Client,
  channels: SessionChannels,
  line: string,
  { signal, deadlineMs, onLine, lasting = false }: Execution,
): Promise<Exit> {
  signal.throwIfAborted();
  const channel = await channels.open(line, signal, lasting);
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const settle = (act: () => void) => {
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      client.removeListener('close', onLost);
      act();
    };
    const giveUp = (error: unknown) =>
      settle(() => {
        channel.close();
        reject(error as Error);
      });
    const onAbort = () => giveUp(signal.reason);
    const onLost = () => giveUp(new LinkLost('the connection was lost'));
    listen(channel, {
      onLine: (text) => {
        // What still comes belongs to nobody any more.
        if (isOver) return;
        try {
          onLine(text, channel);
        } catch (thrown) {
          giveUp(thrown);
        }
      },
      onError: giveUp,
      onEnd: (exit) => (exit ? settle(() => resolve(exit)) : onLost()),
    });
    // Not before somebody reads the channel: unread it never ends.
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    client.once('close', onLost);
    if (deadlineMs !== undefined) {
      const late = () => giveUp(new LinkLost(`no answer came within ${Math.round(deadlineMs / 1000)} s`));
      timer = setTimeout(late, deadlineMs);
    }
  });
}

function listen(
  channel: ClientChannel,
  on: {
    readonly onLine: (line: string) => void;
    readonly onError: (error: unknown) => void;
    readonly onEnd: (exit: Exit | undefined) => void;
  },
): void {
  let stderr = '';
  channel.stderr
    .setEncoding('utf8')
    .on('data', (chunk: string) => (stderr = (stderr + chunk).slice(0, 8192)));
  const splitter = new LineSplitter(on.onLine);
  channel.setEncoding('utf8').on('data', (chunk: string) => splitter.take(chunk));
  channel.on('error', on.onError);
  // Not at 'exit': of a quick command all may have come in one piece, and that event before anybody could listen for it.
  channel.on('close', (code: number | null | undefined, killedBy?: string) => {
    splitter.end();
    on.onEnd(code === undefined ? undefined : { code: code ?? undefined, signal: killedBy, stderr });
  });
}

class LineSplitter {
  readonly #onLine: (line: string) => void;
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  take(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#onLine(line);
  }

  end(): void {
    if (this.#rest !== '') this.#onLine(this.#rest);
    this.#rest = '';
  }
}
