import { mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FencingToken } from '../../../domain/deployment.js';
import { judgeServer, type ProcessLook, type Sample } from '../../../domain/health.js';
import { endless } from '../../../drivers/patience.js';
import { Programs } from './programs.js';
import { describeServer, failureOf, health, steps } from './server.contract.js';
import { makeKeys, startSshWorld, type SshWorld } from './ssh-world.js';

const programs = await Programs.start();
afterAll(() => programs.close());

describeServer('over SSH', () => startSshWorld(programs));

describe('a server over SSH', () => {
  let world: SshWorld;
  let next: () => FencingToken;
  beforeEach(async () => {
    world = await startSshWorld(programs);
    next = steps();
  });
  afterEach(() => world.close());

  const count = (kind: 'login' | 'exec') => world.machine.log().filter((entry) => entry.kind === kind).length;

  test('takes one connection and at most 12 commands from start to verified', async () => {
    const { driver } = world;
    const release = await world.release('v1');
    await driver.observe(endless);
    await driver.install(release.installation, next(), endless);
    await driver.observe(endless);
    await driver.activate(release.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    const samples: Sample[] = [];
    let first: ProcessLook | undefined;
    for await (const look of driver.watch(50, endless)) {
      first ??= look;
      samples.push(await driver.probe(health, endless));
      if (judgeServer(samples, first, look, { passes: 3, status: 200 }).kind === 'pass') break;
    }
    expect((await driver.observe(endless)).runningProgram).toBe(release.executable);
    expect(count('login')).toBe(1);
    expect(count('exec')).toBeLessThanOrEqual(12);
  });

  test('tells with one command what is there and what a program finds to run on', async () => {
    const { platform } = await world.driver.observe(endless);
    expect(platform).toMatchObject({
      machine: process.arch === 'arm64' ? 'aarch64' : 'x86-64',
      bits: 64,
      system: expect.stringMatching(/\w/),
      glibc: expect.stringMatching(/^2\.\d+$/),
      interpreters: expect.arrayContaining([expect.stringMatching(/^\/lib(64)?\/ld-linux/)]),
    });
    expect(count('exec')).toBe(1);
  });

  test('closes its connection when nobody uses it', async () => {
    const driver = world.connect({}, { policy: { idleMs: 1 } });
    await driver.observe(endless);
    await expect
      .poll(async () => {
        await driver.observe(endless);
        return count('login');
      })
      .toBeGreaterThan(1);
  });

  test('leaves nothing of a transfer that the network cut, and installs it the next time', async () => {
    const release = await world.release('v1');
    world.machine.faults.cutAfterBytes(1000);
    const failure = await failureOf(world.driver.install(release.installation, next(), endless));
    expect(failure).toMatchObject({ failure: 'ServerUnreachable', ambiguous: true });
    expect(failure.message).toContain(`${world.machine.host}:${world.machine.sshPort}`);
    expect((await world.driver.observe(endless)).installedReleases).toEqual([]);

    await world.driver.install(release.installation, next(), endless);
    expect((await world.driver.observe(endless)).installedReleases).toEqual([release.id]);
    expect(await readdir(world.path('.verdigris/incoming'))).toEqual([]);
  });

  test('sends nothing of a release that is there', async () => {
    const release = await world.release('v1');
    await world.driver.install(release.installation, next(), endless);
    const open = () => {
      throw new Error('nobody may ask for these bytes');
    };
    await world.driver.install({ ...release.installation, open }, next(), endless);
  });

  test('keeps a big artifact within the memory that backpressure leaves', async () => {
    const release = await world.release('v1');
    let made = 0;
    const sizeBytes = 64 * 1024 ** 2;
    const open = () =>
      new Readable({
        read() {
          made += 65_536;
          this.push(made > sizeBytes ? null : Buffer.alloc(65_536));
        },
      });
    const failure = await failureOf(
      world.driver.install({ ...release.installation, sizeBytes, open }, next(), endless),
    );
    expect(failure.failure).toBe('DigestMismatch');
    expect(await readdir(world.path('.verdigris/incoming'))).toEqual([]);
  });

  test('says that a machine went silent', async () => {
    const driver = world.connect({}, { policy: { keepAliveMs: 100 } });
    await driver.observe(endless);
    world.machine.faults.freeze(true);
    const failure = await failureOf(driver.observe(endless));
    expect(failure).toMatchObject({ failure: 'ServerUnreachable', ambiguous: true });
    expect(failure.message).toMatch(
      /^Cannot observe "green-1": 127\.0\.0\.1:\d+ was reached, but the connection was lost/,
    );
  });

  test('gives up at once on a silent machine when the caller does', async () => {
    await world.driver.observe(endless);
    world.machine.faults.freeze(true);
    const gaveUp = new AbortController();
    const observing = world.driver.observe({ ...endless, signal: gaveUp.signal });
    gaveUp.abort(new Error('enough'));
    await expect(observing).rejects.toThrow('enough');
  });

  test('says how often it tried a machine that refuses, drops or ignores connections', async () => {
    await world.machine.faults.refuseConnections(true);
    expect((await failureOf(world.driver.observe(endless))).message).toMatch(
      /^Cannot observe "green-1": 127\.0\.0\.1:\d+ refuses connections \(tried 3 times in \d+ s\)\n {2}.*verdigris server doctor$/,
    );

    const drops = createServer((socket) => socket.destroy());
    const ignores = createServer(() => undefined);
    try {
      for (const [listener, words, policy] of [
        [drops, /(closes the connection before the handshake|resets the connection) \(tried 3 times/, {}],
        [
          ignores,
          /does not answer: it takes connections and says nothing for 1 s \(tried (once|\d times) in/,
          { connectTimeoutMs: 300, loginTimeoutMs: 300 },
        ],
      ] as const) {
        const port = await listening(listener);
        const driver = world.connect({ port }, { policy });
        const failure = await failureOf(driver.observe(endless));
        expect(failure.failure).toBe('ServerUnreachable');
        expect(failure.message).toMatch(words);
      }
    } finally {
      drops.close();
      ignores.close();
    }
  });

  test('gets through where sshd drops connections at random', async () => {
    let dropped = 0;
    const sshd = createServer((socket) => {
      socket.on('error', () => undefined);
      if (dropped < 2) {
        dropped += 1;
        socket.destroy();
        return;
      }
      const onwards = createConnection(world.machine.sshPort, '127.0.0.1');
      onwards.on('error', () => socket.destroy());
      socket.pipe(onwards).pipe(socket);
    });
    const port = await listening(sshd);
    const driver = world.connect({ port }, { policy: { idleMs: 1 } });
    expect((await driver.observe(endless)).unit.state).toBe('not-found');
    expect(dropped).toBe(2);
    sshd.close();
  });

  test('speaks to no machine with another host key', async () => {
    const failure = await failureOf(
      world.connect({ hostKeys: ['SHA256:of-another-machine'] }).observe(endless),
    );
    expect(failure.failure).toBe('HostKeyMismatch');
    expect(failure.message).toContain(
      `shows the host key ${world.machine.hostKeyFingerprint}, needs SHA256:of-another-machine`,
    );
    expect(count('login')).toBe(0);
  });

  test('says that its key is not accepted, and never shows it', async () => {
    const other = makeKeys().private;
    const failure = await failureOf(world.connect({}, { key: other }).observe(endless));
    expect(failure.failure).toBe('ServerLoginRefused');
    expect(failure.message).toContain('for user "deploy"');
    const broken = other.replace('OPENSSH', 'OPENSESAME');
    const unreadable = await failureOf(world.connect({}, { key: broken }).observe(endless));
    expect(unreadable.failure).toBe('ServerLoginRefused');
    for (const line of other.split('\n').filter((text) => text.length > 20 && !text.startsWith('---'))) {
      expect(
        JSON.stringify([failure.message, failure.stack, unreadable.message, unreadable.stack]),
      ).not.toContain(line);
    }
  });

  test('changes program and settings with one rename', async () => {
    const { driver } = world;
    const v1 = await world.release('v1');
    const v2 = await world.release('v2');
    const described = (words: string) =>
      world.unitFile.replace('Description=Greeter', `Description=${words}`);
    await driver.install({ ...v1.installation, unitFile: described('The first') }, next(), endless);
    await driver.install({ ...v2.installation, unitFile: described('The second') }, next(), endless);
    await driver.activate(v1.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    await driver.activate(v2.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    const dropIn = join(world.machine.unitDirectory, 'greeter.service.d/zz-verdigris.conf');
    expect(await readlink(dropIn)).toBe(world.path('current/.verdigris/unit.conf'));
    expect(await readFile(dropIn, 'utf8')).toContain('Description=The second');
    await driver.restore(v1.id, 1000, next(), endless);
    expect(await readFile(dropIn, 'utf8')).toContain('Description=The first');
    expect((await driver.observe(endless)).unit.needsDaemonReload).toBe(false);
  });

  test('starts the active release after a reboot', async () => {
    const release = await world.release('v1');
    await world.driver.install(release.installation, next(), endless);
    await world.driver.activate(release.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    await world.machine.reboot();
    await expect
      .poll(async () => (await world.driver.observe(endless)).runningProgram)
      .toBe(release.executable);
  });

  test('keeps why a release failed: its last words, its unit, and the reason', async () => {
    const bad = await world.release('v2', { kind: 'crashes at start' });
    await world.driver.install(bad.installation, next(), endless);
    const failure = await failureOf(
      world.driver.activate(bad.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless),
    );
    expect(failure.message).toMatch(/exit-code, status 7/);
    await world.driver.restore('nothing', 1000, next(), endless);
    await world.driver.remove(bad.id, failure.message, next(), endless);
    const kept = (file: string) => readFile(world.path('.verdigris/failed', bad.id, file), 'utf8');
    expect(await kept('last-words')).toContain('cannot start: told to crash');
    expect(await kept('reason')).toContain('the program ended at once');
    expect(await kept('unit.conf')).toContain('bin/greeter');
  });

  test('refuses a unit that systemd would not run, with its complaint', async () => {
    const release = await world.release('v1');
    const unitFile = world.unitFile.replace('bin/greeter', 'bin/griter');
    const failure = await failureOf(
      world.driver.install({ ...release.installation, unitFile }, next(), endless),
    );
    expect(failure.failure).toBe('UnitRefused');
    expect(failure.message).toContain('bin/griter');
    expect((await world.driver.observe(endless)).installedReleases).toEqual([]);
  });

  test('tells which releases must not run again', async () => {
    const release = await world.release('v1');
    await world.driver.install(release.installation, next(), endless);
    await mkdir(world.path('.verdigris/unfit'));
    await writeFile(world.path('.verdigris/unfit', release.id), 'the schema has moved on\n');
    expect((await world.driver.observe(endless)).unfitReleases).toEqual({
      [release.id]: {
        because: 'the schema has moved on',
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      },
    });
  });

  test('probes find out who is silent and who is slow', async () => {
    expect(await world.driver.probe(health, endless)).toEqual({
      kind: 'silent',
      because: 'connection refused',
    });
    const release = await world.release('v1');
    await world.driver.install(release.installation, next(), endless);
    await world.driver.activate(release.id, { atMostMs: 1000, lingering: 'refuse' }, next(), endless);
    expect(await world.driver.probe({ ...health, path: '/hold', timeoutMs: 200 }, endless)).toEqual({
      kind: 'silent',
      because: 'no answer within 200 ms',
    });
    expect(await world.driver.probe(health, endless)).toMatchObject({
      kind: 'answered',
      status: 200,
      identity: 'v1',
    });
  });
});

/** The port on which it listens, from now on. */
async function listening(listener: Server): Promise<number> {
  listener.listen(0, '127.0.0.1');
  await new Promise((resolve) => listener.once('listening', resolve));
  return (listener.address() as AddressInfo).port;
}
