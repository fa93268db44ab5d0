import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { beforeAll, expect, test, vi } from 'vitest';
import { startFleet, type Fleet } from './support/fleet.js';
import type { FleetMachine } from './support/machine.js';
import { describeOnFleet } from './support/needs.js';

// The first fleet on a machine makes what all begin with.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 900_000 });

describeOnFleet('a fleet of Debian machines', () => {
  let fleet: Fleet;
  let one: FleetMachine;
  let keys: string;

  beforeAll(async () => {
    fleet = await startFleet({ machines: ['one', 'two'], diskMegabytes: 128 });
    one = fleet.machine('one');
    keys = await mkdtemp(join(tmpdir(), 'verdigris-keys-'));
    await writeFile(join(keys, 'key'), fleet.privateKey, { mode: 0o600 });
    return async () => {
      await fleet.stop();
      await rm(keys, { recursive: true });
    };
  });

  const ssh = (machine: FleetMachine, command: string) => {
    const options = [
      'BatchMode=yes',
      'ConnectTimeout=3',
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
    ];
    const words = [...options.flatMap((option) => ['-o', option]), '-i', join(keys, 'key')];
    return execa('ssh', [...words, `${fleet.user}@${machine.address}`, command], { reject: false });
  };

  test('each has a systemd, an address and a name of its own', async () => {
    for (const machine of fleet.machines) {
      expect(await machine.exec('systemctl is-system-running')).toBe('running');
      expect(await machine.exec('hostname')).toBe(machine.name);
      expect(await machine.exec('ps -o comm= 1')).toBe('systemd');
    }
    const ids = await Promise.all(fleet.machines.map((machine) => machine.exec('cat /etc/machine-id')));
    expect(new Set(ids).size).toBe(2);
  });

  test('the user that deploys logs in by SSH and is root by sudo, and sshd tells of it', async () => {
    expect((await ssh(one, 'hostname; sudo -n id -u')).stdout).toBe('one\n0');
    expect((await one.sshdLog()).join('\n')).toMatch(/Starting session: command for deploy/);
  });

  test('frozen, it keeps connections and answers nobody; thawed, it goes on', async () => {
    await one.freeze();
    expect((await ssh(one, 'hostname')).stderr).toMatch(/timed out/i);
    expect((await ssh(fleet.machine('two'), 'hostname')).stdout).toBe('two');
    await one.thaw();
    expect((await ssh(one, 'hostname')).stdout).toBe('one');
  });

  test('without its network it is not reached, and its console is', async () => {
    await one.cutNetwork();
    expect((await ssh(one, 'hostname')).stderr).toMatch(/timed out|no route/i);
    expect(await one.exec('hostname')).toBe('one');
    await one.mendNetwork();
    expect((await ssh(one, 'hostname')).stdout).toBe('one');
  });

  test.for(['reboot', 'cutPower'] as const)('after %s it has its files, and other processes', async (how) => {
    await one.exec('touch /srv/kept; systemd-run --unit lives sleep 1000');
    await one[how]();
    if (how === 'cutPower') await one.powerOn();
    expect(await one.exec('ls /srv')).toBe('kept');
    expect(await one.exec('systemctl is-active lives || true')).toBe('inactive');
    expect((await ssh(one, 'hostname')).stdout).toBe('one');
  });

  test('a full disk takes nothing until there is room again', async () => {
    await one.fillDisk();
    expect((await one.try('dd if=/dev/zero of=/srv/more bs=64k count=1')).stderr).toMatch(/No space left/);
    await one.freeDisk();
    await one.exec('dd if=/dev/zero of=/srv/more bs=64k count=1');
  });

  test('read-only, nothing is written until it is not', async () => {
    await one.makeReadOnly('/srv');
    expect((await ssh(one, 'sudo -n touch /srv/file')).stderr).toMatch(/Read-only file system/);
    await one.makeWritable('/srv');
    expect((await ssh(one, 'sudo -n touch /srv/file')).exitCode).toBe(0);
  });

  test('its clock may be off, and the other one is right', async () => {
    await one.setClockOff(3600);
    const hoursOff = async (machine: FleetMachine) =>
      Math.round((Number((await ssh(machine, 'date +%s')).stdout) - Date.now() / 1000) / 3600) + 0;
    expect(await hoursOff(one)).toBe(1);
    expect(await hoursOff(fleet.machine('two'))).toBe(0);
    await one.setClockOff(0);
    expect(await hoursOff(one)).toBe(0);
  });

  test('whoever started one is killed: nothing of it is left, and others are not disturbed', async () => {
    const program = fileURLToPath(new URL('support/abandoned.ts', import.meta.url));
    const owner = spawn(process.execPath, ['--import', 'tsx', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface(owner.stdout), 'line')) as [string];
    const { name, gateway } = JSON.parse(line) as { readonly name: string; readonly gateway: string };
    expect(isConnected(gateway)).toBe(true);
    expect(groupsOf(name)).not.toEqual([]);

    owner.kill('SIGKILL');
    await vi.waitUntil(() => !isConnected(gateway) && groupsOf(name).length === 0, { timeout: 30_000 });
    expect((await ssh(one, 'hostname')).stdout).toBe('one');
  });
});

const isConnected = (address: string): boolean =>
  Object.values(networkInterfaces()).some((all) => all?.some((each) => each.address === address));

const groupsOf = (fleet: string): readonly string[] =>
  ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd']
    .filter((hierarchy) => existsSync(hierarchy))
    .flatMap((hierarchy) => readdirSync(hierarchy).filter((name) => name.startsWith(`${fleet}-`)));
