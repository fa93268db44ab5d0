import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startMachine } from '../../../sandbox/machines/machine.js';
import { aDirectory, aMachine, compiled, execute, isAlive, type BenchMachine } from './bench-machine.js';

const ignoresSigterm = `
#include <signal.h>
#include <unistd.h>
int main(void) { signal(SIGTERM, SIG_IGN); write(1, "up\\n", 3); for (;;) pause(); }
`;

const exitsOnSigterm = `
#include <signal.h>
#include <unistd.h>
static void leave(int number) { (void)number; _exit(STATUS); }
int main(void) { signal(SIGTERM, leave); write(1, "up\\n", 3); for (;;) pause(); }
`;

/** Until the program has said that it is up: then its signal handlers are in place. */
const untilUp = (machine: BenchMachine, unit: string) =>
  expect.poll(async () => (await machine.run(`journalctl -u ${unit} -o cat`)).out).toContain('up\n');

const untilState = (machine: BenchMachine, unit: string, subState: string) =>
  expect.poll(async () => (await machine.show(unit, 'SubState'))['SubState']).toBe(subState);

test('starts a program and tells where it is', async () => {
  const machine = await aMachine();
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300');

  expect(await machine.run('systemctl start greeter')).toEqual({
    status: 0,
    signal: undefined,
    out: '',
    err: '',
  });

  const { MainPID, ...rest } = await machine.show(
    'greeter',
    'MainPID',
    'ActiveState',
    'SubState',
    'Result',
    'NRestarts',
  );
  expect(rest).toEqual({ ActiveState: 'active', SubState: 'running', Result: 'success', NRestarts: '0' });
  expect(readlinkSync(`/proc/${MainPID}/exe`)).toMatch(/sleep|busybox|coreutils/);
  expect(await machine.run('systemctl is-active greeter')).toMatchObject({ status: 0, out: 'active\n' });
});

test('leaves a running program alone when it is started again', async () => {
  const machine = await aMachine();
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300');
  await machine.run('systemctl start greeter');
  const before = await machine.show('greeter', 'MainPID');

  await machine.run('systemctl start greeter');

  expect(await machine.show('greeter', 'MainPID')).toEqual(before);
});

test('stops a program and everything that it started', async () => {
  const machine = await aMachine();
  const program = machine.write('srv/forks', '#!/bin/sh\nsleep 300 &\necho child $!\nwait\n', 0o755);
  machine.unit('forks.service', `ExecStart=${program}`);
  await machine.run('systemctl start forks');
  await expect.poll(async () => (await machine.run('journalctl -u forks -o cat')).out).toContain('child');
  const child = Number(/child (\d+)/.exec((await machine.run('journalctl -u forks -o cat')).out)?.[1]);

  expect(await machine.run('systemctl stop forks')).toMatchObject({ status: 0 });

  expect(isAlive(child)).toBe(false);
  expect(await machine.run('systemctl is-active forks')).toMatchObject({ status: 3, out: 'inactive\n' });
  expect(await machine.show('forks', 'Result', 'MainPID')).toEqual({ Result: 'success', MainPID: '0' });
});

test('restarts a program that fails, and counts', async () => {
  const machine = await aMachine();
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300', 'Restart=on-failure', 'RestartSec=10ms');
  await machine.run('systemctl start greeter');
  const before = await machine.show('greeter', 'MainPID', 'InvocationID');

  await machine.run('systemctl kill -s KILL greeter');

  await expect.poll(() => machine.show('greeter', 'NRestarts')).toEqual({ NRestarts: '1' });
  await untilState(machine, 'greeter', 'running');
  const after = await machine.show('greeter', 'MainPID', 'InvocationID');
  expect(after['MainPID']).not.toBe(before['MainPID']);
  expect(after['InvocationID']).not.toBe(before['InvocationID']);
  const { out } = await machine.run('journalctl -u greeter -o cat');
  expect(out).toContain('greeter.service: Main process exited, code=killed, status=9/KILL\n');
  expect(out).toContain('greeter.service: Scheduled restart job, restart counter is at 1.\n');
});

test.each([
  ['no', 1, 'failed'],
  ['on-failure', 0, 'dead'],
  ['on-abort', 1, 'failed'],
])('Restart=%s leaves a program that exited with %i %s', async (policy, status, subState) => {
  const machine = await aMachine();
  machine.unit('ends.service', `ExecStart=/bin/sh -c 'exit ${status}'`, `Restart=${policy}`);

  await machine.run('systemctl start ends');

  await untilState(machine, 'ends', subState);
  expect(await machine.show('ends', 'ExecMainStatus', 'ExecMainCode', 'NRestarts')).toEqual({
    ExecMainStatus: String(status),
    ExecMainCode: '1',
    NRestarts: '0',
  });
});

test('waits in auto-restart, which is not active', async () => {
  const machine = await aMachine();
  machine.unit('crashes.service', "ExecStart=/bin/sh -c 'exit 1'", 'Restart=always', 'RestartSec=1h');

  await machine.run('systemctl start crashes');

  await untilState(machine, 'crashes', 'auto-restart');
  expect(await machine.run('systemctl is-active crashes')).toMatchObject({ status: 3, out: 'activating\n' });
  expect(await machine.run('systemctl stop crashes')).toMatchObject({ status: 0 });
  expect(await machine.show('crashes', 'ActiveState')).toEqual({ ActiveState: 'inactive' });
});

test('a restart does not wait for the one that is scheduled', async () => {
  const machine = await aMachine();
  machine.unit(
    'crashes.service',
    `ExecStart=/bin/sh -c 'test -e ${machine.directory}/well && exec sleep 300'`,
    'Restart=always',
    'RestartSec=1h',
  );
  await machine.run('systemctl start crashes');
  await untilState(machine, 'crashes', 'auto-restart');
  machine.write('well', '');

  expect(await machine.run('systemctl restart crashes')).toMatchObject({ status: 0, err: '' });

  expect(await machine.show('crashes', 'NRestarts', 'SubState')).toEqual({
    NRestarts: '0',
    SubState: 'running',
  });
});

test('gives up on a program that crashes too often, until that is forgotten', async () => {
  const machine = await aMachine();
  const [limits, section] = ['StartLimitBurst=3\nStartLimitIntervalSec=1h', '[Unit]'];
  machine.write(
    'etc/systemd/system/crashes.service',
    `${section}\n${limits}\n[Service]\nExecStart=/bin/sh -c 'echo last words; exit 4'\nRestart=always\nRestartSec=1ms\n`,
  );

  await machine.run('systemctl start crashes');

  await untilState(machine, 'crashes', 'failed');
  expect(await machine.show('crashes', 'NRestarts', 'Result', 'ExecMainStatus')).toEqual({
    NRestarts: '3',
    Result: 'exit-code',
    ExecMainStatus: '4',
  });
  const journal = await machine.run('journalctl -u crashes -o cat');
  expect(journal.out.match(/last words/g)).toHaveLength(3);
  expect(journal.out).toContain('crashes.service: Start request repeated too quickly.');

  expect(await machine.run('systemctl start crashes')).toMatchObject({ status: 1 });
  await machine.run('systemctl reset-failed crashes');
  expect(await machine.run('systemctl start crashes')).toMatchObject({ status: 0, err: '' });
});

test('reports start-limit-hit for a program that ends well too often', async () => {
  const machine = await aMachine();
  machine.unit('ends.service', 'ExecStart=/bin/true', 'Restart=always', 'RestartSec=1ms');

  await machine.run('systemctl start ends');

  await untilState(machine, 'ends', 'failed');
  expect(await machine.show('ends', 'Result', 'NRestarts')).toEqual({
    Result: 'start-limit-hit',
    NRestarts: '5',
  });
  expect((await machine.run('systemctl start ends')).err).toContain(
    'start of the service was attempted too often',
  );
});

test('kills a program that ignores SIGTERM, and calls that a timeout', async () => {
  const machine = await aMachine();
  mkdirSync(join(machine.directory, 'srv'));
  const program = compiled(machine, 'srv/ignores-sigterm', ignoresSigterm);
  machine.unit('stubborn.service', `ExecStart=${program}`, 'TimeoutStopSec=300ms');
  await machine.run('systemctl start stubborn');
  await untilUp(machine, 'stubborn');

  expect(await machine.run('systemctl stop stubborn')).toMatchObject({ status: 0 });

  expect(await machine.show('stubborn', 'ActiveState', 'Result', 'ExecMainCode', 'ExecMainStatus')).toEqual({
    ActiveState: 'failed',
    Result: 'timeout',
    ExecMainCode: '2',
    ExecMainStatus: '9',
  });
  const { out } = await machine.run('journalctl -u stubborn -o cat');
  expect(out).toContain("stubborn.service: State 'stop-sigterm' timed out. Killing.\n");
  expect(out).toMatch(/stubborn\.service: Killing process \d+ \(ignores-sigterm\) with signal SIGKILL\.\n/);
});

test.each([
  [0, '', 'inactive', 'success'],
  [3, '', 'failed', 'exit-code'],
  [3, 'SuccessExitStatus=3', 'inactive', 'success'],
])(
  'stopping a program that answers SIGTERM with exit status %i %s ends %s',
  async (status, setting, state, result) => {
    const machine = await aMachine();
    mkdirSync(join(machine.directory, 'srv'));
    const program = compiled(machine, 'srv/polite', exitsOnSigterm.replace('STATUS', String(status)));
    machine.unit('polite.service', `ExecStart=${program}`, setting);
    await machine.run('systemctl start polite');
    await untilUp(machine, 'polite');

    await machine.run('systemctl stop polite');

    expect(await machine.show('polite', 'ActiveState', 'Result')).toEqual({
      ActiveState: state,
      Result: result,
    });
  },
);

test('with KillMode=mixed only the main process is asked to end, and the rest is killed', async () => {
  const machine = await aMachine();
  const program = machine.write(
    'srv/parent',
    `#!/bin/sh
sh -c 'trap "echo child asked" TERM; echo child $$; while :; do sleep 0.05; done' &
trap 'echo parent asked; exit 0' TERM
echo up
while :; do sleep 0.05; done
`,
    0o755,
  );
  machine.unit('parent.service', `ExecStart=${program}`, 'KillMode=mixed');
  await machine.run('systemctl start parent');
  await untilUp(machine, 'parent');
  const words = async () => (await machine.run('journalctl -u parent -o cat')).out;
  await expect.poll(words).toMatch(/child \d/);

  await machine.run('systemctl stop parent');

  expect(await words()).toContain('parent asked');
  expect(await words()).not.toContain('child asked');
  expect(isAlive(Number(/child (\d+)/.exec(await words())?.[1]))).toBe(false);
});

test('a start of Type=simple succeeds though the program cannot be executed, and one of Type=exec fails', async () => {
  const machine = await aMachine();
  machine.unit('simple.service', 'ExecStart=/nowhere/program');
  machine.unit('exec.service', 'Type=exec', 'ExecStart=/nowhere/program');

  expect(await machine.run('systemctl start simple')).toMatchObject({ status: 0, err: '' });
  expect(await machine.run('systemctl start exec')).toMatchObject({
    status: 1,
    err:
      'Job for exec.service failed because the control process exited with error code.\n' +
      'See "systemctl status exec.service" and "journalctl -xeu exec.service" for details.\n',
  });

  for (const unit of ['simple', 'exec']) {
    await untilState(machine, unit, 'failed');
    expect(await machine.show(unit, 'Result', 'ExecMainStatus')).toEqual({
      Result: 'exit-code',
      ExecMainStatus: '203',
    });
  }
  const { out } = await machine.run('journalctl -u exec -o cat');
  expect(out).toContain('Failed at step EXEC spawning /nowhere/program: No such file or directory');
});

test('a missing working directory and a missing environment file keep a unit from starting', async () => {
  const machine = await aMachine();
  machine.unit('lost.service', 'Type=exec', 'ExecStart=/bin/true', 'WorkingDirectory=/nowhere');
  machine.unit('bare.service', 'ExecStart=/bin/true', 'EnvironmentFile=/nowhere/settings');
  machine.unit('fine.service', 'ExecStart=/bin/true', 'EnvironmentFile=-/nowhere/settings');

  expect((await machine.run('systemctl start lost')).status).toBe(1);
  expect((await machine.run('systemctl start bare')).err).toContain('because of unavailable resources');
  expect(await machine.run('systemctl start fine')).toMatchObject({ status: 0 });

  expect(await machine.show('lost', 'ExecMainStatus')).toEqual({ ExecMainStatus: '200' });
  expect(await machine.show('bare', 'Result')).toEqual({ Result: 'resources' });
});

test('runs a program with its settings, and with nothing of its caller', async () => {
  const machine = await aMachine();
  const settings = machine.write('srv/settings', '# comment\nFROM_FILE="two words"\nBOTH=file\n');
  machine.unit(
    'greeter@.service',
    `WorkingDirectory=${machine.directory}/srv`,
    'Environment=WHO=%i "GREETING=good day"',
    'Environment=BOTH=unit',
    `EnvironmentFile=${settings}`,
    'ExecStart=/bin/sh -c \'echo "$$PWD|$$GREETING|$$FROM_FILE|$$BOTH|$$HOME|$1|$2|$3"\' sh ${WHO} $GREETING %p%%',
  );

  await machine.run('systemctl start greeter@blue');

  await expect
    .poll(async () => (await machine.run('journalctl -u greeter@blue -o cat')).out)
    .toContain(`${machine.directory}/srv|good day|two words|file||blue|good|day\n`);
});

test('runs ExecStartPre first, and does not start when it fails', async () => {
  const machine = await aMachine();
  machine.unit(
    'ready.service',
    "ExecStartPre=/bin/sh -c 'echo first'",
    'ExecStart=/bin/sh -c "echo second; sleep 300"',
  );
  machine.unit(
    'never.service',
    'ExecStartPre=-/bin/false',
    "ExecStartPre=/bin/sh -c 'exit 5'",
    'ExecStart=/bin/sleep 300',
  );

  expect(await machine.run('systemctl start ready')).toMatchObject({ status: 0 });
  expect(await machine.run('systemctl start never')).toMatchObject({ status: 1 });

  await expect
    .poll(async () => (await machine.run('journalctl -u ready -o cat')).out)
    .toMatch(/first\n(.*\n)*second\n/);
  expect(await machine.show('never', 'ActiveState', 'Result')).toEqual({
    ActiveState: 'failed',
    Result: 'exit-code',
  });
});

test('a stop cancels a start that is still preparing', async () => {
  const machine = await aMachine();
  machine.unit('slow.service', 'ExecStartPre=/bin/sleep 300', 'ExecStart=/bin/sleep 300');
  const start = machine.run('systemctl start slow');
  await untilState(machine, 'slow', 'start-pre');

  await machine.run('systemctl stop slow');

  expect(await start).toMatchObject({ status: 1, err: 'Job for slow.service canceled.\n' });
  expect(await machine.show('slow', 'ActiveState')).toEqual({ ActiveState: 'inactive' });
});

test('takes settings from a drop-in that leads through a symbolic link, and ignores one that leads nowhere', async () => {
  const machine = await aMachine();
  const { directory } = machine;
  machine.write(
    'srv/greeter/releases/1/greeter.conf',
    '[Service]\nExecStart=\nExecStart=/bin/sh -c "echo release 1; sleep 300"\n',
  );
  machine.write(
    'srv/greeter/releases/2/greeter.conf',
    '[Service]\nExecStart=\nExecStart=/bin/sh -c "echo release 2; sleep 300"\n',
  );
  symlinkSync('releases/1', `${directory}/srv/greeter/current`);
  machine.unit('greeter.service', 'ExecStart=/bin/false');
  mkdirSync(`${machine.unitDirectory}/greeter.service.d`);
  symlinkSync(
    `${directory}/srv/greeter/current/greeter.conf`,
    `${machine.unitDirectory}/greeter.service.d/50-release.conf`,
  );
  symlinkSync(`${directory}/nowhere.conf`, `${machine.unitDirectory}/greeter.service.d/60-dangling.conf`);

  await machine.run('systemctl start greeter');
  await machine.run(
    `ln -sfn releases/2 ${directory}/srv/greeter/next && mv -T ${directory}/srv/greeter/next ${directory}/srv/greeter/current`,
  );
  await machine.run('systemctl daemon-reload && systemctl restart greeter');

  await expect
    .poll(async () => (await machine.run('journalctl -u greeter -o cat')).out)
    .toMatch(/release 1\n(.*\n)*release 2\n/);
  expect(await machine.show('greeter', 'DropInPaths')).toEqual({
    DropInPaths: `${machine.unitDirectory}/greeter.service.d/50-release.conf`,
  });
});

test('goes on with the old settings until daemon-reload, and says so', async () => {
  const machine = await aMachine();
  machine.unit('greeter.service', 'ExecStart=/bin/sh -c "echo old; sleep 300"');
  await machine.run('systemctl start greeter');
  machine.unit('greeter.service', 'ExecStart=/bin/sh -c "echo new; sleep 300"');
  const later = new Date(Date.now() + 10_000);
  utimesSync(join(machine.unitDirectory, 'greeter.service'), later, later);

  const restart = await machine.run('systemctl restart greeter');

  expect(restart.err).toContain("changed on disk. Run 'systemctl daemon-reload' to reload units.");
  expect(await machine.show('greeter', 'NeedDaemonReload')).toEqual({ NeedDaemonReload: 'yes' });
  await expect
    .poll(async () => (await machine.run('journalctl -u greeter -o cat')).out.match(/^old$/gm))
    .toHaveLength(2);

  expect(await machine.run('systemctl daemon-reload; systemctl restart greeter')).toMatchObject({ err: '' });
  expect(await machine.show('greeter', 'NeedDaemonReload')).toEqual({ NeedDaemonReload: 'no' });
  await expect.poll(async () => (await machine.run('journalctl -u greeter -o cat')).out).toContain('new\n');
});

test('does not notice a drop-in that now leads to an older file, as systemd does not', async () => {
  const machine = await aMachine();
  const older = machine.write('srv/1.conf', '[Service]\nEnvironment=RELEASE=1\n');
  const newer = machine.write('srv/2.conf', '[Service]\nEnvironment=RELEASE=2\n');
  utimesSync(older, 1000, 1000);
  utimesSync(newer, 2000, 2000);
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300');
  mkdirSync(`${machine.unitDirectory}/greeter.service.d`);
  const link = `${machine.unitDirectory}/greeter.service.d/release.conf`;
  const pointAt = (target: string) => {
    symlinkSync(target, `${link}.next`);
    renameSync(`${link}.next`, link);
  };
  pointAt(newer);
  await machine.run('systemctl start greeter');

  pointAt(older);

  expect(await machine.show('greeter', 'NeedDaemonReload')).toEqual({ NeedDaemonReload: 'no' });
});

test('keeps running what lost its unit file, and can still stop it', async () => {
  const machine = await aMachine();
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300');
  await machine.run('systemctl start greeter');
  rmSync(join(machine.unitDirectory, 'greeter.service'));
  await machine.run('systemctl daemon-reload');

  expect(await machine.show('greeter', 'LoadState', 'ActiveState')).toEqual({
    LoadState: 'not-found',
    ActiveState: 'active',
  });
  expect(await machine.run('systemctl stop greeter')).toMatchObject({ status: 0 });
});

test('starts enabled units after a reboot, and only those', async () => {
  const machine = await aMachine();
  machine.unit('enabled.service', 'ExecStart=/bin/sleep 300');
  machine.unit('disabled.service', 'ExecStart=/bin/sleep 300');
  await machine.run('systemctl enable --now enabled; systemctl start disabled');
  const before = await machine.show('enabled', 'MainPID');
  const other = await machine.show('disabled', 'MainPID');
  const client = await machine.connect();
  const cut = execute(client, 'sleep 300');
  const outcome = expect(cut).rejects.toThrow('connection lost');

  await machine.reboot();

  await outcome;
  expect([before, other].map(({ MainPID }) => isAlive(Number(MainPID)))).toEqual([false, false]);
  expect(await machine.run('systemctl is-active enabled disabled')).toMatchObject({
    out: 'active\ninactive\n',
  });
  expect(await machine.run('systemctl is-enabled enabled disabled')).toMatchObject({
    out: 'enabled\ndisabled\n',
  });
});

test('leaves no process at its close, not even one that will not go', async () => {
  const machine = await aMachine();
  mkdirSync(join(machine.directory, 'srv'));
  const program = compiled(machine, 'srv/ignores-sigterm', ignoresSigterm);
  machine.unit('stubborn.service', `ExecStart=${program}`, 'TimeoutStopSec=1h', 'Restart=always');
  machine.unit('crashes.service', "ExecStart=/bin/sh -c 'exit 1'", 'Restart=always', 'RestartSec=1h');
  await machine.run('systemctl start stubborn crashes');
  await untilUp(machine, 'stubborn');
  const { MainPID } = await machine.show('stubborn', 'MainPID');
  const { out: socket } = await machine.run(
    "sed -n \"s/.*' '\\(.*\\)' systemctl.*/\\1/p\" $(command -v systemctl)",
  );

  await machine.close();

  expect(isAlive(Number(MainPID))).toBe(false);
  expect(() => readFileSync(socket.trim())).toThrow('ENOENT');
});

test('keeps several machines of one process apart', async () => {
  const machines = await Promise.all([aMachine({ name: 'blue-1' }), aMachine({ name: 'green-1' })]);
  for (const machine of machines)
    machine.unit('greeter.service', `ExecStart=/bin/sh -c "echo ${machine.sshPort}; sleep 300"`);

  await machines[0].run('systemctl start greeter');

  expect(await machines[0].show('greeter', 'ActiveState')).toEqual({ ActiveState: 'active' });
  expect(await machines[1].show('greeter', 'ActiveState')).toEqual({ ActiveState: 'inactive' });
});

test('starts what is enabled when a machine is made from a folder that was one before', async () => {
  const machine = await aMachine();
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300');
  await machine.run('systemctl enable greeter');
  await machine.close();

  const again = await startMachine({ name: 'green-1', directory: machine.directory, authorizedKeys: [] });

  expect(again.init.unit('greeter').status.activeState).toBe('active');
  await again.close();
});

test('ends what a machine left running that was killed itself', async () => {
  const directory = aDirectory();
  const machine = await aMachine({ directory });
  machine.unit('greeter.service', 'ExecStart=/bin/sleep 300');
  const host = new URL('../../../sandbox/machines/session.ts', import.meta.url);
  const orphan = `
    import { Session } from ${JSON.stringify(host.href)};
    const { pid } = await Session.start({
      owner: ${JSON.stringify(machine.unitDirectory)}, program: '/bin/sleep', words: ['sleep', '300'],
      workingDirectory: '/', environment: {}, stdin: 'ignore',
    });
    console.log(pid);
    process.kill(process.pid, 'SIGKILL');
  `;
  await machine.close();
  const { stdout } = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', orphan],
    {
      encoding: 'utf8',
    },
  );
  const pid = Number(stdout);
  expect(isAlive(pid)).toBe(true);

  const again = await startMachine({ name: 'green-1', directory, authorizedKeys: [] });

  expect(isAlive(pid)).toBe(false);
  await again.close();
});

test('removes the socket that a machine left behind that was killed itself', async () => {
  const directory = aDirectory();
  const left = mkdtempSync(join(tmpdir(), 'verdigris-init-'));
  mkdirSync(join(directory, 'usr/lib'), { recursive: true });
  symlinkSync(left, join(directory, 'usr/lib/init-socket'));

  await aMachine({ directory });

  expect(existsSync(left)).toBe(false);
});

test('ends up as it was last told, whatever was asked of it at the same time', async () => {
  const machine = await aMachine();
  machine.unit(
    'greeter.service',
    'ExecStart=/bin/sleep 300',
    'Restart=always',
    'RestartSec=1ms',
    'StartLimitBurst=0',
  );
  const unit = machine.init.unit('greeter');
  const asks = [
    () => unit.start(),
    () => unit.stop(),
    () => unit.restart(),
    () => Promise.resolve(unit.signal('SIGKILL', 'main')),
  ];
  const pids = new Set<number>();
  const note = () => pids.add(unit.status.mainPid);

  for (let round = 0; round < 40; round += 1) {
    const chosen = [round, round >> 1, round >> 2, 3 * round].map((number) => asks[number % asks.length]!);
    await Promise.all(chosen.map((ask) => ask().then(note)));
  }
  await unit.stop();

  expect(unit.status.mainPid).toBe(0);
  // Failed, where a kill came before the stop.
  expect(['inactive', 'failed']).toContain(unit.status.activeState);
  pids.delete(0);
  expect(pids.size).toBeGreaterThan(1);
  expect([...pids].filter(isAlive)).toEqual([]);
  expect(await unit.start()).toBe('done');
  expect(unit.status).toMatchObject({ activeState: 'active', subState: 'running' });
});
