import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Color } from '../../domain/color.js';
import type { Outcome } from '../../domain/deployment.js';
import { helperPlace } from '../../drivers/servers/installed-helper.js';
import { lost } from '../whole/support/running-service.js';
import { takeTurns } from '../whole/support/turns.js';
import { describeOnFleet } from './support/needs.js';
import { needingGlibc } from './support/needing-glibc.js';
import { RunningFleet } from './support/running-fleet.js';
import { messageOf } from './support/warm-idle.js';

// The first fleet on a machine makes what all begin with.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

/**
 * One fleet for all, in this order: each test leaves it as it says, and the next one begins there. People had greeter 1.0.0 on
 * blue before, put there by hand.
 */
describeOnFleet('releases on two and two Debian machines behind HAProxy', () => {
  takeTurns();
  let running: RunningFleet;

  beforeAll(async () => {
    running = await RunningFleet.start({
      settings: { verify: { minimum: '3s' }, bake: { duration: '10s' } },
    });
    await running.startWorker();
    await running.runByHand('blue', await running.build('1.0.0'));
    // The load balancer has to see it first.
    await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000 });
    return () => running.close();
  });

  /** What every failed deployment leaves: the same processes, files and traffic as before. `mayFail` is the program's own doing. */
  async function untouched(
    live: Color,
    work: () => Promise<Outcome>,
    mayFail: readonly string[] = [],
  ): Promise<Outcome> {
    const [before, version] = [await running.fingerprint(live), await running.servedBy()];
    const visitors = running.visitors(50);
    const outcome = await work();
    const tally = await visitors.stop();
    expect(await running.fingerprint(live)).toEqual(before);
    expect(await running.servedBy()).toBe(version);
    expect(tally.sent).toBeGreaterThan(10);
    expect(tally.streams.cut).toBe(0);
    expect(
      Object.keys(tally.failures).filter((kind) => !mayFail.includes(kind)),
      JSON.stringify(tally),
    ).toEqual([]);
    return outcome;
  }

  test('v7, whose port is taken on a machine: what took it is told, and green is as empty as before', async () => {
    const thief = running.machine('green-2');
    await thief.exec('systemd-run --unit thief python3 -m http.server 8080');
    await vi.waitUntil(async () => (await thief.try('ss -tlnH "sport = :8080"')).stdout !== '');
    const outcome = await untouched('blue', () => running.deploy('7.0.0'));
    await thief.exec('systemctl stop thief');

    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'activate',
      because: { failure: 'PortTaken' },
      live: 'blue',
    });
    expect(messageOf(outcome)).toMatch(
      /"green-2": port 8080 is taken by python3, process \d+.*\n {2}see .*\n(.*\n)*.*(in use|Address already)/i,
    );
    // The machine was to blame: the same artifact may be deployed again.
    const { directory } = running.servers('green')[0]!;
    expect((await thief.try(`ls ${directory}/.verdigris/unfit`)).stdout).toBe('');
    expect(await running.pids('green')).toEqual([0, 0]);
    expect(await running.releasesOn('green-1')).toEqual([]);
  });

  test('from start to verified a worker takes one connection and at most 12 commands for each server, by its own log', async () => {
    const machines = [...running.servers('blue'), ...running.servers('green')].map(({ machine }) => machine);
    const logs = () => Promise.all(machines.map((machine) => machine.sshdLog()));
    const before = await logs();
    const handle = await running.start(await running.build('2.0.0'), '2.0.0');
    await running.untilStage('approve');
    const after = await logs();
    await running.send('reject', { by: 'ann', reason: 'only counted' });
    await handle.result();

    for (const [index, { name }] of machines.entries()) {
      const lines = after[index]!.slice(before[index]!.length);
      const [logins, commands] = [/^Accepted publickey/, /^Starting session: command/].map(
        (what) => lines.filter((line) => what.test(line)).length,
      );
      expect(logins, name).toBeLessThanOrEqual(1);
      expect(commands, `${name}\n${lines.join('\n')}`).toBeGreaterThan(0);
      expect(commands, `${name}\n${lines.join('\n')}`).toBeLessThanOrEqual(12);
    }
  });

  describe('under 500 requests per second', () => {
    const deploy = async (version: string) => {
      const { archive } = await running.build(version);
      const words = ['deploy', '--artifact', archive, '--version', version, '--until', 'approve'];
      expect(await running.verdigris(words)).toMatchObject({ exitCode: 0 });
      return running.verdigris(['approve', '--yes', '--wait', '--by', 'ann']);
    };

    test('v1 to v2 to v3 by the command: no request fails, and the second takes over what was put there by hand', async () => {
      const control = await aMoment(running, 500);
      expect(lost(control), `void: ${JSON.stringify(control)}`).toBe(0);
      const visitors = running.visitors(500);

      const second = await deploy('2.0.0');
      expect(second, second.output).toMatchObject({ exitCode: 0 });
      expect(await running.servedBy()).toBe('2.0.0');
      const adoption = await running.verdigris(['adopt', '--environment', 'blue']);
      expect(adoption, adoption.output).toMatchObject({ exitCode: 0 });
      const third = await deploy('3.0.0');
      expect(third, third.output).toMatchObject({ exitCode: 0 });
      expect(await running.servedBy()).toBe('3.0.0');

      const tally = await visitors.stop();
      console.info(`500 requests per second: ${tally.sent} sent, ${lost(tally)} lost`);
      expect(tally.sent).toBeGreaterThan(5_000);
      expect(lost(tally), JSON.stringify(tally)).toBe(0);
    });
  });

  describe('a bad version after them: blue is not touched, and green runs v2 again', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'verdigris-archives-'));
    });
    afterAll(() => rm(folder, { recursive: true }));

    async function putBack(work: () => Promise<Outcome>, mayFail: readonly string[] = []): Promise<Outcome> {
      const releases = await running.releasesOn('green-1');
      const outcome = await untouched('blue', work, mayFail);
      expect((await running.pids('green')).every((pid) => pid > 0)).toBe(true);
      expect(await running.releasesOn('green-1')).toEqual(releases);
      for (const { machine, port } of running.servers('green'))
        expect(await machine.exec(answer(port))).toBe('2.0.0');
      return outcome;
    }

    test('v4 crashes at start', async () => {
      const outcome = await putBack(() => running.deploy('4.0.0', 'crashes-at-start'));
      expect(outcome).toMatchObject({ kind: 'rolled back', during: 'activate', live: 'blue' });
      expect(messageOf(outcome)).toMatch(/"green-\d".*\n(.*\n)*.*this variant crashes at start/);
    });

    test('v6 needs a newer GLIBC: refused', async () => {
      const newer = await needingGlibc(await running.build('6.0.0'), 'GLIBC_2.99', folder);
      const green = await running.fingerprint('green');
      const outcome = await putBack(async () => {
        const handle = await running.start(newer, '6.0.0');
        return (await handle.result()) as Outcome;
      });
      expect(messageOf(outcome)).toMatch(/GLIBC_2\.99/);
      expect(outcome.kind).toBe('refused');
      expect(await running.fingerprint('green')).toEqual(green);
    });

    test('v8 ignores SIGTERM: it is ended by force', async () => {
      const outcome = await putBack(async () => {
        const handle = await running.start(await running.build('8.0.0', 'ignores-sigterm'), '8.0.0');
        await running.untilStage('approve');
        await running.send('reject', { by: 'ann', reason: 'not today' });
        return (await handle.result()) as Outcome;
      });
      expect(outcome).toMatchObject({ kind: 'rejected', by: 'ann', live: 'blue' });
      const journal = (await running.machine('green-1').journalOf(running.unit)).join('\n');
      expect(journal).toMatch(/State 'stop-sigterm' timed out\. Killing\./);
    });

    test('v5 falls ill under traffic: the traffic goes back by itself', async () => {
      const outcome = await putBack(() => running.deploy('5.0.0', 'falls-ill-errors'), ['HTTP 500']);
      expect(outcome).toMatchObject({
        kind: 'rolled back',
        during: expect.stringMatching(/^(switch|bake)$/),
        live: 'blue',
      });
      expect(messageOf(outcome)).toMatch(/on green: under all the traffic.*requests failed/);
    });

    test('v9 leaks descriptors and memory: nobody notices but the watch, and the traffic goes back', async () => {
      const outcome = await putBack(() => running.deploy('9.0.0', 'leaks'));
      expect(outcome).toMatchObject({ kind: 'rolled back', during: 'bake', live: 'blue' });
      expect(messageOf(outcome)).toMatch(
        /on green: under all the traffic green-\d: (open descriptors grow|memory grows) without end: \d+/,
      );
    });
  });

  test('all of this was done by a user that may run the helper there, and nothing else', async () => {
    const rule = `(root) NOPASSWD: ${helperPlace.path}`;
    for (const { machine, directory } of [...running.servers('blue'), ...running.servers('green')]) {
      const rights = await machine.exec('sudo -n -l -U deploy | grep "^ *("; id -Gn deploy');
      expect(rights.split('\n').map((line) => line.trim())).toEqual([rule, 'deploy']);
      for (const more of ['true', `sh ${helperPlace.path} observe`, 'systemctl daemon-reload'])
        expect((await machine.try(`runuser -u deploy -- sudo -n ${more}`)).exitCode, more).not.toBe(0);
      const done = await machine.exec(
        "journalctl -t sudo -o cat --no-pager | sed -n 's/^ *deploy : .*; USER=root ; COMMAND=//p'",
      );
      const commands = done.split('\n').filter((line) => !line.startsWith('list'));
      expect(commands.length).toBeGreaterThan(10);
      for (const command of commands) expect(command).toMatch(new RegExp(`^${helperPlace.path} `));
      // It has put there what root alone can change and the program's user runs.
      expect(
        await machine.exec(`find ${directory} -path ${directory}/shared -prune -o ! -user root -print`),
      ).toBe('');
    }
    const owner = `stat -c %U "/proc/$(systemctl show ${running.unit} -P MainPID)"`;
    for (const { machine } of [...running.servers('blue'), ...running.servers('green')])
      expect(await machine.exec(owner)).toBe(running.service.program.user);
  });
});

/** The version that a program names, asked on its machine. */
const answer = (port: number): string =>
  `python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:${port}/version").headers["x-greeter-version"])'`;

/** A load with nothing going on. */
async function aMoment(running: RunningFleet, requestsPerSecond: number) {
  const visitors = running.visitors(requestsPerSecond);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  return visitors.stop();
}
