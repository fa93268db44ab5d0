import { execa } from 'execa';
import type { Server } from '../../../domain/service.js';

/** How an administrator's own SSH reaches servers. What is not said here, their `~/.ssh/config` says. */
export interface AdministratorOptions {
  readonly login?: string;
  readonly identity?: string;
  readonly sshConfig?: string;
}

export interface Answer {
  readonly lines: readonly string[];
  /** What was printed beside the answer, by SSH or by the machine. */
  readonly stray: string;
}

const atMostMs = 600_000;

/**
 * Runs a script on a server as root. It is OpenSSH that connects, so that agents, jump hosts, hardware keys and known
 * hosts work as they always do; what it has to ask, it asks on the terminal.
 */
export async function asRoot(
  server: Server,
  script: string,
  options: AdministratorOptions,
  interactive: boolean,
): Promise<Answer> {
  const { connection } = server;
  if (connection.driver !== 'ssh') {
    throw new TypeError(`Cannot reach "${server.name}" by SSH: its driver is "${connection.driver}"`);
  }
  const words = [
    '-T',
    ...(interactive ? [] : ['-o', 'BatchMode=yes']),
    ...(options.sshConfig === undefined ? [] : ['-F', options.sshConfig]),
    ...(options.identity === undefined ? [] : ['-i', options.identity]),
    ...(options.login === undefined ? [] : ['-l', options.login]),
    ...(connection.port === 22 ? [] : ['-p', String(connection.port)]),
    '--',
    connection.host,
    rootShell,
  ];
  const { stdout, stderr } = await execa('ssh', words, {
    input: script,
    reject: false,
    timeout: atMostMs,
    stripFinalNewline: true,
  });
  return { lines: stdout === '' ? [] : stdout.split('\n'), stray: stderr };
}

/** The script comes in by its standard input: sudo has to do without a password, as it would have to read one there. */
const rootShell = `sh -c 'if [ "$(id -u)" = 0 ]; then exec sh -s; else exec sudo -n sh -s; fi'`;
