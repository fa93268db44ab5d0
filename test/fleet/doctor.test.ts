import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { endless } from '../../drivers/patience.js';
import type { ServerExamination } from '../../domain/examination.js';
import { helperRule } from '../../domain/examination.js';
import { describeOnFleet } from './support/needs.js';
import { Prepared } from './support/prepared.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 900_000 });

describeOnFleet('a doctor on a real machine', () => {
  let world: Prepared;
  const examine = (): Promise<ServerExamination> => world.driver('green').examine(endless);

  beforeAll(async () => {
    world = await Prepared.start();
    await world.write('verdigris.yaml', world.configuration());
    const { exitCode, stdout } = await world.setUp('green-1');
    expect(exitCode, stdout).toBe(0);
  });
  afterAll(() => world.close());

  test('finds a healthy machine healthy', async () => {
    const facts = await examine();
    expect(facts).toMatchObject({
      platform: { machine: process.arch === 'x64' ? 'x86-64' : expect.any(String), glibc: '2.36' },
      clockAheadMs: 0,
      systemd: '252',
      port: 'free',
      rights: [helperRule],
      isRoot: false,
      tcpForwarding: 'yes',
      maxStartups: '10:30:100',
      missingTools: [],
    });
    for (const key of [
      'processors',
      'memoryBytes',
      'memoryFreeBytes',
      'diskBytes',
      'diskFreeBytes',
      'openFiles',
    ] as const)
      expect(facts[key], key).toBeGreaterThan(0);
    expect(facts.memoryFreeBytes).toBeLessThanOrEqual(facts.memoryBytes);
    expect(facts.diskFreeBytes).toBeLessThanOrEqual(facts.diskBytes);
    expect(facts.filesFree).toBeGreaterThan(0);
  });

  test('sees a clock that is an hour off', async () => {
    await world.machine.setClockOff(3600);
    expect(Math.round((await examine()).clockAheadMs / 60_000)).toBe(60);
    await world.machine.setClockOff(-3600);
    expect(Math.round((await examine()).clockAheadMs / 60_000)).toBe(-60);
    await world.machine.setClockOff(0);
  });

  test('sees a disk that is full', async () => {
    await world.machine.fillDisk(2048);
    expect((await examine()).diskFreeBytes).toBeLessThan(4e6);
    await world.machine.freeDisk();
  });

  test('sees who has the port: another program, or the unit', async () => {
    await world.machine.exec('systemd-run --unit other python3 -m http.server 8081');
    await vi.waitUntil(async () => (await examine()).port === 'somebody else', { timeout: 60_000 });
    await world.machine.exec('systemctl stop other');
    await world.machine.exec('systemd-run --unit greeter-green sh -c "python3 -m http.server 8081; true"');
    await vi.waitUntil(async () => (await examine()).port === 'the unit', { timeout: 60_000 });
    await world.machine.exec('systemctl stop greeter-green');
    expect((await examine()).port).toBe('free');
  });

  test('sees what sudo lets the login do besides, and what sshd does not', async () => {
    await world.machine.exec("echo 'deploy ALL=(ALL) NOPASSWD: /bin/sh' >/etc/sudoers.d/old");
    await world.machine.writeFile(
      'etc/ssh/sshd_config.d/strict.conf',
      'MaxStartups 5\nMatch User deploy\n  AllowTcpForwarding no\n',
    );
    const facts = await examine();
    expect(facts.rights?.toSorted()).toEqual(['(ALL) NOPASSWD: /bin/sh', helperRule]);
    expect(facts.tcpForwarding).toBe('no');
    expect(facts.maxStartups).toBe('5:30:5');
    await world.machine.exec('rm /etc/sudoers.d/old /etc/ssh/sshd_config.d/strict.conf');
  });

  test('changes nothing', async () => {
    const files = () =>
      world.machine.exec(
        "find /etc /opt /usr/local /var/lib -xdev -type f -newermt '2000-01-01' -printf '%p %T@ %s\\n' | sort | sha256sum",
      );
    const before = await files();
    await examine();
    expect(await files()).toBe(before);
  });
});
