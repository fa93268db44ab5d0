import { get } from 'node:http';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Color } from '../../domain/color.js';
import type { Outcome } from '../../domain/deployment.js';
import type { Service } from '../../domain/service.js';
import { helperPlace } from '../../drivers/servers/installed-helper.js';
import type { BuiltGreeter } from '../../sandbox/programs.js';
import { lost } from '../whole/support/running-service.js';
import { takeTurns } from '../whole/support/turns.js';
import type { FleetMachine } from './support/machine.js';
import { describeOnFleet } from './support/needs.js';
import { repacked } from './support/repacked.js';
import { RunningFleet, type FleetServer } from './support/running-fleet.js';

// The first fleet on a machine makes what all begin with.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

/** One machine for all, in this order: each test leaves it as it says, and the next one begins there. */
describeOnFleet('both environments on one machine, by configuration only', () => {
  takeTurns();
  let running: RunningFleet;
  let machine: FleetMachine;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'verdigris-archives-'));
    running = await RunningFleet.start({ oneMachine: true, settings: { drain: { atMost: '2s' } } });
    machine = running.machine('one');
    await running.startWorker();
    await running.runByHand('blue', await running.build('1.0.0'));
    await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000 });
  });
  afterAll(async () => {
    await running.close();
    await rm(folder, { recursive: true });
  });

  const server = (color: Color): FleetServer => running.servers(color)[0]!;
  const niceness = async (color: Color) =>
    Number(await machine.exec(`ps -o ni= -p ${await shown(color, 'MainPID')}`));
  const shown = (color: Color, property: string) =>
    machine.exec(`systemctl show ${server(color).unit} -P ${property}`);

  /** The same build with another unit file, and a program that gives open requests a second to end, and not ten. */
  const withUnit = (built: BuiltGreeter, change: (unit: string) => string) =>
    repacked(built, folder, `${Date.now()}`, async (tree) => {
      await edit(join(tree, 'lib/systemd/system/greeter.service'), change);
      await edit(join(tree, 'etc/greeter.conf'), (text) =>
        text.replace('drain_seconds = 10', 'drain_seconds = 1'),
      );
    });
  const asSimple = (unit: string) => unit.replace('Type=notify\nNotifyAccess=main\n', 'Type=simple\n');

  /** Deploys, approves what asks for it, and gives the outcome. */
  async function deploy(built: BuiltGreeter, version: string, changes?: Partial<Service>): Promise<Outcome> {
    const handle = await running.start(built, version, changes);
    const { stage } = await running.untilStage('approve', 'ended');
    if (stage === 'approve') await running.send('approve', { by: 'ann' });
    return (await handle.result()) as Outcome;
  }

  /** Does the work under load: what is live at its beginning keeps its process, its files and its unit, and nobody is lost. */
  async function besideLive(live: Color, work: () => Promise<Outcome>): Promise<Outcome> {
    const before = await running.fingerprint(live);
    const visitors = running.visitors(50);
    const outcome = await work();
    const tally = await visitors.stop();
    expect(await running.fingerprint(live)).toEqual(before);
    // A refusal comes at once.
    expect(tally.sent).toBeGreaterThan(0);
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    return outcome;
  }

  test('there, under Type=simple: what is installed stands behind what is live', async () => {
    await recordTar(machine);
    const built = await withUnit(await running.build('2.0.0'), asSimple);
    const outcome = await besideLive('blue', () => deploy(built, '2.0.0'));
    expect(outcome, messageOf(outcome)).toMatchObject({ kind: 'promoted', live: 'green' });
    expect(await running.servedBy()).toBe('2.0.0');
    expect(await shown('green', 'Type')).toBe('simple');

    const record = await machine.exec('cat /run/tar-was');
    expect(record).toMatch(/^nice 15$/m);
    expect(record).toMatch(/^best-effort: prio 7$/m);
    // A control group of its own, which is not the live unit's, with little memory and the least of everything else.
    expect(record).toMatch(/^.*run-r[0-9a-f]+\.scope$/m);
    expect(record).toMatch(/^MemoryMax=268435456$/m);
    expect(record).toMatch(/^CPUWeight=10$/m);
    expect(record).toMatch(/^IOWeight=10$/m);
    // What was installed so gently runs like any program.
    const [nice, usual] = await Promise.all((['green', 'blue'] as const).map(niceness));
    expect(nice).toBe(usual);
    expect(usual).toBeLessThan(15);
  });

  test('and back, under Type=notify: it is ready when it says so', async () => {
    const adoption = await running.verdigris(['adopt', '--environment', 'blue']);
    expect(adoption, adoption.output).toMatchObject({ exitCode: 0 });
    const outcome = await besideLive('green', async () =>
      deploy(await withUnit(await running.build('3.0.0'), (unit) => unit), '3.0.0'),
    );
    expect(outcome, messageOf(outcome)).toMatchObject({ kind: 'promoted', live: 'blue' });
    expect(await running.servedBy()).toBe('3.0.0');
    expect(await shown('blue', 'Type')).toBe('notify');
    // What the program told systemd over the socket.
    expect(await shown('blue', 'StatusText')).toBe('Serving');
  });

  /** A deployment to green that fails: green runs 2.0.0 again. */
  async function putBack(work: () => Promise<Outcome>): Promise<Outcome> {
    const releases = await running.releasesOn('green-1');
    const outcome = await besideLive('blue', work);
    expect(await running.releasesOn('green-1')).toEqual(releases);
    expect(await shown('green', 'ActiveState')).toBe('active');
    expect(await versionOn(server('green'))).toBe('2.0.0');
    return outcome;
  }

  test('a program that never says that it is ready is not believed, although it serves', async () => {
    const built = await withUnit(await running.build('4.0.0', 'never-ready'), (unit) =>
      unit.replace('Type=notify\n', 'Type=notify\nTimeoutStartSec=2\n'),
    );
    const outcome = await putBack(() => deploy(built, '4.0.0'));
    expect(outcome, messageOf(outcome)).toMatchObject({
      kind: 'rolled back',
      during: 'activate',
      live: 'blue',
    });
    expect(messageOf(outcome)).toMatch(/start operation timed out/);
    expect(messageOf(outcome)).toMatch(/listening on/);
  });

  test('a program that crashes at start is found out under Type=simple too, for which systemd’s start succeeds', async () => {
    const built = await withUnit(await running.build('5.0.0', 'crashes-at-start'), asSimple);
    const outcome = await putBack(() => deploy(built, '5.0.0'));
    expect(outcome, messageOf(outcome)).toMatchObject({
      kind: 'rolled back',
      during: 'activate',
      live: 'blue',
    });
    expect(messageOf(outcome)).toMatch(/this variant crashes at start/);
  });

  test('files of the live unit that wait for a daemon-reload refuse the deployment', async () => {
    const idle = await running.pids('green');
    await machine.exec(`sleep 1; echo Nice=5 >>/etc/systemd/system/${server('blue').unit}`);
    await vi.waitUntil(async () => (await shown('blue', 'NeedDaemonReload')) === 'yes');
    const outcome = await putBack(async () => deploy(await running.build('6.0.0'), '6.0.0'));
    expect(outcome).toMatchObject({ kind: 'refused', complaints: [{ failure: 'UnitRefused' }] });
    expect(messageOf(outcome)).toContain(`the files of ${server('blue').unit} `);
    expect(await running.pids('green')).toEqual(idle);
    await machine.exec(`sed -i '$d' /etc/systemd/system/${server('blue').unit} && systemctl daemon-reload`);
  });

  test('the floor of the disk is left: a release that would go below it is refused', async () => {
    const outcome = await putBack(async () =>
      deploy(await running.build('6.0.0'), '6.0.0', { install: { keepFreeBytes: 1e12 } } as Partial<Service>),
    );
    expect(outcome.kind).toBe('refused');
    expect(outcome).toMatchObject({ complaints: [{ failure: 'DiskFull' }] });
  });

  // A probe of the load balancer that has not been answered yet at a look counts, too.
  describe('somebody’s connection to what is idle', () => {
    const drain = (changes: Partial<Service['drain']>): Partial<Service> => ({
      drain: { atLeastMs: 0, atMostMs: 2_000, lingering: 'refuse', ...changes },
    });
    const begin = async (version: string, changes: Partial<Service>) =>
      running.start(await running.build(version), version, changes);

    test('is waited for: the program is stopped once it has ended, and nothing is cut', async () => {
      const visitor = await Lingering.at(server('green'));
      const before = await running.pids('green');
      const handle = await begin('7.0.0', drain({ atMostMs: 120_000 }));
      await vi.waitUntil(() => isWaiting(machine), { timeout: 60_000 });
      // What ss says is what the helper goes by: bytes move.
      const [first, second] = [await sentBy(machine, server('green')), await later(machine, server('green'))];
      expect(second).toBeGreaterThan(first);
      expect(await running.pids('green')).toEqual(before);
      expect(await isWaiting(machine)).toBe(true);
      visitor.leave();
      const { notes } = await running.untilStage('approve');
      expect(visitor.wasCut).toBe(false);
      expect(notes.join('\n')).not.toContain('lingered');
      expect(await versionOn(server('green'))).toBe('7.0.0');
      await running.send('reject', { by: 'ann', reason: 'only looked at' });
      await handle.result();
    });

    test('refuses the activation where it outlasts the drain, and is not cut', async () => {
      const visitor = await Lingering.at(server('green'));
      const outcome = await putBack(async () => {
        const handle = await begin('7.0.0', drain({ lingering: 'refuse' }));
        return (await handle.result()) as Outcome;
      });
      expect(outcome, messageOf(outcome)).toMatchObject({ kind: 'rolled back', during: 'activate' });
      const [, count, waited] =
        /(\d+) connections linger on port 8081 after (\d+) ms/.exec(messageOf(outcome)) ?? [];
      expect(Number(count)).toBeGreaterThanOrEqual(1);
      expect(Number(waited)).toBeGreaterThanOrEqual(2_000);
      await visitor.hearsMore();
      expect(visitor.wasCut).toBe(false);
      visitor.leave();
    });

    test('is asked about where the service says so, and cut where a person does', async () => {
      const visitor = await Lingering.at(server('green'));
      const before = await running.pids('green');
      const handle = await begin('7.0.0', drain({ lingering: 'ask' }));
      const { problem } = await running.untilStage('needs a person');
      expect(problem).toMatchObject({ failure: 'ConnectionsLinger' });
      expect(problem?.message).toMatch(/[12] connections linger on port 8081/);
      expect(await running.pids('green')).toEqual(before);
      await visitor.hearsMore();
      await running.send('retry', { force: true });
      const { notes } = await running.untilStage('approve');
      expect(notes.join('\n')).toMatch(
        /[12] connections? still lingered on green-1 when its program was told to stop/,
      );
      expect(visitor.wasCut).toBe(true);
      await running.send('reject', { by: 'ann', reason: 'only looked at' });
      await handle.result();
      expect(await versionOn(server('green'))).toBe('2.0.0');
    });

    test('is cut and counted where the service says so, but not before what is left has run as long as it shall', async () => {
      const visitor = await Lingering.at(server('blue'));
      const atLeastMs = 6_000;
      const changes = { ...drain({ atLeastMs, lingering: 'cut' }), retire: { old: 'stop' } as const };
      const handle = await begin('8.0.0', changes);
      await running.untilStage('approve');
      const served = lastServedBy(running, '3.0.0');
      await running.send('approve', { by: 'ann' });
      const lastAtMs = await served;
      const outcome = (await handle.result()) as Outcome;
      expect(outcome, messageOf(outcome)).toMatchObject({ kind: 'promoted', live: 'green' });
      expect(messageOf(outcome)).toMatch(/[12] connections? still lingered on blue-1/);
      expect(visitor.wasCut).toBe(true);
      expect(await shown('blue', 'ActiveState')).toBe('inactive');
      // The clock of systemd is this machine's own.
      const stoppedAtMs = Number(await shown('blue', 'ActiveExitTimestampMonotonic')) / 1_000;
      expect(stoppedAtMs - lastAtMs).toBeGreaterThanOrEqual(atLeastMs);
    });
  });
});

async function edit(file: string, change: (text: string) => string): Promise<void> {
  await writeFile(file, change(await readFile(file, 'utf8')));
}

/** Puts before tar what writes down how it runs. The helper cannot tell them apart. */
async function recordTar(machine: FleetMachine): Promise<void> {
  await machine.exec('mv /usr/bin/tar /usr/bin/tar.real');
  await machine.exec('cat >/usr/bin/tar; chmod 755 /usr/bin/tar', {
    input: `#!/bin/sh
scope=$(sed -n 's/.*\\/\\(run-r[0-9a-f]*\\.scope\\)$/\\1/p' /proc/self/cgroup | head -n 1)
{
  echo "nice $(ps -o ni= -p $$ | tr -d ' ')"
  ionice -p $$
  cat /proc/self/cgroup
  systemctl show "$scope" -p MemoryMax,CPUWeight,IOWeight
} >>/run/tar-was 2>&1
exec /usr/bin/tar.real "$@"
`,
  });
}

/** Somebody who reads what never ends, at the program itself. */
class Lingering {
  /** Whether the other side has ended it. */
  wasCut = false;
  #bytes = 0;
  #left = false;
  readonly #end: () => void;

  static at({ address, port }: FleetServer): Promise<Lingering> {
    return new Promise((resolve, reject) => {
      const request = get({ host: address, port, path: '/stream?seconds=600', agent: false }, (response) => {
        const visitor = new Lingering(() => request.destroy());
        response.on('data', (chunk: Buffer) => (visitor.#bytes += chunk.length));
        const isOver = () => (visitor.wasCut ||= !visitor.#left);
        for (const event of ['end', 'aborted', 'error']) response.once(event, isOver);
        response.once('data', () => resolve(visitor));
      });
      request.once('error', reject);
    });
  }

  private constructor(end: () => void) {
    this.#end = end;
  }

  async hearsMore(): Promise<void> {
    const before = this.#bytes;
    await vi.waitUntil(() => this.#bytes > before);
  }

  leave(): void {
    this.#left = true;
    this.#end();
  }
}

/** Whether the helper waits there for connections to end. */
const isWaiting = async (machine: FleetMachine): Promise<boolean> =>
  (await machine.try(`pgrep -f '^/bin/sh ${helperPlace.path} activate'`)).exitCode === 0;

/** Bytes that the program has sent on connections that are open, as ss tells. */
const sentBy = async (machine: FleetMachine, { port }: FleetServer): Promise<number> => {
  const text = await machine.exec(`ss -tinH state established '( sport = :${port} )'`);
  return [...text.matchAll(/bytes_sent:(\d+)/g)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
};

/** The same, once it has changed. */
async function later(machine: FleetMachine, server: FleetServer): Promise<number> {
  const before = await sentBy(machine, server);
  let now = before;
  await vi.waitUntil(async () => (now = await sentBy(machine, server)) !== before);
  return now;
}

/** When, by the machine's monotonic clock, a version answered for the last time. */
async function lastServedBy(running: RunningFleet, version: string): Promise<number> {
  let last = Number.NaN;
  for (;;) {
    const askedAtMs = Number(process.hrtime.bigint() / 1_000_000n);
    if ((await running.servedBy()) !== version) return last;
    last = askedAtMs;
  }
}

/** The version that a program names, asked on its machine. */
const versionOn = ({ machine, port }: FleetServer): Promise<string> =>
  machine.exec(
    `python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:${port}/version").headers["x-greeter-version"])'`,
  );

const messageOf = (outcome: Outcome): string => JSON.stringify(outcome);
