import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

export interface FleetMachineWiring {
  readonly name: string;
  readonly address: string;
  readonly hostKeyFingerprint: string;
  readonly root: string;
  /** Name of the control group that holds all its processes. */
  readonly group: string;
  /** Runs a program inside the fleet, outside of its machines. */
  readonly inFleet: (program: string, ...words: readonly string[]) => Promise<unknown>;
  /** Starts what runs until the machine is off. */
  readonly start: () => Running;
}

/** What a machine runs in. */
export interface Running {
  /** How it ended, once it did. */
  readonly ended: Promise<string>;
}

export interface CommandOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** How a command on a machine ended. */
export interface Ended {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A Debian machine with systemd and OpenSSH of its own, and all that can befall it. */
export class FleetMachine {
  readonly name: string;
  readonly address: string;
  readonly sshPort = 22;
  /** `SHA256:...`, of its only host key. */
  readonly hostKeyFingerprint: string;
  /** Its whole file system as a path of ours. Absolute links in it lead out of it. */
  readonly root: string;
  readonly #wiring: FleetMachineWiring;
  readonly #group: string;
  #running: Running | undefined;

  constructor(wiring: FleetMachineWiring) {
    this.name = wiring.name;
    this.address = wiring.address;
    this.hostKeyFingerprint = wiring.hostKeyFingerprint;
    this.root = wiring.root;
    this.#wiring = wiring;
    this.#group = join(
      existsSync('/sys/fs/cgroup/unified') ? '/sys/fs/cgroup/unified' : '/sys/fs/cgroup',
      wiring.group,
    );
  }

  // What an administrator does at its console

  /** Runs a line of shell as root, without SSH and network. Throws when it fails. */
  async exec(command: string, options: CommandOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.try(command, options);
    if (exitCode === 0) return stdout;
    throw new Error(
      `Cannot run "${command}" on "${this.name}": it ended with ${exitCode}\n${stderr}${stdout}`,
    );
  }

  /** As `exec`, and tells how it ended. */
  async try(command: string, { input = '', timeoutMs = 60_000 }: CommandOptions = {}): Promise<Ended> {
    const inside = ['--target', await this.#firstProcess(), '--mount', '--uts', '--ipc', '--net', '--pid'];
    const { exitCode, stdout, stderr } = await execa('nsenter', [...inside, '--', 'sh', '-c', command], {
      input,
      timeout: timeoutMs,
      reject: false,
      extendEnv: false,
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
    });
    return { exitCode, stdout, stderr };
  }

  /** Also while the machine is off. */
  readFile(path: string): Promise<string> {
    return readFile(join(this.root, path), 'utf8');
  }

  async writeFile(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    await writeFile(join(this.root, path), content, { mode });
  }

  /** Harmless where there is none. */
  async removeFile(path: string): Promise<void> {
    await rm(join(this.root, path), { force: true });
  }

  /** What sshd wrote since the machine was switched on: one line per session and command. */
  async sshdLog(): Promise<readonly string[]> {
    return (await this.exec('journalctl -t sshd -o cat --no-pager')).split('\n');
  }

  /** What systemd and the program of a unit wrote since the machine was switched on. */
  async journalOf(unit: string): Promise<readonly string[]> {
    return (await this.exec(`journalctl -u ${unit} -o cat --no-pager`)).split('\n');
  }

  // What befalls it

  /** Stops every process where it is: connections stay open, and nobody answers. */
  async freeze(): Promise<void> {
    await writeFile(join(this.#group, 'cgroup.freeze'), '1');
    await until(async () => (await this.#groupEvents()).includes('frozen 1'), `"${this.name}" is frozen`);
  }

  async thaw(): Promise<void> {
    await writeFile(join(this.#group, 'cgroup.freeze'), '0');
  }

  /** Pulls the cable: nothing arrives any more, and nobody is told. */
  async cutNetwork(): Promise<void> {
    await this.#wiring.inFleet('ip', 'link', 'set', `to-${this.name}`, 'down');
  }

  async mendNetwork(): Promise<void> {
    await this.#wiring.inFleet('ip', 'link', 'set', `to-${this.name}`, 'up');
  }

  /** What the machine is sent comes as `tc netem` says, for example `delay 100ms` or `rate 1mbit`. */
  async disturbNetwork(netem: string): Promise<void> {
    const words = ['qdisc', 'replace', 'dev', `to-${this.name}`, 'root', 'netem', ...netem.split(' ')];
    await this.#wiring.inFleet('tc', ...words);
  }

  /** An orderly reboot; comes back when people can log in again. */
  async reboot(): Promise<void> {
    const before = await this.#firstProcess();
    // The machine may be gone before it has answered.
    await this.try('systemctl reboot');
    await until(
      async () => (await this.#firstProcess().catch(() => before)) !== before,
      `"${this.name}" reboots`,
    );
    await this.#untilUp();
  }

  /** As a power cut: nothing is finished, nothing is said. What was written is kept. */
  async cutPower(): Promise<void> {
    await writeFile(join(this.#group, 'cgroup.kill'), '1');
    await this.#running?.ended;
    this.#running = undefined;
    await writeFile(join(this.#group, 'cgroup.freeze'), '0');
  }

  /** Comes back when people can log in. */
  async powerOn(): Promise<void> {
    this.#running = this.#wiring.start();
    const off = this.#running.ended.then((how): never => {
      throw new Error(`Cannot switch "${this.name}" on: ${how}`);
    });
    // Once it is up, its end is nobody's failure.
    off.catch(() => undefined);
    await Promise.race([this.#untilUp(), off]);
  }

  /** Fills its disk but for this much. */
  async fillDisk(leaveKilobytes = 0): Promise<void> {
    await this.exec(
      `free=$(df -Pk / | awk 'NR == 2 { print $4 }'); fallocate -l $((free - ${leaveKilobytes}))K /filling`,
    );
  }

  async freeDisk(): Promise<void> {
    await this.exec('rm -f /filling');
  }

  /** A directory with all that is in it, as after an error of the disk below it. */
  async makeReadOnly(directory: string): Promise<void> {
    await this.exec(`mount --bind ${directory} ${directory} && mount -o remount,bind,ro ${directory}`);
  }

  async makeWritable(directory: string): Promise<void> {
    await this.exec(`umount ${directory}`);
  }

  /** For systemd, journald, sshd and every program that starts from now on. */
  async setClockOff(seconds: number): Promise<void> {
    if (!existsSync(join(this.root, 'usr/lib/clock.so'))) await this.#addClock();
    await this.writeFile('etc/clock-offset', `${seconds}\n`);
    await this.writeFile('etc/ld.so.preload', '/usr/lib/clock.so\n');
    await this.exec('systemctl daemon-reexec && systemctl restart systemd-journald ssh');
  }

  async #addClock(): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'verdigris-clock-'));
    try {
      const library = join(folder, 'clock.so');
      const source = fileURLToPath(new URL('clock.c', import.meta.url));
      await execa('cc', ['-shared', '-fPIC', '-O1', '-o', library, source]);
      await copyFile(library, join(this.root, 'usr/lib/clock.so'));
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  async #untilUp(): Promise<void> {
    await until(() => answersSsh(this.address), `"${this.name}" answers on port 22`);
    // Before that, logins are refused.
    await this.try('systemctl is-system-running --wait');
  }

  /** The process id, here, of the systemd of the machine. */
  async #firstProcess(): Promise<string> {
    const pids = await readFile(join(this.#group, 'payload/init.scope/cgroup.procs'), 'utf8').catch(() => '');
    const pid = pids.split('\n')[0];
    if (!pid) throw new Error(`Cannot run anything on "${this.name}": it is off`);
    return pid;
  }

  async #groupEvents(): Promise<readonly string[]> {
    return (await readFile(join(this.#group, 'cgroup.events'), 'utf8')).split('\n');
  }
}

/** Whether sshd greets. */
const answersSsh = (host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port: 22, timeout: 1_000 });
    const settle = (answers: boolean) => {
      socket.destroy();
      resolve(answers);
    };
    socket.once('data', () => settle(true));
    for (const event of ['error', 'timeout', 'close']) socket.once(event, () => settle(false));
  });

async function until(test: () => Promise<boolean>, what: string, patienceMs = 60_000): Promise<void> {
  const deadlineAtMs = Date.now() + patienceMs;
  while (!(await test())) {
    if (Date.now() > deadlineAtMs) throw new Error(`Waited ${patienceMs / 1000} s in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
