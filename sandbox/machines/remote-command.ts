import { Transform, type Readable, type Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';
import { within } from './deadline.js';
import type { FaultState } from './faults.js';
import { Session } from './session.js';

/**
 * How long a command may go on after its connection was lost. Its input ends at once, as under OpenSSH: a reader that
 * takes the end of its input for the end of the data should be found out here.
 */
const aloneMs = 1000;

export interface RemoteCommandOptions {
  readonly channel: ServerChannel;
  readonly command: string;
  /** Of the process, as `SessionOptions` means it. */
  readonly owner: string;
  readonly home: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly faults: FaultState;
  /** Aborted when the channel or its connection is closed, be it by whom. */
  readonly gone: AbortSignal;
  /** Cuts the connection that the channel belongs to. */
  readonly cut: () => void;
}

/**
 * Runs one command for an SSH channel: with a real shell, its three streams wired to the channel at full speed.
 * @returns nothing where a fault takes its place.
 */
export async function runRemoteCommand(options: RemoteCommandOptions): Promise<Session | undefined> {
  const { channel, command, faults, gone } = options;
  const failure = faults.failureOf(command);
  if (failure !== undefined) {
    refuse(channel, failure.exitStatus, failure.stderr);
    return undefined;
  }

  const session = await Session.start({
    owner: options.owner,
    program: '/bin/sh',
    words: ['sh', '-c', command],
    workingDirectory: options.home,
    environment: options.environment,
    stdin: 'pipe',
  });
  wireInput(session, options);
  void report(session, options);
  void aborted(gone).then(() => endAbandoned(session));
  return session;
}

/** Ends the channel as a command would that fails at once. */
export function refuse(channel: ServerChannel, exitStatus: number, stderr: string): void {
  channel.stderr.write(stderr);
  channel.resume();
  channel.exit(exitStatus);
  channel.end();
}

/** A command that stops listening does not stop the sender: what still comes is thrown away. */
function wireInput({ stdin }: Session, { channel, faults, cut }: RemoteCommandOptions): void {
  if (stdin === null) return;
  let isOver = false;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const { admitted, isCut } = isOver ? { admitted: 0, isCut: false } : faults.admit(chunk.length);
      if (admitted > 0) this.push(chunk.subarray(0, admitted));
      if (isCut) {
        isOver = true;
        cut();
      }
      done();
    },
  });
  channel.pipe(meter).pipe(stdin);
  stdin.once('error', () => {
    meter.unpipe(stdin);
    meter.resume();
  });
}

/** As sshd does, it waits for whoever else holds the command's output, and tells the exit status last. */
async function report(session: Session, { channel, gone }: RemoteCommandOptions): Promise<void> {
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (target: Writable, data: Buffer): Promise<unknown> =>
    (turn = turn.then(() => sent(target, data)));
  const sent = (target: Writable, data: Buffer): Promise<unknown> => {
    Object.assign(channel, nothingPending);
    return Promise.race([new Promise((resolve) => target.write(data, resolve)), closed]);
  };
  const closed = aborted(gone);

  const [exit] = await Promise.all([
    session.exited,
    forwarded(session.stdout, (data) => inTurn(channel, data)),
    forwarded(session.stderr, (data) => inTurn(channel.stderr, data)),
  ]);
  await turn;
  if (gone.aborted) return;
  if (exit.kind === 'exited') channel.exit(exit.status);
  else channel.exit(exit.signal.slice('SIG'.length), false, '');
  channel.end();
}

/**
 * ssh2 1.17 keeps one place for data that waits for the other end, does not clear it once it was sent, and looks there
 * first: with both outputs waiting it would send one twice and the other never. So they take turns, from a clean slate.
 */
const nothingPending = {
  _chunk: undefined,
  _chunkcb: undefined,
  _chunkErr: undefined,
  _chunkcbErr: undefined,
};

/** Resolves when the stream is over, also when it was broken off. */
const forwarded = (stream: Readable, send: (data: Buffer) => Promise<unknown>): Promise<void> =>
  new Promise((resolve) => {
    stream.on('data', (data: Buffer) => {
      stream.pause();
      void send(data).then(() => stream.resume());
    });
    stream.once('close', resolve);
  });

const aborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', resolve, { once: true });
  });

/** The end of a connection is also how a command ends that went well: then there is nobody left to wait for. */
async function endAbandoned(session: Session): Promise<void> {
  session.stdout.destroy();
  session.stderr.destroy();
  if ((await within(session.exited, aloneMs)) === undefined) await session.end();
}
