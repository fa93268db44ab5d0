import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { execa } from 'execa';
import { inject } from 'vitest';
import { colors, type Color } from '../../../domain/color.js';
import { setUpIplb } from '../../../sandbox/control-panel.js';
import { startHaproxy } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import { startOvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import type { BuiltGreeter } from '../../../sandbox/programs.js';
import { removeSandbox } from '../../../sandbox/sandbox.js';
import { writeFiles, type Place } from '../../../sandbox/settings.js';
import { commandFile } from '../../../sandbox/worker-process.js';
import { hastyApi, quickSettings, RunningService, type Site } from '../../whole/support/running-service.js';
import { administrate } from './administrator.js';
import { startFleet, type Fleet } from './fleet.js';
import type { FleetMachine } from './machine.js';

export interface RunningFleetOptions {
  /** 2 unless told. */
  readonly serversPerEnvironment?: number | Readonly<Record<Color, number>>;
  /** One server per environment, both on the machine `one`: each has its own unit, port and directory. */
  readonly oneMachine?: boolean;
  /** What a machine has of its own; 512 unless told. */
  readonly diskMegabytes?: number;
  /** How many times faster than configured the load balancer probes; 60 unless told. */
  readonly probeSpeed?: number;
  /**
   * What the user that deploys may do. `installed` unless told: an administrator has set the machines up, and it may run the
   * helper there and nothing else.
   */
  readonly privilege?: 'installed' | 'sudo';
  /** Laid over the quick settings, section by section. */
  readonly settings?: Readonly<Record<string, JsonObject>>;
}

/** A server and the real machine that it is on. */
export interface FleetServer extends Place {
  readonly machine: FleetMachine;
  readonly unit: string;
}

interface FleetSite extends Site {
  readonly fleet: Fleet;
  readonly servers: readonly FleetServer[];
}

/** Real machines behind HAProxy, with real workers, and everything that tests ask of them. Nothing is installed at first. */
export class RunningFleet extends RunningService {
  readonly fleet: Fleet;
  readonly #servers: readonly FleetServer[];

  private constructor(site: FleetSite, connection: Connection) {
    super(site, connection);
    this.fleet = site.fleet;
    this.#servers = site.servers;
  }

  static async start(options: RunningFleetOptions = {}): Promise<RunningFleet> {
    const site = await startSite(options);
    try {
      return new RunningFleet(site, await Connection.connect({ address: inject('temporalAddress') }));
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  servers(color: Color): readonly FleetServer[] {
    return this.#servers.filter((server) => server.color === color);
  }

  machine(name: string): FleetMachine {
    return this.fleet.machine(name);
  }

  /** Runs a build as people have it before they use Verdigris: in a flat directory, under a unit file written by hand. */
  async runByHand(color: Color, { archive }: BuiltGreeter): Promise<void> {
    const input = await readFile(archive);
    await Promise.all(
      this.servers(color).map(async ({ machine, directory, port, unit }) => {
        await machine.exec(`mkdir -p ${directory} && tar -xz --no-same-owner -C ${directory}`, { input });
        const lines = [
          '[Service]',
          `ExecStart=${directory}/bin/greeter --config ${directory}/etc/greeter.conf --port ${port}`,
          'Restart=always',
          '[Install]',
          'WantedBy=multi-user.target',
        ];
        await machine.writeFile(`etc/systemd/system/${unit}`, `${lines.join('\n')}\n`);
        await machine.exec(`systemctl daemon-reload && systemctl enable --now ${unit}`);
      }),
    );
  }

  /** Everything that may not change on an environment while the other one is deployed to. */
  fingerprint(color: Color): Promise<readonly string[]> {
    return Promise.all(
      this.servers(color).map(async ({ name, machine, directory, unit }) => {
        // What belongs to another server of the same machine may change.
        const others = this.#servers.filter((other) => other.machine === machine && other.unit !== unit);
        const own = others.map((other) => `! -path '*/${other.unit}*'`).join(' ');
        const shown = await machine.exec(`
          systemctl show ${unit} -p MainPID,ExecMainStartTimestampMonotonic,NRestarts,ActiveState,NeedDaemonReload
          sha256sum "/proc/$(systemctl show ${unit} -p MainPID --value)/exe"
          find ${directory} /etc/systemd/system ${own} -type f -exec sha256sum {} + | sort -k 2
          find ${directory} /etc/systemd/system ${own} -type l -printf '%p -> %l\\n' | sort
          find ${directory} -printf '%p %m %u %g %T@\\n' | sort`);
        return `${name}\n${shown}`;
      }),
    );
  }

  /** Process ids of the program on each server, 0 where it does not run. */
  async pids(color: Color): Promise<readonly number[]> {
    return Promise.all(
      this.servers(color).map(async ({ machine, unit }) =>
        Number(await machine.exec(`systemctl show ${unit} -p MainPID --value`)),
      ),
    );
  }

  /** Names of the releases that are installed on a server. */
  async releasesOn(server: string): Promise<readonly string[]> {
    const { machine, directory } = this.#servers.find(({ name }) => name === server)!;
    return (await machine.exec(`ls ${directory}/releases 2>/dev/null || true`)).split('\n').filter(Boolean);
  }
}

async function startSite({
  serversPerEnvironment = 2,
  oneMachine = false,
  settings = {},
  probeSpeed = 60,
  privilege = 'installed',
  diskMegabytes = 512,
}: RunningFleetOptions): Promise<FleetSite> {
  const directory = await mkdtemp(join(tmpdir(), 'verdigris-fleet-'));
  const ends: (() => Promise<void>)[] = [() => removeSandbox(directory)];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const names = colors.flatMap((color) =>
      Array.from({ length: oneMachine ? 1 : sizeOf(color, serversPerEnvironment) }, (_, index) => ({
        color,
        name: `${color}-${index + 1}`,
      })),
    );
    const fleet = await startFleet({
      machines: oneMachine ? ['one'] : names.map(({ name }) => name),
      diskMegabytes,
    });
    ends.push(() => fleet.stop());
    const dataPlane = startHaproxy({ directory: join(directory, 'haproxy'), probeSpeed });
    ends.push(() => dataPlane.close());
    const api = await startOvhApi({ directory: join(directory, 'ovh'), dataPlane, behaviour: hastyApi });
    ends.push(() => api.close());

    const service = `greeter-${randomUUID().slice(0, 8)}`;
    const servers = names.map(({ name, color }): FleetServer => {
      const machine = fleet.machine(oneMachine ? 'one' : name);
      const { address, hostKeyFingerprint: hostKey, sshPort } = machine;
      const ssh = { host: address, port: sshPort };
      const own = oneMachine ? `${service}-${color}` : service;
      const port = oneMachine && color === 'green' ? 8081 : 8080;
      const where = { address, port, unit: `${own}.service`, directory: `/srv/${own}` };
      return { name, color, machine, ...where, hostKey, ssh };
    });
    const { ids: loadBalancer, section } = await setUpIplb(api, servers);
    const publicUrl = `http://127.0.0.1:${dataPlane.portOf(loadBalancer.frontend)}`;
    const files = await writeFiles({
      directory,
      service,
      api,
      servers,
      loadBalancer: section,
      publicUrl,
      privateKey: fleet.privateKey,
      privilege: 'sudo',
      settings: quickSettings(settings),
    });
    if (privilege === 'installed') await setUp(fleet, files.serviceFile, directory);
    return {
      directory,
      ...files,
      publicUrl,
      api,
      loadBalancer,
      address: '0.0.0.0',
      fleet,
      servers,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const sizeOf = (color: Color, size: number | Readonly<Record<Color, number>>): number =>
  typeof size === 'number' ? size : size[color];

/** As an administrator does it once: with the command, which then writes into `verdigris.yaml` what it did. */
async function setUp(fleet: Fleet, serviceFile: string, directory: string): Promise<void> {
  const sshConfig = await administrate(fleet.machines, directory);
  const words = ['server', 'setup', '--config', serviceFile, '--login', 'root', '--ssh-config', sshConfig];
  await execa(process.execPath, [commandFile, ...words], { stdin: 'ignore', env: { CI: '', NO_COLOR: '1' } });
}
