import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { FencingToken } from '../../domain/deployment.js';
import { ReleaseId } from '../../domain/names.js';
import { endless } from '../../drivers/patience.js';
import { Programs } from '../drivers/servers/programs.js';
import { failureOf, steps } from '../drivers/servers/server.contract.js';
import { describeOnFleet } from './support/needs.js';
import { Prepared } from './support/prepared.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 900_000 });

/** A program as people run one: in a flat directory, under a unit of its own, with drop-ins and what `systemctl edit` left. */
describeOnFleet('a program that ran there before Verdigris', () => {
  let world: Prepared;
  let programs: Programs;
  let next: () => FencingToken;
  let before: string;

  /** All that belongs to it, and its process. systemd forgets when each command began as often as it reads its units again. */
  const everything = async () =>
    (
      await world.machine.exec(
        `cd / && find home/app etc/systemd/system/greeter-green.service* -type f -exec sha256sum {} + | sort
         systemctl show greeter-green -p MainPID,ExecMainStartTimestampMonotonic,ExecStart,User,Environment,Nice,LimitNOFILE,NRestarts,ActiveState,UnitFileState`,
      )
    ).replace(/ ; start_time=.*$/m, '');

  beforeAll(async () => {
    [world, programs] = await Promise.all([Prepared.start(), Programs.start()]);
    next = steps();
    const { machine } = world;
    await machine.exec(
      'useradd --create-home app && chmod 755 /home/app && install -d -o app /home/app/greeter',
    );
    await machine.exec('cat >/home/app/greeter/greeter && chmod 755 /home/app/greeter/greeter', {
      input: await readFile(await programs.executable('foreign')),
    });
    await machine.exec('cat >/etc/systemd/system/greeter-green.service', {
      input:
        '[Unit]\nDescription=The old greeter\n[Service]\nUser=app\nWorkingDirectory=/home/app/greeter\nEnvironment=MODE=old\nExecStartPre=/bin/touch /home/app/greeter/started\nExecStart=/home/app/greeter/greeter 8081\nRestart=always\n[Install]\nWantedBy=multi-user.target\n',
    });
    await machine.exec('mkdir -p /etc/systemd/system/greeter-green.service.d');
    await machine.exec('cat >/etc/systemd/system/greeter-green.service.d/limits.conf', {
      input: '[Service]\nLimitNOFILE=2048\n',
    });
    await machine.writeFile(
      'usr/local/bin/by-hand',
      '#!/bin/sh\nprintf "[Service]\\nNice=5\\n" >"$1"\n',
      0o755,
    );
    await machine.exec('EDITOR=by-hand script -qec "systemctl edit greeter-green.service" /dev/null');
    expect(await machine.readFile('etc/systemd/system/greeter-green.service.d/override.conf')).toContain(
      'Nice=5',
    );
    await machine.exec('systemctl daemon-reload && systemctl enable --now greeter-green');
    await world.write('verdigris.yaml', world.configuration());
    const { exitCode, stdout } = await world.setUp('green-1');
    expect(exitCode, stdout).toBe(0);
    before = await everything();
  });
  afterAll(async () => {
    await world.close();
    await programs.close();
  });

  const release = (version: string) =>
    programs.release(
      version,
      undefined,
      `[Unit]\nDescription=Greeter\n[Service]\nType=exec\nExecStart=/opt/greeter-green/current/bin/greeter 8081\n[Install]\nWantedBy=multi-user.target\n`,
    );
  const answers = () =>
    world.machine.exec(
      "python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:8081/health').headers['X-Release'])\"",
    );

  test('is seen as what it is, and not touched by a deployment', async () => {
    const driver = world.driver('green');
    expect((await driver.observe(endless)).foreign).toBe(true);
    const v1 = await release('v1');
    await driver.install(v1.installation, next(), endless);
    const failure = await failureOf(
      driver.activate(v1.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless),
    );
    expect(failure.failure).toBe('ForeignRelease');
    await driver.remove(v1.id, 'a test', next(), endless);
    expect(await everything()).toBe(before);
  });

  test('goes on as it was when it is adopted, with its process and every file', async () => {
    const driver = world.driver('green');
    const adopted = await driver.adopt(next(), endless);
    const facts = await driver.observe(endless);
    expect(facts).toMatchObject({ foreign: false, activeRelease: adopted });
    expect(facts.unit.needsDaemonReload).toBe(false);
    expect(await everything()).toBe(before);
    expect(await driver.adopt(next(), endless)).toBe(adopted);
    expect(await everything()).toBe(before);
  });

  test('is replaced by a release, and comes back as it was when that is undone', async () => {
    const driver = world.driver('green');
    const old = ReleaseId(String((await driver.observe(endless)).activeRelease));
    const v2 = await release('v2');
    await driver.install(v2.installation, next(), endless);
    await driver.activate(v2.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    expect(await answers()).toBe('v2');
    const settings = 'systemctl show greeter-green -p User,Environment,Nice,LimitNOFILE';
    // What the unit had beside commands, environment and users stays.
    expect(await world.machine.exec(settings)).toBe(
      'Environment=\nLimitNOFILE=2048\nNice=5\nUser=greeter'.split('\n').sort().join('\n'),
    );

    await driver.restore(old, 1000, next(), endless);
    expect(await answers()).toBe('foreign');
    const sameBut = (text: string) => text.replaceAll(/^(MainPID|ExecMainStartTimestampMonotonic)=.*$/gm, '');
    expect(sameBut(await everything())).toBe(sameBut(before));
    await driver.remove(v2.id, 'a test', next(), endless);
  });

  test('is not Verdigris’s any more once the journal’s line that undoes it was run', async () => {
    const { machine } = world;
    const running = await everything();
    const journal = await machine.exec('cat /opt/greeter-green/.verdigris/journal');
    const [, undo = ''] = /to undo it: (.+)$/m.exec(journal) ?? [];
    expect(undo).toContain('systemctl daemon-reload');
    await machine.exec(undo);
    expect(await everything()).toBe(running);
    expect((await world.driver('green').observe(endless)).foreign).toBe(true);
    expect(await machine.exec('ls /etc/systemd/system/greeter-green.service.d')).not.toContain('verdigris');
    expect(await answers()).toBe('foreign');
    // And it can be adopted again.
    await world.driver('green').adopt(next(), endless);
    expect(await everything()).toBe(running);
  });

  test('starts by itself after a reboot, adopted or not', async () => {
    await world.machine.reboot();
    await vi.waitUntil(async () => (await answers().catch(() => '')) === 'foreign', { timeout: 60_000 });
    expect((await world.driver('green').observe(endless)).foreign).toBe(false);
  });
});
