import { Transform } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { ServerChannel } from 'ssh2';
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
    program: '/bin/sh',
    words: ['sh', '-c', command],
    workingDirectory: options.home,
    environment: options.environment,
    stdin: 'pipe',
  });
  wireInput(session, options);
  void report(session, options);
  if (gone.aborted) void endAbandoned(session);
  else gone.addEventListener('abort', () => void endAbandoned(session), { once: true });
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
  const errorsSent = new Promise((resolve) => channel.stderr.once('finish', resolve));
  session.stdout.pipe(channel, { end: false });
  session.stderr.pipe(channel.stderr);

  const [exit] = await Promise.all([session.exited, session.closed, errorsSent]);
  if (gone.aborted) return;
  if (exit.kind === 'exited') channel.exit(exit.status);
  else channel.exit(exit.signal.slice('SIG'.length), false, '');
  channel.end();
}

/** The end of a connection is also how a command ends that went well: then there is nobody left to wait for. */
async function endAbandoned(session: Session): Promise<void> {
  session.stdout.destroy();
  session.stderr.destroy();
  const isOver = await Promise.race([session.exited.then(() => true), delay(aloneMs, false)]);
  if (!isOver) await session.end();
}
