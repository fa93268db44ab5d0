import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HelperWorld, helperFile, type HelperRun, type PackedRelease } from './helper-world.js';

let world: HelperWorld;
beforeEach(async () => {
  world = await HelperWorld.start();
});
afterEach(() => world.close());

const token = (step: number) => `000000000000001-${String(step).padStart(6, '0')}`;
const install = ({ archive, words }: PackedRelease, step: number, how: object = {}) =>
  world.run('install', { token: token(step), ...words }, { input: archive, ...how });
const activate = ({ release }: PackedRelease, step: number, how: object = {}) =>
  world.run('activate', { token: token(step), release }, how);
const fields = ({ lines }: HelperRun) =>
  Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));

test('finds no fault with shellcheck', async (context) => {
  const { failed, stdout } = await execa('shellcheck', ['--shell=sh', helperFile], { reject: false });
  if (failed && stdout === '') {
    if (process.env['VERDIGRIS_DEMAND_ALL']) throw new Error('Cannot check the helper: needs shellcheck');
    return context.skip('shellcheck is not installed');
  }
  expect(stdout).toBe('');
});

for (const [ground, ...shell] of [
  ['dash', 'dash'],
  ['bash --posix', 'bash', '--posix'],
  ['bash', 'bash'],
  ['busybox sh', 'busybox', 'sh'],
  ['busybox, with its own tools and no others', 'busybox', 'sh'],
]) {
  test(`does the same under ${ground}`, async (context) => {
    const { failed } = await execa(shell[0] ?? '', [...shell.slice(1), '-c', 'exit 0'], { reject: false });
    if (failed) return context.skip(`${shell[0]} is not installed`);
    const how = ground?.includes('no others') ? { shell, environment: await busyboxAlone() } : { shell };
    const [v1, v2] = [await world.release('v1'), await world.release('v2')];
    for (const run of [
      await world.run('observe', {}, how),
      await install(v1, 1, how),
      await activate(v1, 2, how),
      await install(v2, 3, how),
      await activate(v2, 4, how),
      await world.run('restore', { token: token(5), release: v1.release }, how),
      await world.run(
        'remove',
        { token: token(6), release: v2.release, because: 'a "test"\nof two \\ lines' },
        how,
      ),
      await world.run('stop', { token: token(7) }, how),
    ]) {
      expect(run.lines.at(-1)).toBe('ok');
      expect(run.exitCode).toBe(0);
    }
    const seen = await world.run('observe', {}, how);
    expect(fields(seen)).toMatchObject({
      activeRelease: v1.release,
      installed: v1.release,
      foreign: 'no',
      token: token(7),
    });
    expect(await world.read(`srv/greeter/.verdigris/failed/${v2.release}/reason`)).toBe(
      'a "test"\nof two \\ lines\n',
    );
    expect(await world.read(`srv/greeter/.verdigris/failed/${v2.release}/last-words`)).toBe(
      'these were its last words\n',
    );
    expect(await world.list('.verdigris/incoming')).toEqual([]);
  });
}

/** What busybox brings, and `flock`, which Debian’s does not. */
async function busyboxAlone(): Promise<Readonly<Record<string, string>>> {
  const folder = join(world.directory, 'busybox');
  await mkdir(folder);
  const { stdout: busybox } = await execa('sh', ['-c', 'command -v busybox']);
  await execa(busybox, ['--install', '-s', folder]);
  await rm(join(folder, 'busybox'), { force: true });
  await symlink(busybox, join(folder, 'busybox'));
  const { stdout: flock } = await execa('sh', ['-c', 'command -v flock']);
  await rm(join(folder, 'flock'), { force: true });
  await symlink(flock, join(folder, 'flock'));
  return { PATH: `${join(world.directory, 'bin')}:${folder}` };
}

test('starts a release once more only when it cannot know that it runs', async () => {
  const v1 = await world.release('v1');
  await install(v1, 1);
  await activate(v1, 2);
  await activate(v1, 2);
  expect((await world.read('calls'))?.split('\n').filter((call) => call === 'start')).toHaveLength(1);
});

test('says that another executor holds the lock', async () => {
  await world.run('stop', { token: token(1) });
  const holder = spawn('flock', [join(world.server, '.verdigris/lock'), 'sh', '-c', 'echo held; read -r _'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const run = await world.run('stop', { token: token(2), 'busy-after-ms': 400 });
    expect(fields(run)).toMatchObject({ error: 'ServerBusy' });
    expect(run.exitCode).toBe(3);
  } finally {
    holder.stdin.end('\n');
    await new Promise((resolve) => holder.once('exit', resolve));
  }
});

test('keeps the lock from what it starts', async () => {
  await world.release('v1');
  await world.write('bin/systemctl', `#!/bin/sh\nls -l /proc/self/fd >>"$WORLD/descriptors"\n`);
  await world.run('stop', { token: token(1) });
  const v1 = await world.release('v1');
  await install(v1, 2);
  await world.run('activate', { token: token(3), release: v1.release });
  expect(await world.read('descriptors')).toContain('/dev/null');
  expect(await world.read('descriptors')).not.toContain('.verdigris/lock');
});

test('refuses a unit with which systemd finds fault, in words with the real paths, and keeps nothing', async () => {
  const v1 = await world.release('v1');
  await world.write(
    'complaint',
    `greeter.service: Command ${world.server}/current/bin/other is not executable\nother.service: is strange\n`,
  );
  const run = await install(v1, 1);
  expect(fields(run)).toMatchObject({ error: 'UnitRefused' });
  expect(run.lines.join('\n')).toContain(`${world.server}/current/bin/other is not executable`);
  expect(run.lines.join('\n')).not.toContain('other.service');
  expect(await world.list('releases')).toEqual([]);
  expect(await world.list('.verdigris/incoming')).toEqual([]);
});

test.each([
  ['bytes', { 'needs-kilobytes': 2 ** 50 }, /KB are free below .*, needs 1125899906842624 KB/],
  ['inodes', { 'needs-inodes': 2 ** 45 }, /inodes are free below .*, needs 35184372088832/],
])('asks for enough %s before anything is sent', async (_, needs, words) => {
  const v1 = await world.release('v1');
  const run = await world.run('install', { token: token(1), ...v1.words, ...needs });
  expect(fields(run)).toMatchObject({ error: 'DiskFull', message: expect.stringMatching(words) });
  expect(run.lines).not.toContain('have=no');
  expect(await world.list('releases')).toEqual([]);
});

test('does not ask for inodes where the file system has no limit of them', async () => {
  await world.write('bin/df', '#!/bin/sh\necho head\necho "none 0 0 0 - /"\n');
  await chmod(join(world.directory, 'bin/df'), 0o755);
  const run = await install({ ...(await world.release('v1')) }, 1);
  expect(run.lines.at(-1)).toBe('ok');
  expect(fields(await world.run('observe', {}))).toMatchObject({ freeInodes: '' });
});

describe('the files of the configuration', () => {
  const modeOf = async (file: string) => ((await stat(join(world.server, file))).mode & 0o7777).toString(8);
  const conf = 'etc/greeter.conf';

  test('take the place of those of the artifact, each readable by who has to', async () => {
    const v1 = await world.filled(await world.release('v1'), {
      [`private ${conf}`]: 'password = "open\\nsesame"\n',
      'public bin/greeter': '#!/bin/sh\n',
    });
    expect((await install(v1, 1)).lines).toEqual(['have=no', 'ok']);
    const release = `releases/${v1.release}`;
    expect(await world.read(`srv/greeter/${release}/${conf}`)).toBe('password = "open\\nsesame"\n');
    expect(await modeOf(`${release}/${conf}`)).toBe('600');
    expect(await modeOf(`${release}/bin/greeter`)).toBe('644');
    expect(await world.read(`srv/greeter/${release}/.verdigris/files`)).toBe(
      `private ${conf}\npublic bin/greeter\n`,
    );
    expect(await world.list('.verdigris/incoming')).toEqual([]);
  });

  test('belong to the user of the program', async (context) => {
    if (process.getuid?.() !== 0) {
      if (process.env['VERDIGRIS_DEMAND_ALL']) throw new Error('Cannot give files away: needs root');
      return context.skip('needs root');
    }
    const [v1, v2] = [await world.release('v1'), await world.release('v2')];
    const settings = `[Service]\nExecStart=${world.server}/current/bin/greeter\nUser=nobody\n`;
    const withUser = { ...v1.words, 'unit-conf': Buffer.from(settings).toString('base64'), shared: 'data' };
    await install(await world.filled({ ...v1, words: withUser }, { [`private ${conf}`]: 'x' }), 1);
    const nobody = Number((await execa('id', ['-u', 'nobody'])).stdout);
    const ownerOf = async (file: string) => (await stat(join(world.server, file))).uid;
    expect(await ownerOf(`releases/${v1.release}/${conf}`)).toBe(nobody);
    expect(await ownerOf('shared/data')).toBe(nobody);
    expect(await modeOf('shared/data')).toBe('750');
    expect(await ownerOf(`releases/${v1.release}/bin/greeter`)).toBe(0);

    // Where the release leaves that to the unit, the unit says who.
    await world.write('user', 'nobody\n');
    await install(await world.filled(v2, { [`private ${conf}`]: 'x' }), 2);
    expect(await ownerOf(`releases/${v2.release}/${conf}`)).toBe(nobody);
  });

  test('never appear in what others can see: words of commands, the journal, the evidence', async () => {
    await world.write('bin/base64', '#!/bin/sh\nps -eo args >>"$WORLD/seen"\nexec /usr/bin/base64 "$@"\n');
    await chmod(join(world.directory, 'bin/base64'), 0o755);
    const marker = 'marker-3b1f';
    const packed = await world.release('v1');
    const v1 = await world.filled(packed, { [`private ${conf}`]: `password = ${marker}\n` });
    const run = await install(v1, 1);
    await world.run('remove', { token: token(2), release: v1.release, because: 'a test' });
    const seen = (await world.read('seen')) ?? '';
    expect(seen).toContain('install');
    for (const text of [marker, Buffer.from(`password = ${marker}\n`).toString('base64')]) {
      expect(seen).not.toContain(text);
      expect(run.lines.join('\n')).not.toContain(text);
      const { exitCode } = await execa('grep', ['-r', text, world.server], { reject: false });
      expect(exitCode, 'nothing is left of it').toBe(1);
    }
  });

  test.each<[string, Readonly<Record<string, string>>, object, RegExp]>([
    ['are cut off', { [`private ${conf}`]: 'x' }, { files: 2 }, /did not arrive whole|only 1 of 2/],
    ['are nothing of the artifact', { 'public etc/other.conf': 'x' }, {}, /has no file "etc\/other.conf"/],
    ['are a link there', { 'public etc/link.conf': 'x' }, {}, /has no file "etc\/link.conf"/],
    ['lead out', { 'public ../../outside': 'x' }, {}, /cannot be a file of a release/],
    ['are absolute', { 'public /etc/passwd': 'x' }, {}, /cannot be a file of a release/],
    ['are our own', { 'public .verdigris/previous': 'x' }, {}, /cannot be a file of a release/],
    ['are of no kind', { [`secret ${conf}`]: 'x' }, {}, /did not arrive whole/],
  ])('are refused when they %s, and nothing is kept', async (_, files, words, complaint) => {
    const v1 = await world.filled(await world.release('v1'), files);
    const run = await install({ ...v1, words: { ...v1.words, ...words } }, 1);
    expect(fields(run)).toMatchObject({ error: 'CommandFailed', message: expect.stringMatching(complaint) });
    expect(await world.list('releases')).toEqual([]);
    expect(await world.list('.verdigris/incoming')).toEqual([]);
  });

  test('do not follow a directory that is a link out of the release', async () => {
    const v1 = await world.release('v1');
    await mkdir(join(world.directory, 'elsewhere'));
    await world.write('elsewhere/x', 'theirs');
    const tree = join(world.directory, 'evil');
    await mkdir(join(tree, 'bin'), { recursive: true });
    await writeFile(join(tree, 'bin/greeter'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink(join(world.directory, 'elsewhere'), join(tree, 'out'));
    await execa('tar', ['-czf', v1.archive, '-C', tree, 'bin', 'out']);
    const bytes = await readFile(v1.archive);
    const artifact = createHash('sha256').update(bytes).digest('hex');
    const evil = { ...v1, words: { ...v1.words, artifact, size: bytes.length } };
    const run = await install(await world.filled(evil, { 'public out/x': 'ours' }), 1);
    expect(fields(run)).toMatchObject({ error: 'ArchiveUnsafe' });
    expect(await world.read('elsewhere/x')).toBe('theirs');
  });
});

test('keeps in shared/ what is there, and refuses what is no name', async () => {
  const v1 = await world.release('v1');
  await install({ ...v1, words: { ...v1.words, shared: 'data' } }, 1);
  await world.write('srv/greeter/shared/data/state', 'precious');
  await install({ ...v1, words: { ...v1.words, shared: 'data,cache' } }, 2);
  expect(await world.list('shared')).toEqual(['cache', 'data']);
  expect(await world.read('srv/greeter/shared/data/state')).toBe('precious');
  const run = await install({ ...v1, words: { ...v1.words, shared: 'data/../../x' } }, 3);
  expect(fields(run)).toMatchObject({ error: 'CommandFailed' });
});

test('keeps the evidence of a failed release, and its mark, however many releases come after it', async () => {
  const bad = await world.release('bad');
  await install(bad, 1);
  await world.run('mark-unfit', { token: token(2), release: bad.release, because: 'it was ill' });
  await world.run('remove', { token: token(3), release: bad.release, because: 'it was ill' });
  const evidence = await world.list(`.verdigris/failed/${bad.release}`);
  expect(evidence).toEqual(expect.arrayContaining(['reason', 'unit.conf']));
  const good: PackedRelease[] = [];
  for (const [index, name] of ['v1', 'v2', 'v3', 'v4'].entries()) {
    const release = await world.release(name);
    good.push(release);
    await install({ ...release, words: { ...release.words, keep: 0 } }, 4 + 2 * index);
    if (index < 2) await activate(release, 5 + 2 * index);
  }
  expect(await world.list('releases'), 'active, previous and the one just installed').toEqual(
    good.flatMap(({ release }, index) => (index === 2 ? [] : [release])).sort(),
  );
  expect(await world.list(`.verdigris/failed/${bad.release}`)).toEqual(evidence);
  expect(await world.list('.verdigris/unfit')).toEqual([bad.release]);
});

test('renews the settings of a release that is there, and starts it again with them when it is active', async () => {
  const v1 = await world.release('v1');
  await install(v1, 1);
  await activate(v1, 2);
  await world.remove('calls');
  const settings = `[Service]\nExecStart=${world.server}/current/bin/greeter 8081\n`;
  const words = { ...v1.words, 'unit-conf': Buffer.from(settings).toString('base64') };
  for (const step of [3, 4]) {
    const run = await install({ ...v1, words }, step);
    expect(run.lines).toEqual(['have=yes', 'ok']);
  }
  expect(await world.read(`srv/greeter/releases/${v1.release}/.verdigris/unit.conf`)).toBe(settings);
  await activate(v1, 5);
  await activate(v1, 5);
  expect((await world.read('calls'))?.split('\n').filter((call) => call === 'start')).toHaveLength(1);
});

test('labels what was moved where SELinux has its program', async () => {
  await world.write('bin/restorecon', '#!/bin/sh\necho "$@" >>"$WORLD/labelled"\n');
  await chmod(join(world.directory, 'bin/restorecon'), 0o755);
  const v1 = await world.release('v1');
  await install(v1, 1);
  await activate(v1, 2);
  expect(await world.read('labelled')).toBe(`-R ${world.server}/releases/${v1.release}\n`);
});

test('says how much of an artifact arrived', async () => {
  const v1 = await world.release('v1');
  const run = await world.run('install', { token: token(1), ...v1.words }, { input: 'short' });
  expect(fields(run)).toMatchObject({
    error: 'CommandFailed',
    message: expect.stringContaining('only 5 of'),
  });
  expect(await world.list('.verdigris/incoming')).toEqual([]);
});

test('installs what nobody but its owner can change, and nothing that changes who runs it', async () => {
  const v1 = await world.release('v1');
  await install(v1, 1);
  const { mode } = await stat(join(world.server, 'releases', v1.release, 'bin/greeter'));
  expect((mode & 0o7777).toString(8)).toBe('755');
});

test('leaves a server alone on which something else is called "current"', async () => {
  await world.run('stop', { token: token(1) });
  await writeFile(join(world.server, 'current'), 'mine');
  await world.write('units/greeter.service', '[Service]\nExecStart=/bin/true\n');
  await world.write('runs', 'mine');
  const run = await world.run('adopt', { token: token(2) });
  expect(fields(run)).toMatchObject({
    error: 'CommandFailed',
    message: expect.stringContaining('belongs to something else'),
  });
  expect(await world.read('srv/greeter/current')).toBe('mine');
});

test.each([
  ['a directory with a way up', { directory: '/srv/../etc' }],
  ['a directory with a space', { directory: '/srv/my service' }],
  ['a relative directory', { directory: 'srv' }],
  ['a unit that is a path', { unit: '../x.service' }],
  ['a unit that is no service', { unit: 'x.socket' }],
  ['a port that is no number', { port: '80; reboot' }],
  ['a token of another form', { token: '1-1' }],
  ['a release that is a path', { release: '../../etc' }],
  ['a word that it does not know', { colour: 'blue' }],
])('refuses %s', async (_, words) => {
  const run = await world.run('activate', { token: token(1), release: '0123456789ab-01234567', ...words });
  expect(fields(run)).toMatchObject({ error: 'CommandFailed' });
  expect(run.exitCode).toBe(3);
});

test('refuses a command that it does not know', async () => {
  expect(fields(await world.run('dance', {}))).toMatchObject({ error: 'CommandFailed' });
});
