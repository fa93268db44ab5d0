import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { interpretedClient } from '../../../sandbox/machines/init-client.js';
import { aDirectory, aMachine, type BenchMachine } from './bench-machine.js';

const aGreeter = async (...settings: readonly string[]): Promise<BenchMachine> => {
  const machine = await aMachine();
  machine.unit(
    'greeter.service',
    "ExecStart=/bin/sh -c 'echo one; echo two; echo three; exec sleep 300'",
    ...settings,
  );
  return machine;
};

const untilSaid = (machine: BenchMachine, text: string) =>
  expect.poll(async () => (await machine.run('journalctl -u greeter -o cat')).out).toContain(text);

test.each([
  ['systemctl start nowhere', 5, '', 'Failed to start nowhere.service: Unit nowhere.service not found.\n'],
  [
    'systemctl restart nowhere',
    5,
    '',
    'Failed to restart nowhere.service: Unit nowhere.service not found.\n',
  ],
  ['systemctl stop nowhere', 5, '', 'Failed to stop nowhere.service: Unit nowhere.service not loaded.\n'],
  ['systemctl is-active nowhere', 3, 'inactive\n', ''],
  ['systemctl is-active --quiet nowhere', 3, '', ''],
  ['systemctl is-failed nowhere', 1, 'inactive\n', ''],
  [
    'systemctl is-enabled nowhere',
    1,
    '',
    'Failed to get unit file state for nowhere.service: No such file or directory\n',
  ],
  ['systemctl enable nowhere', 1, '', 'Failed to enable unit: Unit file nowhere.service does not exist.\n'],
  ['systemctl status nowhere', 4, '', 'Unit nowhere.service could not be found.\n'],
  ['systemctl cat nowhere', 1, '', 'No files found for nowhere.service.\n'],
  [
    'systemctl kill nowhere',
    1,
    '',
    'Failed to kill unit nowhere.service: Unit nowhere.service not loaded.\n',
  ],
  [
    'systemctl reset-failed nowhere',
    1,
    '',
    'Failed to reset failed state of unit nowhere.service: Unit nowhere.service not loaded.\n',
  ],
  [
    'systemctl show nowhere -p LoadState -p ActiveState',
    0,
    'LoadState=not-found\nActiveState=inactive\n',
    '',
  ],
  ['systemctl frobnicate', 1, '', 'Unknown command verb frobnicate.\n'],
  ['systemctl start', 1, '', 'Too few arguments.\n'],
  ['systemctl --frobnicate', 1, '', "systemctl: unrecognized option '--frobnicate'\n"],
  ['journalctl -u nowhere', 0, '-- No entries --\n', ''],
  ['journalctl -u nowhere -q', 0, '', ''],
])('%s exits with %i', async (command, status, out, err) => {
  const machine = await aMachine();

  expect(await machine.run(command)).toEqual({ status, signal: undefined, out, err });
});

test('show prints properties in its own order, and values alone when asked', async () => {
  const machine = await aGreeter('RestartSec=1min 30s', 'TimeoutStopSec=infinity');
  await machine.run('systemctl start greeter');

  const { out } = await machine.run(
    'systemctl show greeter -p SubState,TimeoutStopUSec --property=RestartUSec',
  );
  const values = await machine.run('systemctl show -p ActiveState -p Type --value greeter.service');

  expect(out).toBe('RestartUSec=1min 30s\nTimeoutStopUSec=infinity\nSubState=running\n');
  expect(values.out).toBe('simple\nactive\n');
});

test('show tells times on both clocks', async () => {
  const machine = await aGreeter();
  await machine.run('systemctl start greeter');

  const times = await machine.show('greeter', 'ExecMainStartTimestamp', 'ExecMainStartTimestampMonotonic');

  expect(times['ExecMainStartTimestamp']).toMatch(/^[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
  expect(Number(times['ExecMainStartTimestampMonotonic'])).toBeGreaterThan(0);
});

test('status shows state, files and last lines, and exits with 3 when it does not run', async () => {
  const machine = await aGreeter();
  await machine.run('systemctl start greeter');
  await untilSaid(machine, 'three');

  const running = await machine.run('systemctl status greeter');
  const stopped = await machine.run('systemctl stop greeter; systemctl status greeter');

  expect(running).toMatchObject({ status: 0 });
  expect(running.out).toContain(
    `Loaded: loaded (${machine.unitDirectory}/greeter.service; disabled; preset: enabled)`,
  );
  expect(running.out).toContain('Active: active (running) since ');
  expect(running.out).toMatch(/Main PID: \d+ \(sleep\)/);
  expect(running.out).toContain(': three\n');
  expect(stopped.status).toBe(3);
  expect(stopped.out).toContain('Active: inactive (dead)');
});

test('enable and disable say which links they make and remove', async () => {
  const machine = await aGreeter();
  const file = `${machine.unitDirectory}/greeter.service`;
  const link = `${machine.unitDirectory}/multi-user.target.wants/greeter.service`;

  expect((await machine.run('systemctl enable greeter')).err).toBe(`Created symlink ${link} → ${file}.\n`);
  expect((await machine.run('systemctl enable greeter')).err).toBe('');
  expect((await machine.run('systemctl disable greeter')).err).toBe(`Removed "${link}".\n`);
  expect(await machine.run('systemctl is-enabled greeter')).toMatchObject({ status: 1, out: 'disabled\n' });
});

test('cat prints every file of a unit', async () => {
  const machine = await aGreeter();
  const dropIn = machine.write('etc/systemd/system/greeter.service.d/10-more.conf', '[Service]\nNice=5\n');

  const { out } = await machine.run('systemctl cat greeter');

  expect(out).toContain(`# ${machine.unitDirectory}/greeter.service\n[Service]\n`);
  expect(out).toContain(`# ${dropIn}\n[Service]\nNice=5\n`);
});

test('reload runs ExecReload, and reload-or-restart restarts where there is none', async () => {
  const machine = await aGreeter('ExecReload=/bin/sh -c "echo reloading $$MAINPID"');
  machine.unit('plain.service', 'ExecStart=/bin/sleep 300');
  await machine.run('systemctl start greeter plain');
  const [greeter, plain] = [await machine.show('greeter', 'MainPID'), await machine.show('plain', 'MainPID')];

  await machine.run('systemctl reload greeter; systemctl reload-or-restart plain');

  await untilSaid(machine, `reloading ${greeter['MainPID']}`);
  expect(await machine.show('greeter', 'MainPID')).toEqual(greeter);
  expect(await machine.show('plain', 'MainPID')).not.toEqual(plain);
});

test('try-restart leaves alone what does not run', async () => {
  const machine = await aGreeter();

  expect(await machine.run('systemctl try-restart greeter')).toMatchObject({ status: 0 });
  expect(await machine.show('greeter', 'ActiveState')).toEqual({ ActiveState: 'inactive' });
});

test('lists the units in memory that are not inactive', async () => {
  const machine = await aGreeter();
  machine.unit('other.service', 'ExecStart=/bin/sleep 300');
  await machine.run('systemctl daemon-reload; systemctl start greeter');

  const { out } = await machine.run('systemctl list-units --no-legend --plain');
  const all = await machine.run('systemctl list-units --all --no-legend "ot*"');

  expect(out).toBe('greeter.service loaded active running greeter.service\n');
  expect(all.out).toBe('other.service loaded inactive dead other.service\n');
});

test('a unit whose files say nothing usable is not started, and why is in the journal', async () => {
  const machine = await aMachine();
  machine.unit('broken.service', 'ExecStart=./relative');

  const { status, err } = await machine.run('systemctl start broken');

  expect(status).toBe(1);
  expect(err).toContain('Unit broken.service has a bad unit file setting.');
  expect(await machine.show('broken', 'LoadState')).toEqual({ LoadState: 'bad-setting' });
  expect((await machine.run('journalctl -u broken -o cat')).out).toContain(
    `${machine.unitDirectory}/broken.service:2: Neither a valid executable name nor an absolute path: ./relative`,
  );
});

test('journalctl shows the last lines, in several forms', async () => {
  const machine = await aGreeter();
  await machine.run('systemctl start greeter');
  await untilSaid(machine, 'three');

  expect((await machine.run('journalctl -u greeter -n 2 -o cat --no-pager')).out).toBe('two\nthree\n');
  expect((await machine.run('journalctl -u greeter -n1 -o short-iso')).out).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \S+ sh\[\d+\]: three\n$/,
  );
  const json: unknown = JSON.parse((await machine.run('journalctl -u greeter -n 1 -o json')).out);
  expect(json).toMatchObject({ MESSAGE: 'three', _SYSTEMD_UNIT: 'greeter.service', SYSLOG_IDENTIFIER: 'sh' });
});

test('journalctl tells one run of a program from the next', async () => {
  const machine = await aGreeter();
  await machine.run('systemctl start greeter');
  await untilSaid(machine, 'three');
  await machine.run('systemctl restart greeter');
  const { InvocationID } = await machine.show('greeter', 'InvocationID');
  const ofThisRun = () => machine.run(`journalctl -u greeter -o cat _SYSTEMD_INVOCATION_ID=${InvocationID}`);

  await expect.poll(async () => (await ofThisRun()).out).toBe('one\ntwo\nthree\n');
});

test('journalctl starts at a time that was asked for', async () => {
  const machine = await aGreeter();
  await machine.run('systemctl start greeter');
  await untilSaid(machine, 'three');
  const nextSecond = Math.ceil(Date.now() / 1000) + 1;

  expect((await machine.run(`journalctl -u greeter --since=@${nextSecond}`)).out).toBe('-- No entries --\n');
  expect((await machine.run('journalctl -u greeter -o cat --since=-1h')).out).toContain('one\n');
  expect((await machine.run('journalctl --since=whenever')).err).toBe(
    'Failed to parse timestamp: whenever\n',
  );
});

test('journalctl follows a unit until it is told to stop', async () => {
  const machine = await aGreeter();
  const client = await machine.connect();

  const seen = await new Promise<string>((resolve, reject) => {
    client.exec('journalctl -u greeter -f -o cat', (error, channel) => {
      if (error !== undefined) reject(error);
      let text = '';
      channel.on('data', (data: Buffer) => {
        text += data.toString();
        if (text.includes('three')) channel.signal('TERM');
      });
      channel.on('close', () => resolve(text));
    });
    machine.run('systemctl start greeter').catch(reject);
  });

  expect(seen).toContain('one\ntwo\nthree\n');
});

test('verify prints what systemd would ignore without failing, and fails for what it refuses', async () => {
  const machine = await aMachine();
  const sloppy = machine.write(
    'staging/sloppy.service',
    '[Unit]\nDescripton=typo\n[Service]\nExecStart=/bin/true\nRestart=sometimes\nTimeoutStopSec=soon\nno equals sign\nProtectSystem=strict\n[X-Ours]\na=b\n[Other]\n',
  );
  machine.write('staging/missing.service', '[Service]\nExecStart=/nowhere/program\n');
  const empty = machine.write('staging/nothing.service', '[Unit]\nDescription=nothing\n');
  const fine = machine.write(
    'staging/fine.service',
    '[Service]\nExecStart=/bin/true\nUser=greeter\nLimitNOFILE=4096\n',
  );

  expect(await machine.run(`systemd-analyze verify ${sloppy}`)).toMatchObject({
    status: 0,
    err:
      `${sloppy}:2: Unknown key 'Descripton' in section [Unit], ignoring.\n` +
      `${sloppy}:5: Failed to parse service restart specifier, ignoring: sometimes\n` +
      `${sloppy}:6: Failed to parse time value, ignoring: soon\n` +
      `${sloppy}:7: Missing '=', ignoring line.\n` +
      `${sloppy}:11: Unknown section 'Other'. Ignoring.\n`,
  });
  expect(
    await machine.run(`cd ${machine.directory}/staging && systemd-analyze verify ./missing.service`),
  ).toMatchObject({
    status: 1,
    err: 'missing.service: Command /nowhere/program is not executable: No such file or directory\n',
  });
  expect(await machine.run(`systemd-analyze verify ${empty}`)).toMatchObject({
    status: 1,
    err:
      'nothing.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.\n' +
      'Unit nothing.service has a bad unit file setting.\n',
  });
  expect(await machine.run(`systemd-analyze verify ${fine}`)).toMatchObject({ status: 0, err: '' });
});

test('sudo runs what it is given', async () => {
  const machine = await aGreeter();

  expect(await machine.run('sudo -n -u root FOO=bar sh -c \'echo $FOO "$1"\' sh "two words"')).toMatchObject({
    out: 'bar two words\n',
  });
  expect(await machine.run('sudo -n -- systemctl start greeter')).toMatchObject({ status: 0 });
});

test('without a C compiler, the commands work as well', async () => {
  const machine = await aGreeter();
  const { out } = await machine.run("sed -n \"s/.*' '\\(.*\\)' systemctl.*/\\1/p\" $(command -v systemctl)");
  const [node = '', script = ''] = await interpretedClient(aDirectory());
  const call = (...words: readonly string[]) => promisify(execFile)(node, [script, out.trim(), ...words]);

  expect(await call('systemctl', 'start', 'greeter')).toEqual({ stdout: '', stderr: '' });
  expect(await call('systemctl', 'show', '-p', 'ActiveState', 'greeter')).toMatchObject({
    stdout: 'ActiveState=active\n',
  });
  await expect(call('systemctl', 'start', 'nowhere')).rejects.toMatchObject({
    code: 5,
    stderr: 'Failed to start nowhere.service: Unit nowhere.service not found.\n',
  });
  await expect(
    promisify(execFile)(node, [script, '/nowhere', 'systemctl', 'start', 'greeter']),
  ).rejects.toMatchObject({
    code: 1,
    stderr: 'Failed to connect to bus: No such file or directory\n',
  });
});
