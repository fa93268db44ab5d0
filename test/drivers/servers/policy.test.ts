import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { create } from 'tar';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createHash } from 'node:crypto';
import { installedHelper } from '../../../drivers/servers/installed-helper.js';
import { allowedSettings } from '../../../drivers/servers/setup-script.js';
import { HelperWorld, type HelperRun, type PackedRelease } from './helper-world.js';

let world: HelperWorld;
let digest: string;

beforeEach(async () => {
  world = await HelperWorld.start();
  await mkdir(join(world.directory, 'policies'));
  await mkdir(world.server, { recursive: true });
  const text = installedHelper({
    path: join(world.directory, 'helper'),
    policies: join(world.directory, 'policies'),
    unitDirectory: join(world.directory, 'units'),
    searchPath: `${join(world.directory, 'bin')}:/usr/sbin:/usr/bin:/sbin:/bin`,
  });
  digest = createHash('sha256').update(text).digest('hex');
  await world.write('helper', text);
  await chmod(join(world.directory, 'helper'), 0o755);
  await world.write('policies/greeter.service.policy', policy());
});
afterEach(() => world.close());

const policy = (more: Readonly<Record<string, string>> = {}): string =>
  Object.entries({
    unit: 'greeter.service',
    directory: world.server,
    user: 'nobody',
    group: 'nogroup',
    login: 'deploy',
    ...Object.fromEntries(
      Object.entries(allowedSettings).map(([section, names]) => [`allow.${section}`, names.join(' ')]),
    ),
    ...more,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

const token = '000000000000001-000001';
const fields = ({ lines }: HelperRun) =>
  Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));

const run = (command: string, words: Readonly<Record<string, string | number>> = {}, how: object = {}) =>
  world.run(
    command,
    { helper: digest, ...words },
    { program: join(world.directory, 'helper'), environment: { SUDO_USER: 'deploy' }, ...how },
  );

const settings = (text: string): string => Buffer.from(text).toString('base64');
const install = async (unit: string, packed?: PackedRelease) => {
  const release = packed ?? (await world.release('v1'));
  return run('install', { token, ...release.words, 'unit-conf': settings(unit) }, { input: release.archive });
};

test('finds no fault with shellcheck', async (context) => {
  const { failed, stdout } = await execa('shellcheck', ['--shell=sh', join(world.directory, 'helper')], {
    reject: false,
  });
  if (failed && stdout === '') {
    if (process.env['VERDIGRIS_DEMAND_ALL']) throw new Error('Cannot check the helper: needs shellcheck');
    return context.skip('shellcheck is not installed');
  }
  expect(stdout).toBe('');
});

test('tells its version, and works for a worker that means the same', async () => {
  const seen = await run('observe');
  expect(fields(seen)).toMatchObject({ helper: digest, foreign: 'no' });
  expect(seen.lines.at(-1)).toBe('ok');
});

test.each([
  ['another version', { helper: '0'.repeat(64) }],
  ['no version', { helper: '' }],
  ['a version and a word that it does not know', { helper: '0'.repeat(64), colour: 'blue' }],
])('does nothing for a worker that means %s', async (_, words) => {
  expect(fields(await run('observe', words))).toMatchObject({ helper: digest, error: 'HelperOutdated' });
});

test('is another helper as soon as a byte of it is changed', async () => {
  await writeFile(join(world.directory, 'helper'), `${await world.read('helper')}\n# and more\n`);
  expect(fields(await run('observe'))).toMatchObject({ error: 'HelperOutdated' });
});

test.each([
  ['a unit without a policy', { unit: 'ssh.service' }],
  ['a directory that is not the unit’s', { directory: '/etc' }],
])('refuses %s', async (_, words) => {
  expect(fields(await run('observe', words))).toMatchObject({ error: 'PolicyRefused' });
});

test('refuses a caller whom the policy does not name', async () => {
  const seen = await run('observe', {}, { environment: { SUDO_USER: 'somebody' } });
  expect(fields(seen)).toMatchObject({
    error: 'PolicyRefused',
    message: expect.stringContaining('somebody'),
  });
});

test.each(['root', '', 'a b', '0'])('refuses a policy that lets the program be "%s"', async (user) => {
  await world.write('policies/greeter.service.policy', policy({ user }));
  expect(fields(await run('observe'))).toMatchObject({ error: 'PolicyRefused' });
});

test.each([
  ['the policy', 'policies/greeter.service.policy', 0o666],
  ['the directory of the server', 'srv/greeter', 0o777],
  ['the directory above it', 'srv', 0o777],
])('refuses to work while others can write to %s', async (_, path, mode) => {
  await chmod(join(world.directory, path), mode);
  expect(fields(await run('observe'))).toMatchObject({
    error: 'PolicyRefused',
    message: expect.stringContaining(path),
  });
});

test('refuses to work where an access list lets somebody write, whatever the mode says', async () => {
  await execa('python3', ['-c', accessList, world.server]);
  expect(fields(await run('observe'))).toMatchObject({
    error: 'PolicyRefused',
    message: expect.stringContaining('srv/greeter'),
  });
});

/** The owner and user 65534 may do everything, others read. */
const accessList = `
import os, struct, sys
entries = [(1, 7, -1), (2, 7, 65534), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
text = struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *entry) for entry in entries)
os.setxattr(sys.argv[1], 'system.posix_acl_access', text)`;

test('what its caller may use is no limit to it: a check that cannot run would find nothing', async () => {
  await writeFile(join(world.directory, 'bin/df'), '#!/bin/sh\ncat /proc/self/limits >"$WORLD/limits"\n', {
    mode: 0o755,
  });
  // Soft ones, which may be lifted even where root may not raise a hard one.
  const own = ['stack=262144', 'as=500000000', 'nofile=32', 'fsize=1000', 'cpu=9'].map(
    (limit) => `--${limit}:`,
  );
  const shell = ['prlimit', ...own, 'sh'];
  expect((await run('observe', {}, { shell })).lines.at(-1)).toBe('ok');
  const limits = (await world.read('limits')) ?? '';
  for (const [name, soft] of [
    ['Max stack size', '8388608'],
    ['Max address space', 'unlimited'],
    ['Max open files', '1024'],
    ['Max file size', 'unlimited'],
    ['Max cpu time', 'unlimited'],
  ] as const)
    expect(limits).toMatch(new RegExp(`^${name} +${soft} `, 'm'));
});

test.each(['-Hroot@203.0.113.1', 'a.service,-Mx', '--help', 'a.service b.service'])(
  'takes no option for a unit of the machine: %j',
  async (neighbours) => {
    const release = await world.release('v1');
    const seen = await run('activate', { token, release: release.release, neighbours });
    expect(fields(seen)).toMatchObject({
      error: 'CommandFailed',
      message: expect.stringContaining('cannot be units'),
    });
  },
);

test.each(['releases', '.verdigris'])('refuses to work where %s is a link', async (name) => {
  await mkdir(join(world.directory, 'elsewhere'));
  await symlink(join(world.directory, 'elsewhere'), join(world.server, name));
  const seen = await install('[Service]\nExecStart=/bin/true\n');
  expect(fields(seen)).toMatchObject({ error: 'PolicyRefused' });
  expect(await world.list('../../elsewhere')).toEqual([]);
});

test('does not look at where its caller would have it look', async () => {
  await mkdir(join(world.directory, 'evil'));
  for (const name of ['systemctl', 'id', 'ls'])
    await writeFile(join(world.directory, 'evil', name), '#!/bin/sh\ntouch "$WORLD/pwned"\n', {
      mode: 0o755,
    });
  const PATH = `${world.directory}/evil:/usr/bin:/bin`;
  const environment = { SUDO_USER: 'deploy', VERDIGRIS_UNIT_DIRECTORY: '/nowhere', PATH };
  const seen = await run('observe', {}, { environment });
  expect(seen.lines.at(-1)).toBe('ok');
  expect(await world.read('pwned')).toBeUndefined();
});

describe('the unit of a release', () => {
  const written = async () => {
    const release = (await world.list('releases'))[0];
    return await readFile(join(world.server, `releases/${release}/.verdigris/unit.conf`), 'utf8');
  };

  test('is rewritten so that the program’s user runs it, and nothing of another unit runs beside it', async () => {
    const seen = await install(`
# a comment
[Unit]
Description = Greeter
Wants=network-online.target time-sync.target
[Service]
ExecStart=${world.server}/current/bin/greeter \\
  # said in between
  --port 8080
Environment="A=b c" D=e
EnvironmentFile=-${world.server}/current/etc/greeter.env
LoadCredential=password:${world.server}/current/etc/password
StateDirectory=greeter
User=nobody
AmbientCapabilities=CAP_NET_BIND_SERVICE
[Install]
WantedBy=multi-user.target
`);
    expect(seen.lines.at(-1)).toBe('ok');
    const lines = (await written()).split('\n').slice(1);
    expect(lines).toEqual([
      '[Service]',
      'ExecCondition=',
      'ExecStartPre=',
      'ExecStart=',
      'ExecStartPost=',
      'ExecReload=',
      'ExecStop=',
      'ExecStopPost=',
      'Environment=',
      'EnvironmentFile=',
      'SupplementaryGroups=',
      'AmbientCapabilities=',
      'User=nobody',
      'Group=nogroup',
      'DynamicUser=no',
      '[Unit]',
      'Description=Greeter',
      'Wants=network-online.target time-sync.target',
      '[Service]',
      `ExecStart=${world.server}/current/bin/greeter    --port 8080`,
      'Environment="A=b c" D=e',
      `EnvironmentFile=-${world.server}/current/etc/greeter.env`,
      `LoadCredential=password:${world.server}/current/etc/password`,
      'StateDirectory=greeter',
      'AmbientCapabilities=CAP_NET_BIND_SERVICE',
      '[Install]',
      'WantedBy=multi-user.target',
      '# end',
      '',
    ]);
  });

  test.each([
    ['another user', 'User=root'],
    ['another user, spaced out', '  User = root'],
    ['another user by number', 'User=0'],
    ['another group', 'Group=root'],
    ['more groups', 'SupplementaryGroups=disk'],
    ['a command with all rights', 'ExecStartPre=+/bin/sh -c id'],
    ['a command with all rights, in quotes', 'ExecStartPre="+/bin/sh" -c id'],
    ['a command with all rights, escaped', 'ExecStartPre=\\x2b/bin/sh -c id'],
    ['a command with all rights, after others', 'ExecStartPre=/bin/true ; +/bin/sh -c id'],
    ['a command with all rights, after a tab', 'ExecStartPre=/bin/true\t;\t-+/bin/sh -c id'],
    ['a command with all rights, continued', 'ExecStartPre=\\\n+/bin/sh -c id'],
    ['a command with all rights, continued over a comment', 'ExecStartPre=\\\n# said\n+/bin/sh -c id'],
    ['a command with the user’s rights only half given up', 'ExecStart=!/bin/sh'],
    ['the older way to half give them up', 'ExecStart=!!/bin/sh'],
    ['rights among harmless marks', 'ExecStop=-@+/bin/sh sh'],
    ['a reload with all rights', 'ExecReload=+/bin/kill -HUP 1'],
    ['commands run before the user is put on', 'PermissionsStartOnly=yes'],
    ['a library for commands with rights', 'ExecStopPost=|/bin/sh'],
    ['more capabilities', 'AmbientCapabilities=CAP_SYS_ADMIN'],
    ['kept rights', 'SecureBits=keep-caps'],
    ['a file that root reads', 'EnvironmentFile=/etc/shadow'],
    ['a file below shared/ that root reads', 'EnvironmentFile=/srv/greeter/shared/env'],
    ['a way out of the release', 'EnvironmentFile=/srv/greeter/current/../../../etc/shadow'],
    ['a file that root writes', 'StandardOutput=file:/etc/cron.d/x'],
    ['a file that root appends to', 'StandardError=append:/etc/passwd'],
    ['a file that root opens', 'StandardInput=file:/etc/shadow'],
    ['a credential that root reads', 'LoadCredential=x:/etc/shadow'],
    ['a credential below shared/ that root reads', 'LoadCredential=x:/srv/greeter/shared/password'],
    ['a credential out of the release', 'LoadCredential=x:/srv/greeter/current/../../../etc/shadow'],
    ['a credential of the system', 'LoadCredential=/srv/greeter/current/etc/password'],
    ['a file passed open', 'OpenFile=/etc/shadow'],
    ['another root', 'RootDirectory=/srv/greeter/shared'],
    ['a mount', 'BindPaths=/srv/greeter/shared:/etc'],
    ['an empty /etc', 'TemporaryFileSystem=/etc'],
    ['somebody else’s directory', 'StateDirectory=dpkg'],
    ['a directory above its own', 'RuntimeDirectory=greeter/../systemd'],
    ['a file that is removed at its end', 'PIDFile=/etc/passwd'],
    ['a session of another', 'PAMName=login'],
    ['another section', '[Socket]\nListenStream=22'],
    ['another name', '[Install]\nAlias=ssh.service'],
    ['another unit with it', '[Install]\nAlso=debug-shell.service'],
    ['a unit that is started with it', '[Unit]\nWants=debug-shell.service'],
    ['a unit that is stopped by it', '[Unit]\nConflicts=ssh.service'],
    ['what happens to the machine', '[Unit]\nFailureAction=reboot'],
    ['another unit after it', '[Unit]\nOnFailure=debug-shell.service'],
    ['its turn before others', 'Nice=-5'],
    ['the memory of others before its own', 'OOMScoreAdjust=-1000'],
    ['the disk before others', 'IOSchedulingClass=realtime'],
    ['a line that is no setting', 'ExecStart'],
    ['a carriage return that is a line end to systemd', 'Environment=A=b\rUser=root'],
    ['a zero that is a line end to systemd', 'Environment=A=b\0User=root'],
    ['a form feed', 'Environment=A=b\fUser=root'],
    ['an end that would go on', 'ExecStart=/bin/true \\\\\\'],
  ])('is refused when it has %s', async (_, line) => {
    const text = `[Service]\nExecStart=/bin/true\n${line.replaceAll('/srv/greeter', world.server)}\n`;
    const seen = await install(text);
    expect(fields(seen)).toMatchObject({ error: 'UnitRefused' });
    expect(await world.list('releases')).toEqual([]);
    expect(await world.list('.verdigris/incoming')).toEqual([]);
  });

  test('is refused with every complaint at once, by line', async () => {
    const seen = await install('[Service]\nUser=root\nExecStart=/bin/true\nSlice=a.slice\n');
    expect(fields(seen)['message']).toContain('line 2: User=root is not allowed, needs nobody or nothing');
    expect(fields(seen)['message']).toContain('line 4: Slice= is not allowed in [Service]');
  });

  test('may say what an administrator added to the policy', async () => {
    await world.write('policies/greeter.service.policy', policy({ 'also.Service': 'Slice StandardOutput' }));
    const seen = await install(
      '[Service]\nExecStart=/bin/true\nSlice=a.slice\nStandardOutput=append:/var/log/greeter\n',
    );
    expect(seen.lines.at(-1)).toBe('ok');
    expect(await written()).toContain('Slice=a.slice\nStandardOutput=append:/var/log/greeter\n');
  });

  test('is refused over a unit whose commands run as root whatever the user is', async () => {
    await world.write('units/greeter.service', '[Service]\nPermissionsStartOnly=true\n');
    expect(fields(await install('[Service]\nExecStart=/bin/true\n'))).toMatchObject({ error: 'UnitRefused' });
  });

  test('that the example has is allowed', async () => {
    const example = await readFile('examples/greeter/systemd/greeter.service', 'utf8');
    const seen = await install(example.replaceAll(/\{\{directory\}\}/g, world.server));
    expect(fields(seen)['message']).toBeUndefined();
    expect(seen.lines.at(-1)).toBe('ok');
  });

  for (const shell of [['dash'], ['bash', '--posix'], ['busybox', 'sh']]) {
    test(`is looked at the same under ${shell.join(' ')}`, async (context) => {
      const { failed } = await execa(shell[0] ?? '', [...shell.slice(1), '-c', 'exit 0'], { reject: false });
      if (failed) return context.skip(`${shell[0]} is not installed`);
      const release = await world.release('v1');
      const words = (unit: string) => ({ token, ...release.words, 'unit-conf': settings(unit) });
      const how = { shell, input: release.archive };
      const bad = await run('install', words('[Service]\nExecStart=/bin/true\nUser=root\n'), how);
      expect(fields(bad)).toMatchObject({ error: 'UnitRefused' });
      const good = await run('install', words('[Service]\nExecStart=/bin/true\n'), how);
      expect(good.lines.at(-1)).toBe('ok');
      expect((await run('activate', { token, release: release.release }, { shell })).lines.at(-1)).toBe('ok');
    });
  }
});

describe('an artifact', () => {
  const packed = async (make: (tree: string) => Promise<unknown>): Promise<PackedRelease> => {
    const tree = join(world.directory, 'strange');
    await mkdir(join(tree, 'bin'), { recursive: true });
    await writeFile(join(tree, 'bin/greeter'), '#!/bin/sh\n', { mode: 0o755 });
    await make(tree);
    const archive = join(world.directory, 'strange.tar.gz');
    await create({ gzip: true, file: archive, cwd: tree, preservePaths: true }, ['.']);
    await rm(tree, { recursive: true });
    const bytes = await readFile(archive);
    const artifact = createHash('sha256').update(bytes).digest('hex');
    const release = `${artifact.slice(0, 12)}-00000000`;
    return {
      release,
      archive,
      words: { release, artifact, size: bytes.length, executable: 'bin/greeter', keep: 3 },
    };
  };

  test.each([
    ['a link to a file elsewhere', '/etc/passwd'],
    ['a link that climbs out', '../../../../../etc/passwd'],
    ['a link into shared/', '../../shared/state'],
  ])('with %s is refused', async (_, target) => {
    const release = await packed((tree) => symlink(target, join(tree, 'etc')));
    const seen = await install('[Service]\nExecStart=/bin/true\n', release);
    expect(fields(seen)).toMatchObject({
      error: 'ArchiveUnsafe',
      message: expect.stringContaining('has etc'),
    });
    expect(await world.list('releases')).toEqual([]);
  });

  test.each([
    ['a link there', '.verdigris', 'd/unit.conf'],
    ['a link to where it begins', '.', 'd/.verdigris/unit.conf'],
    ['a link to a link', 'e', 'd/.verdigris/executable'],
  ])('cannot put a file in the place of what was looked at, by %s', async (_, target, path) => {
    const release = await packed(async (tree) => {
      await symlink(target, join(tree, 'd'));
      await symlink('.', join(tree, 'e'));
    });
    const evil = await world.filled(release, { [`public ${path}`]: '[Service]\nUser=root\n' });
    const seen = await install('[Service]\nExecStart=/bin/true\n', evil);
    expect(fields(seen)).toMatchObject({ error: 'ArchiveUnsafe' });
    expect(await world.list('releases')).toEqual([]);
  });

  test('may have links that stay inside', async () => {
    const release = await packed((tree) => symlink('bin/greeter', join(tree, 'greeter')));
    const seen = await install('[Service]\nExecStart=/bin/true\n', release);
    expect(seen.lines.at(-1)).toBe('ok');
  });

  test('that was packed in a directory for its owner alone is one that the program’s user may enter', async () => {
    const release = await packed((tree) => chmod(tree, 0o700));
    const seen = await install('[Service]\nExecStart=/bin/true\n', release);
    expect(seen.lines.at(-1)).toBe('ok');
    const { mode } = await stat(join(world.server, 'releases', release.release));
    expect((mode & 0o777).toString(8)).toBe('755');
  });

  test('with a pipe is refused', async () => {
    const release = await packed(() => Promise.resolve());
    const tree = join(world.directory, 'piped');
    await mkdir(tree);
    await execa('tar', ['-xzf', release.archive, '-C', tree]);
    await execa('mkfifo', [join(tree, 'pipe')]);
    await execa('tar', ['-czf', release.archive, '-C', tree, '.']);
    const bytes = await readFile(release.archive);
    const artifact = createHash('sha256').update(bytes).digest('hex');
    const seen = await install('[Service]\nExecStart=/bin/true\n', {
      ...release,
      words: { ...release.words, artifact, size: bytes.length },
    });
    expect(fields(seen)).toMatchObject({ error: 'ArchiveUnsafe' });
  });

  test.each(['../../../etc/passwd', '/etc/passwd', 'bin/../../x', 'a b', '-n', '$(id)'])(
    'whose executable is called "%s" is refused',
    async (executable) => {
      const release = await world.release('v1');
      const seen = await install('[Service]\nExecStart=/bin/true\n', {
        ...release,
        words: { ...release.words, executable },
      });
      expect(fields(seen)).toMatchObject({ error: 'CommandFailed' });
      expect(await world.list('releases')).toEqual([]);
    },
  );
});

test.each([
  ['release', '$(touch WORLD/pwned)'],
  ['release', '0123456789ab-01234567; touch WORLD/pwned'],
  ['token', '`touch WORLD/pwned`'],
  ['unit', 'greeter.service; touch WORLD/pwned'],
  ['unit', '../greeter.service'],
  ['directory', '/srv/$(touch WORLD/pwned)'],
  ['port', '1$(touch WORLD/pwned)'],
  ['artifact', "x' 'y"],
  ['unit-conf', '$(touch WORLD/pwned)'],
  ['because', '$(touch WORLD/pwned)\n`touch WORLD/pwned`'],
])('takes the word %s=%s for what it is, and never runs it', async (name, value) => {
  const release = await world.release('v1');
  for (const command of ['install', 'activate', 'restore', 'remove', 'stop', 'adopt', 'observe', 'drain'])
    await run(
      command,
      { token, ...release.words, [name]: value.replaceAll('WORLD', world.directory) },
      { input: release.archive },
    );
  expect(await world.read('pwned')).toBeUndefined();
});

test('a program cannot write into its unit by the name that it gives itself', async () => {
  const name = join(world.directory, 'srv/x\n[Service]\nUser=root');
  await execa('cp', ['/usr/bin/sleep', name]);
  const program = execa(name, ['60'], { reject: false });
  try {
    await world.write('units/greeter.service', '[Service]\nExecStart=/bin/cat\n');
    await world.write('runs', 'the old program\n');
    await world.write('pid-of-main', `${program.pid}\n`);
    expect((await run('adopt', { token })).lines.at(-1)).toBe('ok');
    const release = (await world.list('releases'))[0];
    const unit = await readFile(join(world.server, `releases/${release}/.verdigris/unit.conf`), 'utf8');
    expect(unit.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([]);
  } finally {
    program.kill('SIGKILL');
    await program;
  }
});
