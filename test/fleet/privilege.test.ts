import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Digest, ReleaseId } from '../../domain/names.js';
import { Secret } from '../../domain/secret.js';
import type { FencingToken } from '../../domain/deployment.js';
import { endless } from '../../drivers/patience.js';
import type { Installation } from '../../drivers/servers/driver.js';
import { helperPlace, installedHelperDigest } from '../../drivers/servers/installed-helper.js';
import { Programs } from '../drivers/servers/programs.js';
import { failureOf, steps } from '../drivers/servers/server.contract.js';
import { describeOnFleet } from './support/needs.js';
import { Prepared } from './support/prepared.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 900_000 });

describeOnFleet('a machine on which the deploying key is no root', () => {
  let world: Prepared;
  let programs: Programs;
  let next: () => FencingToken;

  beforeAll(async () => {
    [world, programs] = await Promise.all([Prepared.start(), Programs.start()]);
    next = steps();
    await world.write('verdigris.yaml', world.configuration());
  });
  afterAll(async () => {
    await world.close();
    await programs.close();
  });

  const unitOf = (more: string) => `[Unit]
Description=Greeter
[Service]
Type=exec
ExecStart=/opt/greeter-green/current/bin/greeter 8081
${more}
[Install]
WantedBy=multi-user.target
`;

  /** A release with a unit that says this too, and with what `add` puts into the artifact. */
  async function release(more: string, add?: (tree: string) => Promise<unknown>): Promise<Installation> {
    const folder = await mkdtemp(join(tmpdir(), 'verdigris-artifact-'));
    const tree = join(folder, 'tree');
    await mkdir(join(tree, 'bin'), { recursive: true });
    await copyFile(await programs.executable('v1'), join(tree, 'bin/greeter'));
    await writeFile(join(tree, 'unique'), more);
    await add?.(tree);
    const archive = join(folder, 'greeter.tar.gz');
    await create({ gzip: true, file: archive, cwd: tree, portable: true }, ['.']);
    const bytes = await readFile(archive);
    const artifact = Digest(createHash('sha256').update(bytes).digest('hex'));
    return {
      release: ReleaseId(`${artifact.slice(0, 12)}-00000000`),
      artifact,
      sizeBytes: bytes.length,
      open: () =>
        createReadStream(archive).once('close', () => void rm(folder, { recursive: true, force: true })),
      needs: { bytes: bytes.length, inodes: 10 },
      unitFile: unitOf(more),
      files: [],
      shared: [],
      executable: 'bin/greeter',
      keep: 20,
    };
  }

  const filesOf = (...roots: readonly string[]) =>
    world.machine.exec(
      `find ${roots.join(' ')} -xdev \\( -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\\n' -o -printf '%p %u %m\\n' \\) 2>&1 | sort`,
    );
  const places = ['/etc', '/usr/local', '/opt', '/home', '/root'];

  test('a dry run shows every command, and changes nothing', async () => {
    const before = await filesOf(...places);
    const { stdout, exitCode } = await world.setUp('--dry-run');
    expect(stdout).toContain('useradd --system --user-group');
    expect(stdout).toContain('mkdir -p /opt/greeter-green');
    expect(stdout).toContain(`deploy ALL=(root) NOPASSWD: ${helperPlace.path}`);
    expect(stdout).toContain('Nothing was changed on 2 servers of greeter@production.');
    expect(exitCode).toBe(0);
    expect(await filesOf(...places)).toBe(before);
    expect(await readFile(world.path('verdigris.yaml'), 'utf8')).toBe(world.configuration());
  });

  test('a machine that is not the pinned one is not touched', async () => {
    await world.write('verdigris.yaml', world.configuration().replace('SHA256:A', 'SHA256:B'));
    const before = await filesOf(...places);
    const { stdout, exitCode } = await world.setUp('blue-1');
    expect(stdout).toContain('needs to be the same machine');
    expect(exitCode).toBe(2);
    expect(await filesOf(...places)).toBe(before);
    await world.write('verdigris.yaml', world.configuration());
  });

  test('setting it up makes it so, and pins its host key where people left the rest as it was', async () => {
    const { stdout, exitCode } = await world.setUp();
    expect(stdout).toContain('Set up 2 servers of greeter@production.');
    expect(exitCode).toBe(0);
    const pinned = world.machine.hostKeyFingerprint;
    const written = await readFile(world.path('verdigris.yaml'), 'utf8');
    expect(written).toContain(`hostKey: ${pinned} # to be filled in`);
    expect(written.match(new RegExp(`hostKey: ${pinned.replaceAll('+', '\\+')}`, 'g'))).toHaveLength(2);
    expect(written).toContain('privilege: installed');
    expect(written).toContain('# the older one');
    expect(written).toContain('# may do nothing else');
    expect((await world.verdigris('check', '--offline')).exitCode).toBe(0);
  });

  test('setting it up again changes nothing', async () => {
    const before = await filesOf(...places);
    const configuration = await readFile(world.path('verdigris.yaml'), 'utf8');
    const { stdout, exitCode } = await world.setUp();
    expect(stdout.match(/as it should be/g)).toHaveLength(2);
    expect(exitCode).toBe(0);
    expect(await filesOf(...places)).toBe(before);
    expect(await readFile(world.path('verdigris.yaml'), 'utf8')).toBe(configuration);
  });

  test('a release runs there as the program’s user, who can change nothing of it', async () => {
    const driver = world.driver('green');
    const installation = await release('Environment=A=b');
    await driver.install(installation, next(), endless);
    await driver.activate(installation.release, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    const { machine } = world;
    expect(await machine.exec('ps -o user= -p $(systemctl show -P MainPID greeter-green)')).toBe('greeter');
    expect(await machine.exec('find /opt/greeter-green ! -user root')).toBe('/opt/greeter-green/shared');
    expect(await machine.exec('find /opt/greeter-green ! -type l -perm /022')).toBe('');
    expect((await driver.observe(endless)).activeRelease).toBe(installation.release);
    await driver.restore('nothing', 1000, next(), endless);
  });

  const owned = async () => (await world.machine.try('ls /root/owned /run/owned /etc/cron.d/owned')).stdout;
  const touch = '/bin/touch /root/owned';

  test('what is tried below works where the key is root', async () => {
    await world.machine.exec("echo 'deploy ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/all");
    const installation = await release(`ExecStartPre=+${touch}`);
    const driver = world.driver('green', 'sudo');
    await driver.install(installation, next(), endless);
    await driver.activate(installation.release, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    expect(await owned()).toBe('/root/owned');
    await driver.restore('nothing', 1000, next(), endless);
    await driver.remove(installation.release, 'it has shown what it can', next(), endless);
    await world.machine.exec('rm /root/owned /etc/sudoers.d/all');
  });

  test.each([
    ['a unit with User=root', `User=root\nExecStartPre=${touch}`],
    ['a command with all rights', `ExecStartPre=+${touch}`],
    ['one that hides in quotes', `ExecStartPre="+/bin/touch" /root/owned`],
    ['one that hides in an escape', `ExecStartPre=\\x2b${touch}`],
    ['one that hides behind another', `ExecStartPre=/bin/true ; +${touch}`],
    ['one that hides in a continued line', `ExecStartPre=\\\n+${touch}`],
    ['one after a carriage return', `Environment=A=b\rExecStartPre=+${touch}`],
    ['commands run before the user is put on', `PermissionsStartOnly=yes\nExecStartPre=${touch}`],
    ['its output in a file of root’s', 'StandardOutput=file:/etc/cron.d/owned'],
    ['more capabilities', `AmbientCapabilities=CAP_DAC_OVERRIDE\nExecStartPre=${touch}`],
    ['a group that may do all', `SupplementaryGroups=root disk\nExecStartPre=${touch}`],
    ['another /etc', 'BindPaths=/opt/greeter-green/shared:/etc'],
    ['somebody else’s state', 'StateDirectory=dpkg'],
  ])('nobody becomes root by %s', async (_, more) => {
    const driver = world.driver('green');
    const failure = await failureOf(driver.install(await release(more), next(), endless));
    expect(failure.failure).toBe('UnitRefused');
    expect(await owned()).toBe('');
  });

  test('nobody becomes root by what a unit may say, whatever else the unit on the machine says', async () => {
    const { machine } = world;
    await machine.exec(
      `mkdir -p /etc/systemd/system/greeter-green.service.d; cat >/etc/systemd/system/greeter-green.service.d/admin.conf; systemctl daemon-reload`,
      {
        input:
          '[Service]\nUser=root\nAmbientCapabilities=CAP_DAC_OVERRIDE\nExecStartPre=+/bin/true\nExecStopPost=+/bin/sh -c "$CLEAN"\n',
      },
    );
    const say = (name: string) =>
      `/bin/sh -c 'id -u >/opt/greeter-green/shared/${name}; touch /root/owned; true'`;
    const installation = await release(
      `Environment="CLEAN=touch /root/owned" LD_PRELOAD=/opt/greeter-green/current/evil.so\n${['ExecStartPre', 'ExecStartPost', 'ExecStop', 'ExecStopPost', 'ExecCondition'].map((key) => `${key}=${say(key)}`).join('\n')}`,
    );
    const driver = world.driver('green');
    await driver.install(installation, next(), endless);
    await driver.activate(installation.release, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    await driver.restore('nothing', 1000, next(), endless);
    const ids = await machine.exec(`cd /opt/greeter-green/shared && grep -H . Exec* && rm Exec*`);
    const greeter = await machine.exec('id -u greeter');
    expect(ids.split('\n')).toEqual(
      ['ExecCondition', 'ExecStartPost', 'ExecStartPre', 'ExecStop', 'ExecStopPost'].map(
        (key) => `${key}:${greeter}`,
      ),
    );
    expect(await owned()).toBe('');
    await machine.exec('rm -r /etc/systemd/system/greeter-green.service.d; systemctl daemon-reload');
  });

  test('nobody becomes root by a drop-in, be it in the artifact or beside it', async () => {
    const installation = await release('', async (tree) => {
      await mkdir(join(tree, '.verdigris/unit.conf.d'), { recursive: true });
      const evil = `[Service]\nUser=root\nExecStartPre=+${touch}\n`;
      await writeFile(join(tree, '.verdigris/unit.conf'), evil);
      await writeFile(join(tree, '.verdigris/unit.conf.d/x.conf'), evil);
    });
    const driver = world.driver('green');
    await driver.install(installation, next(), endless);
    await driver.activate(installation.release, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    expect(await owned()).toBe('');
    for (const file of [
      '/etc/systemd/system/greeter-green.service.d/evil.conf',
      '/run/systemd/system/greeter-green.service.d/evil.conf',
      '/opt/greeter-green/current/.verdigris/unit.conf',
    ]) {
      const tried = await world.asDeploy(
        `mkdir -p ${file.replace(/\/[^/]+$/, '')}; echo '[Service]' >>${file}`,
      );
      expect(tried.stderr).toMatch(/Permission denied/);
    }
    expect((await world.asDeploy('systemctl daemon-reload')).exitCode).not.toBe(0);
    expect((await world.asDeploy('systemctl set-property greeter-green User=root')).exitCode).not.toBe(0);
    await driver.restore('nothing', 1000, next(), endless);
  });

  test.each([
    ['a file of root’s', '/etc/shadow'],
    ['a directory of root’s', '../../../../etc/cron.d'],
    ['what the program can write', '../../shared'],
  ])('nobody becomes root by a link out of the release, to %s', async (_, target) => {
    const installation = await release('', (tree) => symlink(target, join(tree, 'etc')));
    const failure = await failureOf(world.driver('green').install(installation, next(), endless));
    expect(failure.failure).toBe('ArchiveUnsafe');
  });

  test('nobody becomes root by a file of the configuration that takes the place of the unit', async () => {
    const installation = await release('', (tree) => symlink('.verdigris', join(tree, 'd')));
    const text = `[Service]\nUser=root\nExecStart=\nExecStart=/bin/sh -c "touch /root/owned; sleep 60"\n`;
    const files = [{ path: 'd/unit.conf', content: new Secret(text), private: false }];
    const driver = world.driver('green');
    const failure = await failureOf(driver.install({ ...installation, files }, next(), endless));
    expect(failure.failure).toBe('ArchiveUnsafe');
    expect(await owned()).toBe('');
  });

  test.each([
    'observe; touch /root/owned',
    'observe unit=greeter-green.service;touch directory=/opt/greeter-green',
    "observe 'unit=greeter-green.service;touch /root/owned' directory=/opt/greeter-green",
    "observe unit=greeter-green.service 'directory=/opt/$(touch /root/owned)'",
    'observe unit=../../root/x.service directory=/opt/greeter-green',
    'observe unit=ssh.service directory=/opt/greeter-green',
    'observe unit=greeter-green.service directory=/etc',
    "remove unit=greeter-green.service directory=/opt/greeter-green token=000000000000001-000001 release='../../../etc'",
    "install unit=greeter-green.service directory=/opt/greeter-green token='`touch /root/owned`' release='$(touch /root/owned)'",
    "stop unit=greeter-green.service directory=/opt/greeter-green 'port=1; touch /root/owned'",
    "observe 'unit=greeter-green.service\nx' directory=/opt/greeter-green",
  ])('nobody becomes root by the words %j', async (words) => {
    const line = `sudo -n ${helperPlace.path} ${words} helper=${installedHelperDigest()}`;
    const { stdout } = await world.asDeploy(line);
    expect(stdout.split('\n').at(-1)).not.toBe('ok');
    expect(await owned()).toBe('');
    expect(await world.machine.exec('ls /etc | grep -c .')).not.toBe('0');
  });

  test.each([
    'sudo -n touch /root/owned',
    'sudo -n sh -c "touch /root/owned"',
    'sudo -n -s touch /root/owned',
    `sudo -n ${helperPlace.path}/../helper; sudo -n /usr/local/lib/verdigris/../../../../bin/touch /root/owned`,
    `ln -s /bin/sh /tmp/helper; sudo -n /tmp/helper -c "touch /root/owned"`,
    `sudo -n LD_PRELOAD=/tmp/x.so ${helperPlace.path} observe`,
    `sudo -n --preserve-env=PATH ${helperPlace.path} observe`,
    `sudo -n -u greeter ${helperPlace.path} observe`,
    `sudo -n -e /etc/shadow`,
    'su -c "touch /root/owned" </dev/null',
    'pkexec touch /root/owned',
    'systemd-run touch /root/owned',
    'echo "x" >>/usr/local/lib/verdigris/helper',
    'mv /usr/local/lib/verdigris/helper /tmp/old',
    'echo "also.Service=User" >>/etc/verdigris/greeter-green.service.policy',
    'touch /opt/greeter-green/releases/x',
    'ln -s /etc /opt/greeter-green/.verdigris/incoming/x',
  ])('nobody becomes root by %j', async (line) => {
    expect((await world.asDeploy(line)).exitCode).not.toBe(0);
    expect(await owned()).toBe('');
  });

  test('what a caller sets does not reach the helper', async () => {
    await world.asDeploy(
      'mkdir -p /tmp/evil; for tool in tar awk ls id systemctl; do printf "#!/bin/sh\\ntouch /run/owned\\n" >/tmp/evil/$tool; chmod 755 /tmp/evil/$tool; done',
    );
    const words = `observe unit=greeter-green.service directory=/opt/greeter-green helper=${installedHelperDigest()}`;
    for (const environment of [
      'PATH=/tmp/evil:/usr/bin:/bin',
      'TAR_OPTIONS=--checkpoint-action=exec=/tmp/evil/tar',
      'ENV=/tmp/evil/tar BASH_ENV=/tmp/evil/tar',
      'VERDIGRIS_UNIT_DIRECTORY=/tmp/evil',
    ]) {
      const { stdout } = await world.asDeploy(`${environment} /usr/bin/sudo -n ${helperPlace.path} ${words}`);
      expect(stdout.split('\n').at(-1)).toBe('ok');
    }
    expect(await owned()).toBe('');
    // Lifted where root may do so, and refused where not; never a file that ends half way.
    const limited = await world.asDeploy(`ulimit -f 0; sudo -n ${helperPlace.path} ${words}`);
    expect(limited.stdout.split('\n').at(-1)).toMatch(/^ok$|the caller's limits cannot be lifted/);
  });

  test('nobody becomes root by a file in shared/', async () => {
    const { machine } = world;
    await machine.exec(
      `runuser -u greeter -- sh -c 'cd /opt/greeter-green/shared && ln -s /etc etc && ln -s /etc/shadow shadow && mkfifo pipe && echo "[Service]" >unit.conf'`,
    );
    const before = await filesOf('/etc');
    for (const path of ['current', 'releases/x', '.verdigris/x', 'x', 'shared.new'])
      expect(
        (await machine.try(`runuser -u greeter -- ln -s /etc /opt/greeter-green/${path}`)).exitCode,
      ).not.toBe(0);
    expect(
      (await machine.try('runuser -u greeter -- mv /opt/greeter-green/shared /opt/greeter-green/old'))
        .exitCode,
    ).not.toBe(0);
    const driver = world.driver('green');
    const linked = await failureOf(
      driver.install(
        await release('EnvironmentFile=/opt/greeter-green/current/../../shared/shadow'),
        next(),
        endless,
      ),
    );
    expect(linked.failure).toBe('UnitRefused');
    const installation = await release('WorkingDirectory=/opt/greeter-green/shared');
    await driver.install(installation, next(), endless);
    await driver.activate(installation.release, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    await driver.restore('nothing', 1000, next(), endless);
    await driver.remove(installation.release, 'a test', next(), endless);
    expect(await filesOf('/etc')).toBe(before);
    expect(await machine.exec('ls /opt/greeter-green/shared')).toBe('etc\npipe\nshadow\nunit.conf');
    await machine.exec('rm /opt/greeter-green/shared/*');
  });

  test('a directory that somebody else can write to stops the helper until it is mended', async () => {
    await world.machine.exec('chown greeter /opt/greeter-green');
    const failure = await failureOf(world.driver('green').observe(endless));
    expect(failure.failure).toBe('PolicyRefused');
    expect(failure.message).toContain('verdigris server setup');
    expect((await world.setUp('green-1')).stdout).toContain('--take-directory');
    expect((await world.setUp('green-1', '--take-directory')).exitCode).toBe(0);
    await world.driver('green').observe(endless);
  });

  test('a helper of another version is refused with the command that mends it, and setup does', async () => {
    await world.machine.exec(`echo '# and more' >>${helperPlace.path}`);
    const failure = await failureOf(world.driver('green').observe(endless));
    expect(failure.failure).toBe('HelperOutdated');
    expect(failure.message).toMatch(/this worker needs [0-9a-f]{12}\n.*verdigris server setup/);
    // One that no longer asks who calls is found out by what it does not say.
    await world.machine.exec(`printf '#!/bin/sh\\necho unit.state=active\\necho ok\\n' >${helperPlace.path}`);
    expect((await failureOf(world.driver('green').observe(endless))).failure).toBe('HelperOutdated');
    expect((await world.setUp('green-1')).stdout).toContain(`write ${helperPlace.path}`);
    await world.driver('green').observe(endless);
  });

  test('a rule that is missing is told, with the command that mends it', async () => {
    await world.machine.exec('rm /etc/sudoers.d/verdigris-deploy');
    const failure = await failureOf(world.driver('green').observe(endless));
    expect(failure.failure).toBe('ServerLoginRefused');
    expect(failure.message).toContain('verdigris server setup');
    expect((await world.setUp('green-1')).exitCode).toBe(0);
    await world.driver('green').observe(endless);
  });

  test('a rule that was there before, and makes the key root, is told of', async () => {
    await world.machine.exec(
      "echo 'deploy ALL=(root) NOPASSWD: /bin/sh' >/etc/sudoers.d/old; adduser deploy disk",
    );
    const { stdout } = await world.setUp('green-1');
    expect(stdout).toContain('sudo lets deploy do more than run the helper: (root) NOPASSWD: /bin/sh');
    expect(stdout).toContain('deploy is in the group disk');
    await world.machine.exec('rm /etc/sudoers.d/old; gpasswd -d deploy disk');
  });

  test('what the program’s user may do besides is told of too', async () => {
    await world.machine.exec(
      "echo 'greeter ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/old; adduser greeter shadow",
    );
    const { stdout } = await world.setUp('green-1');
    expect(stdout).toContain('sudo lets greeter do more than run the program: (root) NOPASSWD: ALL');
    expect(stdout).toContain('greeter is in the group shadow');
    await world.machine.exec('rm /etc/sudoers.d/old; gpasswd -d greeter shadow');
  });

  test('sudo’s rules are left as they were when visudo finds fault with them', async () => {
    await world.machine.exec(
      "rm /etc/sudoers.d/verdigris-deploy; echo 'nonsense here' >/etc/sudoers.d/other",
    );
    const { stdout, exitCode } = await world.setUp('green-1');
    expect(stdout).toContain('visudo finds fault with the rules together');
    expect(exitCode).toBe(2);
    expect(await world.machine.exec('ls /etc/sudoers.d')).toBe('README\nother');
    await world.machine.exec('rm /etc/sudoers.d/other');
    expect((await world.setUp('green-1')).exitCode).toBe(0);
  });

  test('a login that there is not yet is made, and let in with the key that was given', async () => {
    await world.write('verdigris.yaml', world.configuration().replace('user: deploy', 'user: releaser'));
    await world.write('key.pub', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPz8 me@here\n');
    const { stdout, exitCode } = await world.setUp(
      'green-1',
      '--authorize',
      world.path('key.pub'),
      '--no-write',
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain('For the configuration:');
    expect(await world.machine.exec('cat ~releaser/.ssh/authorized_keys')).toBe(
      'restrict,port-forwarding ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPz8',
    );
    expect(await world.machine.exec('grep ^login /etc/verdigris/greeter-green.service.policy')).toBe(
      'login=releaser\nlogin=deploy',
    );
    await world.driver('green').observe(endless);
  });
});
