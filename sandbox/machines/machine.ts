import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FaultState, type Faults } from './faults.js';
import { hostKey } from './host-key.js';
import { Init } from './init.js';
import { endOrphans } from './session.js';
import { SshServer, type LogEntry } from './ssh-server.js';
import { serveStandIns } from './stand-ins.js';

export interface MachineOptions {
  readonly name: string;
  /** This machine's own folder on the host, made where it is missing. What is in it survives the machine. */
  readonly directory: string;
  /** Who may log in: public keys in OpenSSH's format. */
  readonly authorizedKeys: readonly string[];
  /** Of SSH, on 127.0.0.1; any free one when left out. */
  readonly port?: number;
  /** The only user who may log in; anybody when left out. */
  readonly user?: string;
}

/**
 * What looks to an SSH client like a small Debian server, without root and without containers: real commands in a real
 * shell, a stand-in for systemd, real programs. There is no chroot: paths that are used there lie inside `directory`
 * (`<directory>/srv/greeter`), and network, processes and `/proc` are the host's.
 */
export interface Machine {
  readonly name: string;
  readonly host: '127.0.0.1';
  readonly sshPort: number;
  /** `SHA256:...` */
  readonly hostKeyFingerprint: string;
  readonly directory: string;
  /** Where unit files go; commands find it as `VERDIGRIS_UNIT_DIRECTORY`. */
  readonly unitDirectory: string;
  /** What commands find in their environment, besides what follows from the login. */
  readonly environment: Readonly<Record<string, string>>;
  readonly faults: Faults;
  readonly init: Init;
  /** Logins and commands since the machine was started, oldest first; the last 10,000 of them. */
  log(): readonly LogEntry[];
  /** Power off and on: connections are cut, programs are killed, enabled units are started again. */
  reboot(): Promise<void>;
  /** Ends everything that it started, and leaves its folder. */
  close(): Promise<void>;
}

/**
 * Makes a machine out of a folder: ends what a machine of that folder left behind that was killed, starts the units that are enabled in it, and lets SSH clients in.
 */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const directory = resolve(options.directory);
  const unitDirectory = join(directory, 'etc/systemd/system');
  const home = join(directory, 'home');
  const binDirectory = join(directory, 'usr/bin');
  await Promise.all([unitDirectory, home].map((folder) => mkdir(folder, { recursive: true })));

  await endOrphans(unitDirectory);
  const key = await hostKey(directory);
  const init = new Init(unitDirectory);
  const faults = new FaultState(async (listening) => {
    if (listening) await ssh.listen();
    else ssh.stopListening();
  });
  const environment = {
    PATH: `${binDirectory}:${process.env['PATH'] ?? '/usr/bin:/bin'}`,
    HOME: home,
    SHELL: '/bin/sh',
    VERDIGRIS_UNIT_DIRECTORY: unitDirectory,
  };
  const ssh = new SshServer({
    hostKey: key,
    authorizedKeys: options.authorizedKeys,
    user: options.user,
    home,
    owner: unitDirectory,
    environment,
    faults,
  });
  const standIns = await serveStandIns(init, binDirectory, join(directory, 'usr/lib'));

  const stop = async (): Promise<void> => {
    faults.spareConnections();
    await Promise.all([ssh.close(), init.shutDown()]);
    await standIns.close();
  };
  try {
    await init.boot();
    await ssh.listen(options.port ?? 0);
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    name: options.name,
    host: '127.0.0.1',
    sshPort: ssh.port,
    hostKeyFingerprint: key.fingerprint,
    directory,
    unitDirectory,
    environment,
    faults,
    init,
    log: () => ssh.log,
    async reboot() {
      await Promise.all([ssh.cutEverything(), init.powerOff()]);
      await init.boot();
    },
    close: stop,
  };
}
