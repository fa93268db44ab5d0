import { readFile } from 'node:fs/promises';
import { vi } from 'vitest';
import { ServerName, ServiceId, SecretName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { Server, Service } from '../../../domain/service.js';
import type { ServerDriver } from '../../../drivers/servers/driver.js';
import { setupScript } from '../../../drivers/servers/setup-script.js';
import { SshConnections } from '../../../drivers/servers/ssh-connection.js';
import { createSshServer } from '../../../drivers/servers/ssh.js';
import { digestOf, type Programs } from '../../drivers/servers/programs.js';
import type { ServerWorld } from '../../drivers/servers/server.contract.js';
import type { Fleet } from './fleet.js';

let number = 0;

/** A server of its own on a real machine, set up as an administrator does it, for as long as one test lasts. */
export async function startServerWorld(fleet: Fleet, programs: Programs): Promise<ServerWorld> {
  const [machine] = fleet.machines;
  if (!machine) throw new Error('Cannot have a server: the fleet has no machine');
  number += 1;
  const server = serverOn(fleet, `greeter-${number}`, 8080 + number);
  const { unit, directory, port } = server;
  const wishes = { user: 'greeter', login: 'deploy', dryRun: false, mayTakeDirectory: false };
  const said = await machine.exec('sh -s', { input: setupScript(server, wishes) });
  if (!said.endsWith('ok')) throw new Error(`Cannot set up "${server.name}": ${said}`);

  const pools: SshConnections[] = [];
  const connect = (): ServerDriver => {
    const pool = new SshConnections({ tries: 3 });
    pools.push(pool);
    return driverOf(server, fleet, pool);
  };
  return {
    driver: connect(),
    other: connect(),
    release: (version, behaviour) => programs.release(version, behaviour, unitFile(server)),
    async runForeign() {
      const program = await programs.executable('foreign');
      const input = await readFile(program);
      await machine.exec(`cat >${directory}/greeter && chmod 755 ${directory}/greeter`, { input });
      const lines = ['[Service]', 'Type=exec', `ExecStart=${directory}/greeter ${port}`, 'Restart=always'];
      await machine.writeFile(
        `etc/systemd/system/${unit}`,
        `${lines.join('\n')}\n[Install]\nWantedBy=multi-user.target\n`,
      );
      await machine.exec(`systemctl daemon-reload && systemctl start ${unit}`);
      return digestOf(program);
    },
    async linger() {
      const reader = `linger-${number}`;
      await machine.exec(`systemctl stop ${reader} 2>/dev/null; systemd-run -q --collect -u ${reader} python3 -c '
import socket
s = socket.create_connection(("127.0.0.1", ${port}))
s.sendall(b"GET /stream HTTP/1.1\\r\\n\\r\\n")
while s.recv(4096): pass'`);
      const isOpen = async () =>
        (await machine.exec(`ss -tinH state established '( sport = :${port} )'`)).includes('bytes_sent');
      await vi.waitUntil(isOpen, { timeout: 60_000 });
      let ended: Promise<unknown> = Promise.resolve();
      return { end: () => void (ended = ended.then(() => machine.try(`systemctl stop ${reader}`))) };
    },
    async file(path) {
      const file = `${directory}/current/${path}`;
      const mode = Number.parseInt(await machine.exec(`stat -L -c %a ${file}`), 8);
      const text = await machine.exec(`cat ${file}; echo .`);
      return { text: text.slice(0, -1), private: (mode & 0o077) === 0 };
    },
    shared: async () => (await machine.exec(`ls ${directory}/shared`)).split('\n').sort(),
    limitInodes: () => undefined,
    async reachable(yes) {
      await machine.exec(
        `systemctl ${yes ? 'start' : 'stop'} ssh.socket ssh.service 2>/dev/null || systemctl ${yes ? 'start' : 'stop'} ssh.service`,
      );
      if (!yes) for (const pool of pools) pool.close();
    },
    async close() {
      for (const pool of pools) pool.close();
      await machine.try(`systemctl stop ${unit} linger-${number}; systemctl disable ${unit}
        rm -rf ${directory} /etc/systemd/system/${unit}* /etc/verdigris/${unit}.policy; systemctl daemon-reload; systemctl reset-failed`);
    },
  };
}

const serverOn = ({ machines: [machine] }: Fleet, name: string, port: number): Server => ({
  name: ServerName('green-1'),
  color: 'green',
  address: machine!.address,
  port,
  unit: `${name}.service`,
  directory: `/opt/${name}`,
  probe: { address: '127.0.0.1', port },
  connection: {
    driver: 'ssh',
    host: machine!.address,
    port: machine!.sshPort,
    user: 'deploy',
    key: { secret: SecretName('ssh-key') },
    hostKeys: [machine!.hostKeyFingerprint],
    privilege: 'installed',
  },
});

const driverOf = (server: Server, fleet: Fleet, pool: SshConnections): ServerDriver =>
  createSshServer({
    server,
    service: {
      id: ServiceId('greeter', 'production'),
      environments: { blue: [], green: [server] },
    } as unknown as Service,
    secrets: { resolve: () => Promise.resolve(new Secret(fleet.privateKey)) },
    agents: { resolve: () => Promise.reject(new Error('nobody has an agent here')) },
    pool,
  });

const unitFile = ({ directory, port }: Server): string => `[Unit]
Description=Greeter
[Service]
Type=exec
ExecStart=${directory}/current/bin/greeter ${port}
Restart=on-failure
RestartSec=100ms
TimeoutStopSec=5
[Install]
WantedBy=multi-user.target
`;
