import { beforeAll, expect, test, vi } from 'vitest';
import { SecretName, ServerName, ServiceId } from '../../domain/names.js';
import { Secret } from '../../domain/secret.js';
import type { Service, SshAddress } from '../../domain/service.js';
import { endless } from '../../drivers/patience.js';
import { SshConnections } from '../../drivers/servers/ssh-connection.js';
import { createSshServer } from '../../drivers/servers/ssh.js';
import { startFleet, type Fleet } from './support/fleet.js';
import type { FleetMachine } from './support/machine.js';
import { describeOnFleet } from './support/needs.js';

// The first fleet on a machine makes what all begin with.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

const names = Array.from({ length: 10 }, (_, index) => `green-${index + 1}`);

describeOnFleet('ten machines behind a bastion', () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet({ machines: ['bastion', ...names], diskMegabytes: 64 });
    return () => fleet.stop();
  });

  const addressOf = (machine: FleetMachine): SshAddress => ({
    host: machine.address,
    port: 22,
    user: fleet.user,
    key: { secret: SecretName('ssh-key') },
    hostKeys: [machine.hostKeyFingerprint],
  });

  const logins = async (machine: FleetMachine): Promise<number> =>
    (await machine.sshdLog()).filter((line) => line.includes('Accepted publickey')).length;

  test('are all observed at once through one connection to it, which lets in one at a time', async () => {
    const bastion = fleet.machine('bastion');
    await bastion.exec(
      'echo "MaxStartups 1:100:1" >/etc/ssh/sshd_config.d/crowd.conf && systemctl restart ssh',
    );
    const pool = new SshConnections();
    const observed = names.map((name) =>
      createSshServer({
        server: {
          name: ServerName(name),
          color: 'green',
          address: fleet.machine(name).address,
          port: 8080,
          unit: 'greeter.service',
          directory: '/opt/greeter',
          probe: { address: '127.0.0.1', port: 8080 },
          connection: {
            driver: 'ssh',
            ...addressOf(fleet.machine(name)),
            bastions: [addressOf(bastion)],
            privilege: 'sudo',
          },
        },
        service: {
          id: ServiceId('greeter', 'production'),
          environments: { blue: [], green: [] } as unknown,
        } as Service,
        secrets: { resolve: () => Promise.resolve(new Secret(fleet.privateKey)) },
        agents: { resolve: () => Promise.reject(new Error('nobody has an agent here')) },
        pool,
      }).observe(endless),
    );
    try {
      const states = (await Promise.all(observed)).map(({ unit }) => unit.state);
      expect(states).toEqual(names.map(() => 'not-found'));
    } finally {
      pool.close();
    }
    expect(await logins(bastion)).toBe(1);
    expect(await Promise.all(names.map((name) => logins(fleet.machine(name))))).toEqual(names.map(() => 1));
  });
});
