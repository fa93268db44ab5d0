import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ssh2, { type ConnectConfig } from 'ssh2';
import { onTestFinished } from 'vitest';
import { newKeyPair } from '../../../sandbox/machines/host-key.js';
import { startMachine, type Machine, type MachineOptions } from '../../../sandbox/machines/machine.js';

const key = newKeyPair();

/** What a remote command came to. */
export interface Answer {
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly out: string;
  readonly err: string;
}

/** A machine that lives as long as a test, with the words that tests use. */
export interface BenchMachine extends Machine {
  /** Runs a command through a connection of its own. */
  run(command: string, input?: Buffer): Promise<Answer>;
  connect(changes?: ConnectConfig): Promise<ssh2.Client>;
  /** Writes a file below the machine's directory and returns its path. */
  write(path: string, text: string, mode?: number): string;
  /** Writes `[Service]` settings as a unit that `systemctl enable` can enable. */
  unit(name: string, ...settings: readonly string[]): void;
  /** Some properties of a unit, as `systemctl show` prints them. */
  show(unit: string, ...properties: readonly string[]): Promise<Readonly<Record<string, string>>>;
}

export async function aMachine(options: Partial<MachineOptions> = {}): Promise<BenchMachine> {
  const directory = options.directory ?? aDirectory();
  const machine = await startMachine({
    name: 'green-1',
    directory,
    authorizedKeys: [key.public],
    ...options,
  });
  onTestFinished(() => machine.close());

  const connect = (changes: ConnectConfig = {}) => connected(machine, changes);
  const run = async (command: string, input?: Buffer): Promise<Answer> => {
    const client = await connect();
    try {
      return await execute(client, command, input);
    } finally {
      client.end();
    }
  };
  const write = (path: string, text: string, mode = 0o644): string => {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { mode });
    return file;
  };
  return {
    ...machine,
    run,
    connect,
    write,
    unit: (name, ...settings) =>
      write(
        `etc/systemd/system/${name}`,
        ['[Service]', ...settings, '[Install]', 'WantedBy=multi-user.target', ''].join('\n'),
      ),
    async show(unit, ...properties) {
      const { out } = await run(`systemctl show ${unit} -p ${properties.join(',')}`);
      return Object.fromEntries(
        out
          .trimEnd()
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
    },
  };
}

/** A directory that lives as long as the test. */
export function aDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'machine-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function connected(machine: Machine, changes: ConnectConfig = {}): Promise<ssh2.Client> {
  const client = new ssh2.Client().setMaxListeners(0);
  return new Promise((resolve, reject) => {
    client.once('ready', () => resolve(client));
    client.on('error', reject);
    client.connect({
      host: machine.host,
      port: machine.sshPort,
      username: 'deploy',
      privateKey: key.private,
      readyTimeout: 20_000,
      ...changes,
    });
    onTestFinished(() => {
      client.end();
    });
  });
}

export const execute = (client: ssh2.Client, command: string, input?: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    client.once('close', () => reject(new Error('connection lost')));
    client.exec(command, (error, channel) => {
      if (error !== undefined) {
        reject(error);
        return;
      }
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      let end: Pick<Answer, 'status' | 'signal'> = { status: undefined, signal: undefined };
      channel.on('data', (data: Buffer) => out.push(data));
      channel.stderr.on('data', (data: Buffer) => err.push(data));
      channel.on('exit', (status: number | null, signal?: string) => {
        end = { status: status ?? undefined, signal };
      });
      channel.on('close', () =>
        resolve({ ...end, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }),
      );
      channel.end(input);
    });
  });

/** Builds a C program into the machine's directory and returns its path. */
export function compiled(machine: BenchMachine, path: string, source: string): string {
  const program = join(machine.directory, path);
  execFileSync('cc', ['-O1', '-o', program, machine.write(`${path}.c`, source)]);
  return program;
}

/** Whether a process of that number exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    return execFileSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' }).trim()[0] !== 'Z';
  } catch {
    return false;
  }
}
