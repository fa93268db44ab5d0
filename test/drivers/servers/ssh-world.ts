import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SecretName, ServerName, ServiceId } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { Server, Service } from '../../../domain/service.js';
import type { ServerDriver } from '../../../drivers/servers/driver.js';
import { SshConnections, type SshPolicy } from '../../../drivers/servers/ssh-connection.js';
import { createSshServer } from '../../../drivers/servers/ssh.js';
import { newKeyPair } from '../../../sandbox/machines/host-key.js';
import { startMachine, type Machine } from '../../../sandbox/machines/machine.js';
import { digestOf, type Programs } from './programs.js';
import type { ServerWorld } from './server.contract.js';

/** A key pair of which the machine knows the public half. */
export interface Keys {
  readonly private: string;
  readonly public: string;
}

export const makeKeys = (): Keys => newKeyPair();

/** One sandbox machine with one server on it, as the SSH driver reaches it. */
export interface SshWorld extends ServerWorld {
  readonly machine: Machine;
  readonly server: Server;
  readonly keys: Keys;
  /** The unit file of a release on this server. */
  readonly unitFile: string;
  /** A driver with connections of its own. */
  connect(
    change?: Partial<Extract<Server['connection'], { driver: 'ssh' }>>,
    how?: Partial<Wiring>,
  ): ServerDriver;
  /** A path below the server's directory. */
  path(...parts: string[]): string;
}

interface Wiring {
  readonly key: string;
  readonly policy: Partial<SshPolicy>;
}

export async function startSshWorld(programs: Programs): Promise<SshWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-machine-'));
  const keys = makeKeys();
  const machine = await startMachine({ name: 'green-1', directory, authorizedKeys: [keys.public] });
  const port = await freePort();
  const server: Server = {
    name: ServerName('green-1'),
    color: 'green',
    address: '127.0.0.1',
    port,
    unit: 'greeter.service',
    directory: join(directory, 'srv/greeter'),
    probe: { address: '127.0.0.1', port },
    connection: {
      driver: 'ssh',
      host: machine.host,
      port: machine.sshPort,
      user: 'deploy',
      key: { secret: SecretName('deploy-key') },
      hostKeys: [machine.hostKeyFingerprint],
      privilege: 'none',
    },
  };
  const pools: SshConnections[] = [];
  const connectTo: SshWorld['connect'] = (change = {}, { key = keys.private, policy = {} } = {}) => {
    const pool = new SshConnections({ connectTimeoutMs: 2000, tries: 3, ...policy });
    pools.push(pool);
    return createSshServer({
      server: { ...server, connection: { ...server.connection, ...change } as Server['connection'] },
      service: {
        id: ServiceId('greeter', 'production'),
        environments: { blue: [], green: [server] },
      } as unknown as Service,
      secrets: { resolve: () => Promise.resolve(new Secret(key)) },
      agents: { resolve: () => Promise.reject(new Error('nobody has an agent here')) },
      pool,
    });
  };
  const unitFile = `[Unit]
Description=Greeter
[Service]
Type=exec
ExecStart=${server.directory}/current/bin/greeter ${port}
Restart=on-failure
RestartSec=100ms
TimeoutStopSec=5
[Install]
WantedBy=multi-user.target
`;
  return {
    machine,
    server,
    keys,
    unitFile,
    connect: connectTo,
    driver: connectTo(),
    other: connectTo(),
    path: (...parts) => join(server.directory, ...parts),
    release: (version, behaviour) => programs.release(version, behaviour, unitFile),
    async runForeign() {
      const program = join(server.directory, 'greeter');
      await mkdir(dirname(program), { recursive: true });
      await copyFile(await programs.executable('foreign'), program);
      await writeFile(
        join(machine.unitDirectory, server.unit),
        `[Service]\nType=exec\nExecStart=${program} ${port}\nRestart=always\n[Install]\nWantedBy=multi-user.target\n`,
      );
      const unit = machine.init.unit(server.unit);
      await unit.start();
      return digestOf(program);
    },
    async linger() {
      const socket = connect(port, '127.0.0.1');
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      // Cut by a stop: that is what a test wants to see.
      socket.on('error', () => undefined).on('data', () => undefined);
      socket.write('GET /stream HTTP/1.1\r\n\r\n');
      return { end: () => void socket.destroy() };
    },
    async file(path) {
      const file = join(server.directory, 'current', path);
      const { mode } = await stat(file);
      return { text: await readFile(file, 'utf8'), private: (mode & 0o077) === 0 };
    },
    shared: async () => (await readdir(join(server.directory, 'shared'))).sort(),
    limitInodes: () => undefined,
    async reachable(yes) {
      await machine.faults.refuseConnections(!yes);
      if (!yes) for (const pool of pools) pool.close();
    },
    async close() {
      for (const pool of pools) pool.close();
      await machine.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A port that nothing listens on now. */
async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => listener.once('listening', resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
