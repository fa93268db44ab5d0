import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { hostKey, newKeyPair } from '../../../sandbox/machines/host-key.js';
import { base, type Land } from './base.js';
import { FleetMachine, type Running } from './machine.js';

export interface FleetOptions {
  /** A name for each, at most twelve letters, digits and dashes. */
  readonly machines: readonly string[];
  readonly diskMegabytes?: number;
  readonly land?: Land;
}

/** Debian machines on a network of their own that this machine can reach. */
export interface Fleet {
  /** With which the names of its control groups begin. */
  readonly name: string;
  readonly machines: readonly FleetMachine[];
  machine(name: string): FleetMachine;
  /** Who may log in everywhere: with this key, and as root by sudo without a password. */
  readonly user: 'deploy';
  /** In OpenSSH's format. */
  readonly privateKey: string;
  /** This machine as the fleet sees it. */
  readonly gateway: string;
  /** Leaves nothing behind. The same happens when this process is killed. */
  stop(): Promise<void>;
}

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Switches all of them on. Several fleets may run at once. */
export async function startFleet({
  machines: names,
  diskMegabytes = 512,
  land,
}: FleetOptions): Promise<Fleet> {
  const bad = names.find((name) => !/^[a-z0-9-]{1,12}$/.test(name));
  if (bad !== undefined) throw new Error(`Cannot name a machine "${bad}": needs 1 to 12 of a-z, 0-9 and -`);
  const below = await base(land);
  const guard = await startGuard();
  const { inFleet } = guard;
  try {
    const network = await plugIn(guard.pid);
    await inFleet('ip', 'link', 'set', 'uplink', 'master', 'bridge', 'up');
    const { private: privateKey, public: publicKey } = newKeyPair();
    const machines = await Promise.all(
      names.map(async (name, index) => {
        const address = `${network}.${10 + index}`;
        const disk = String(diskMegabytes);
        await inFleet('sh', script('machine.sh'), 'make', name, below, `${address}/24`, `${network}.1`, disk);
        const root = `/proc/${guard.pid}/root/run/systemd/fleet/${name}/root`;
        await admit(root, publicKey);
        const { fingerprint } = await hostKey(root);
        const group = `${guard.name}-${name}`;
        const start = () => guard.start(name, group);
        return new FleetMachine({
          name,
          address,
          hostKeyFingerprint: fingerprint,
          root,
          group,
          inFleet,
          start,
        });
      }),
    );
    await Promise.all(machines.map((machine) => machine.powerOn()));
    return {
      name: guard.name,
      machines,
      machine: (name) => {
        const found = machines.find((machine) => machine.name === name);
        if (!found) throw new Error(`no machine "${name}"`);
        return found;
      },
      user: 'deploy',
      privateKey,
      gateway: `${network}.1`,
      stop: () => guard.end(),
    };
  } catch (error) {
    await guard.end();
    throw error;
  }
}

interface Guard {
  readonly name: string;
  /** Of the first process of the fleet's namespaces. */
  readonly pid: number;
  readonly inFleet: (program: string, ...words: readonly string[]) => Promise<unknown>;
  start(machine: string, group: string): Running;
  end(): Promise<void>;
}

async function startGuard(): Promise<Guard> {
  // In a session of its own: a Ctrl-C at our terminal is ours to answer.
  const child = spawn('sh', [script('guard.sh')], { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  const complaints = textOf(child);
  const first = await Promise.race([once(createInterface(child.stdout), 'line'), ended]);
  const [, name, pid] = /^(\S+) (\d+)$/.exec(String(first[0])) ?? [];
  if (name === undefined || pid === undefined)
    throw new Error(`Cannot start a fleet: its namespaces could not be made\n${complaints()}`);
  const inside = ['--target', pid, '--mount', '--net', '--pid', '--'];
  return {
    name,
    pid: Number(pid),
    inFleet: (program, ...words) => execa('nsenter', [...inside, program, ...words]),
    start(machine, group) {
      const words = [...inside, 'sh', script('machine.sh'), 'run', machine, group];
      const running = spawn('nsenter', words, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
      const said = textOf(running);
      return {
        ended: once(running, 'exit').then(([code, signal]) => `it ended with ${code ?? signal}\n${said()}`),
      };
    },
    async end() {
      child.stdin.end();
      const [code] = (await ended) as [number | null];
      if (code !== 0 && code !== 137) throw new Error(`Cannot end a fleet: ${complaints()}`);
    },
  };
}

/** The last that a program said, on both streams. */
function textOf({ stdout, stderr }: ChildProcess): () => string {
  let text = '';
  for (const stream of [stdout, stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => (text = (text + chunk).slice(-4_000)));
  return () => text;
}

/** A cable between this machine and the fleet, on a network that nobody else has: its name is the lock. */
async function plugIn(pid: number): Promise<string> {
  let last: unknown;
  const begin = Math.floor(Math.random() * 256);
  for (let turn = 0; turn < 256; turn += 1) {
    const number = (begin + turn) % 256;
    const cable = `fleet${number}`;
    // From the range that is kept for benchmarks of networks (RFC 2544).
    const network = `198.18.${number}`;
    try {
      const far = ['type', 'veth', 'peer', 'name', 'uplink', 'netns', String(pid)];
      await execa('ip', ['link', 'add', cable, ...far]);
    } catch (error) {
      last = error;
      continue;
    }
    await execa('ip', ['address', 'add', `${network}.1/24`, 'dev', cable]);
    await execa('ip', ['link', 'set', cable, 'up']);
    return network;
  }
  throw new Error('Cannot start a fleet: none of 256 networks is free', { cause: last });
}

async function admit(root: string, publicKey: string): Promise<void> {
  await mkdir(join(root, 'home/deploy/.ssh'), { recursive: true });
  await writeFile(join(root, 'home/deploy/.ssh/authorized_keys'), `${publicKey}\n`);
}
