import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { ServerName, ServiceId, SecretName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { Color } from '../../../domain/color.js';
import type { Privilege, Server, Service } from '../../../domain/service.js';
import { SshConnections } from '../../../drivers/servers/ssh-connection.js';
import { createSshServer } from '../../../drivers/servers/ssh.js';
import type { ServerDriver } from '../../../drivers/servers/driver.js';
import { administrate } from './administrator.js';
import { startFleet, type Fleet } from './fleet.js';
import type { FleetMachine } from './machine.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * One machine that carries a blue and a green server, an administrator with a key of their own, and a user that deploys, who
 * may do nothing yet; and the command line beside it.
 */
export class Prepared {
  readonly fleet: Fleet;
  readonly machine: FleetMachine;
  readonly folder: string;
  readonly #pool = new SshConnections({ tries: 3 });

  private constructor(fleet: Fleet, folder: string) {
    this.fleet = fleet;
    this.machine = fleet.machine('one');
    this.folder = folder;
  }

  static async start(): Promise<Prepared> {
    const fleet = await startFleet({ machines: ['one'] });
    const prepared = new Prepared(fleet, await mkdtemp(join(tmpdir(), 'verdigris-prepared-')));
    await administrate(fleet.machines, prepared.folder);
    await prepared.write('deploy', fleet.privateKey, 0o600);
    return prepared;
  }

  async close(): Promise<void> {
    this.#pool.close();
    await this.fleet.stop();
    await rm(this.folder, { recursive: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async write(name: string, text: string, mode = 0o644): Promise<void> {
    await writeFile(this.path(name), text, { mode });
  }

  /** The command line, with the administrator's SSH. */
  verdigris(...words: readonly string[]) {
    const program = [join(root, 'node_modules/tsx/dist/cli.mjs'), join(root, 'client/main.ts')];
    return execa(process.execPath, [...program, ...words], {
      cwd: this.folder,
      reject: false,
      stdin: 'ignore',
      env: { CI: '', NO_COLOR: '1' },
    });
  }

  setUp(...words: readonly string[]) {
    return this.verdigris(
      'server',
      'setup',
      '--login',
      'root',
      '--ssh-config',
      this.path('ssh_config'),
      ...words,
    );
  }

  /** What whoever has the deploying key runs there. */
  asDeploy(command: string, input = '') {
    const words = ['-T', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=accept-new'];
    const known = ['-o', `UserKnownHostsFile=${this.path('known_hosts')}`, '-o', 'IdentitiesOnly=yes'];
    return execa(
      'ssh',
      [...words, ...known, '-i', this.path('deploy'), `deploy@${this.machine.address}`, command],
      { reject: false, input },
    );
  }

  server(color: Color, privilege: Privilege): Server {
    const suffix = color === 'blue' ? '' : '-green';
    const port = color === 'blue' ? 8080 : 8081;
    return {
      name: ServerName(`${color}-1`),
      color,
      address: this.machine.address,
      port,
      unit: `greeter${suffix}.service`,
      directory: `/opt/greeter${suffix}`,
      probe: { address: '127.0.0.1', port },
      connection: {
        driver: 'ssh',
        host: this.machine.address,
        port: 22,
        user: 'deploy',
        key: { secret: SecretName('ssh-key') },
        hostKeys: [this.machine.hostKeyFingerprint],
        privilege,
      },
    };
  }

  driver(color: Color, privilege: Privilege = 'installed'): ServerDriver {
    return createSshServer({
      server: this.server(color, privilege),
      service: {
        id: ServiceId('greeter', 'production'),
        environments: {
          blue: [this.server('blue', privilege)],
          green: [this.server('green', privilege)],
        },
      } as unknown as Service,
      secrets: { resolve: () => Promise.resolve(new Secret(this.fleet.privateKey)) },
      agents: { resolve: () => Promise.reject(new Error('nobody has an agent here')) },
      pool: this.#pool,
    });
  }

  /** `verdigris.yaml` as people begin it: no host key is known yet. */
  configuration(): string {
    const { address } = this.machine;
    return `# Greeter, on one machine.
service: greeter
program: { port: 8080, directory: /opt/greeter }
ssh:
  user: deploy # may do nothing else
  key: secret:ssh-key
environments:
  blue:
    - name: blue-1 # the older one
      address: ${address}
      hostKey: SHA256:${'A'.repeat(43)} # to be filled in
  green:
    - name: green-1
      address: ${address}
      port: 8081
      unit: greeter-green.service
      directory: /opt/greeter-green
loadBalancer:
  driver: ovh-iplb
  serviceName: loadbalancer-0123456789abcdef
  frontends: [70089]
  stagingFrontend: 70090
  farms: { blue: 77212, green: 77213 }
publicAddress:
  url: http://203.0.113.10
  identify: { header: X-Release }
`;
  }
}
