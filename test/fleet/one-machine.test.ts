import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { FencingToken } from '../../domain/deployment.js';
import { endless } from '../../drivers/patience.js';
import { Programs } from '../drivers/servers/programs.js';
import { failureOf, steps } from '../drivers/servers/server.contract.js';
import { describeOnFleet } from './support/needs.js';
import { Prepared } from './support/prepared.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 900_000 });

describeOnFleet('one machine with a live blue and an idle green server', () => {
  let world: Prepared;
  let programs: Programs;
  let next: () => FencingToken;

  beforeAll(async () => {
    [world, programs] = await Promise.all([Prepared.start(), Programs.start()]);
    next = steps();
    await world.machine.exec('umask 277; cat >/etc/sudoers.d/deploy', {
      input: 'deploy ALL=(ALL) NOPASSWD: ALL\n',
    });
  });
  afterAll(async () => {
    await world.close();
    await programs.close();
  });

  // What systemd sends to stop it is nothing that this program minds: it has to be killed.
  const stubborn = (more = 'KillSignal=SIGWINCH') => `[Unit]
Description=Greeter
[Service]
Type=simple
ExecStart=/opt/greeter-green/current/bin/greeter 8081
TimeoutStopSec=1
${more}
`;

  const drain = { atMostMs: 1_000, lingering: 'refuse' } as const;

  test('a program that has to be killed is told, under Type=simple', async () => {
    const driver = world.driver('green', 'sudo');
    const [v1, v2] = await Promise.all([
      programs.release('v1', undefined, stubborn()),
      programs.release('v2', undefined, stubborn('')),
    ]);
    await driver.install(v1.installation, next(), endless);
    expect(await driver.activate(v1.id, drain, next(), endless)).toMatchObject({ cut: 0, killed: false });
    await driver.install(v2.installation, next(), endless);
    expect(await driver.activate(v2.id, drain, next(), endless)).toMatchObject({ killed: true });
    expect((await driver.observe(endless)).runningProgram).toBe(v2.executable);
    expect(await driver.stop(next(), endless)).toEqual({ killed: false });
    await driver.activate(v2.id, drain, next(), endless);
  });

  test('a daemon-reload that would change the live unit is refused before anything is stopped', async () => {
    await world.machine.exec('cat >/etc/systemd/system/greeter.service; systemctl daemon-reload', {
      input: '[Service]\nExecStart=/bin/sleep infinity\n',
    });
    await world.machine.exec('systemctl start greeter.service');
    const live = () =>
      world.machine.exec('systemctl show greeter.service -p MainPID,ExecMainStartTimestampMonotonic,Nice');
    const before = await live();
    await world.machine.exec('sleep 1; echo "Nice=5" >>/etc/systemd/system/greeter.service');

    const driver = world.driver('green', 'sudo');
    const v3 = await programs.release('v3', undefined, stubborn(''));
    await driver.install(v3.installation, next(), endless);
    const idle = (await driver.observe(endless)).unit;
    const failure = await failureOf(driver.activate(v3.id, drain, next(), endless));
    expect(failure).toMatchObject({ failure: 'UnitRefused' });
    expect(failure.message).toContain('greeter.service, which is live on this machine');
    expect((await driver.observe(endless)).unit).toEqual(idle);
    expect(await live()).toEqual(before);

    await world.machine.exec('systemctl daemon-reload'); // a person has looked at it
    await driver.activate(v3.id, drain, next(), endless);
    expect((await driver.observe(endless)).runningProgram).toBe(v3.executable);
  });
});
