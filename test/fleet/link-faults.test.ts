import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import type { BuiltGreeter } from '../../sandbox/programs.js';
import { takeTurns } from '../whole/support/turns.js';
import { HeldProgram } from './support/held-program.js';
import type { FleetMachine } from './support/machine.js';
import { describeOnFleet } from './support/needs.js';
import { repacked } from './support/repacked.js';
import type { RunningFleet } from './support/running-fleet.js';
import { WarmIdle } from './support/warm-idle.js';

// The first fleet on a machine makes what all begin with.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

describeOnFleet('what befalls the link to a machine, and those who work over it', () => {
  takeTurns();
  let world: WarmIdle;
  let running: RunningFleet;
  let two: FleetMachine;
  let third: BuiltGreeter;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'verdigris-archives-'));
    world = await WarmIdle.start();
    ({ running } = world);
    two = running.machine('green-2');
    third = await running.build('3.0.0');
  });
  afterAll(async () => {
    await world?.close();
    await rm(folder, { recursive: true });
  });

  const file = (name: string) => `${running.servers('green')[0]!.directory}/.verdigris/${name}`;
  const lines = async (name: string) => (await two.exec(`cat ${file(name)}`)).split('\n');
  /** Commands of the helper that run there, each of which sudo has started. */
  const helpers = async (command: string) =>
    Number((await two.try(`pgrep -cf '^sudo .*[h]elper ${command} directory='`)).stdout);
  const untilNoHelper = (command: string) =>
    vi.waitUntil(async () => (await helpers(command)) === 0, { timeout: 60_000 });

  test('cut in the middle of the archive: it is sent once more, and nothing of the half is left', async () => {
    const large = await repacked(third, folder, 'large', async (tree) => {
      await mkdir(join(tree, 'share'), { recursive: true });
      await writeFile(join(tree, 'share/noise'), randomBytes(8e6));
    });
    const outcome = await world.putBack(async () => {
      const held = await HeldProgram.on(two, { program: 'head', by: 'install', takes: 1_000_000 });
      await running.start(large, '3.0.0');
      await held.reached();
      await vi.waitUntil(
        async () => (await two.exec(`cat ${file('incoming')}/*/artifact.tar.gz | wc -c`)) === '1000000',
        { timeout: 60_000 },
      );
      await two.exec('pkill -KILL -u deploy sshd');
      await running.untilStage('approve');
      await held.letGo();
      await untilNoHelper('install');
      expect(await two.exec(`ls ${file('incoming')}`)).toBe('');
      return world.reject();
    });
    expect(outcome).toMatchObject({ kind: 'rejected', live: 'blue' });
  });

  test('frozen, it is noticed and given up by the deadline; thawed, it is put back, and what was begun there is refused', async () => {
    const held = await HeldProgram.on(two, { program: 'ss', by: 'activate' });
    const outcome = await world.putBack(async () => {
      const { fleet } = running.service;
      await running.start(third, '3.0.0', { fleet: { ...fleet, serverDeadlineMs: 10_000 } });
      await held.reached();
      await two.freeze();
      await world.untilServer('green-2', 'unreachable');
      const { problem } = await running.untilStage('rolling back', 'needs a person');
      expect(problem).toMatchObject({ failure: 'ServerUnreachable' });
      expect(problem?.message).toMatch(
        /on "green-2": .*the connection was lost.*; it has taken 15 s, needs to be done by then\n {2}\S/,
      );
      await two.thaw();
      return (await running.handle.result()) as Outcome;
    });
    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'activate',
      because: { failure: 'ServerUnreachable' },
    });
    await nothingMore(async () => {
      await held.letGo();
      await untilNoHelper('activate');
    });
  });

  test('a command that arrives when another deployment has begun is refused', async () => {
    // It would stop what the other one has started, and put back what was there before the first.
    const held = await HeldProgram.on(two, { program: 'sudo', words: ' restore directory=', isKept: true });
    const first = await world.putBack(async () => {
      await running.start(third, '3.0.0');
      const rejecting = world.reject();
      await held.reached();
      await running.replaceWorker();
      return rejecting;
    });
    expect(first).toMatchObject({ kind: 'rejected' });

    const second = await world.putBack(async () => {
      await running.start(await running.build('3.1.0'), '3.1.0');
      await running.untilStage('approve');
      await nothingMore(async () => {
        await held.letGo();
        expect(await held.printed()).toMatch(/^error=ExecutorFenced\nmessage=a newer executor .* was here/m);
      });
      return world.reject();
    });
    expect(second).toMatchObject({ kind: 'rejected' });
  });

  test('two workers that do the same step at once do it once', async () => {
    const outcome = await world.putBack(async () => {
      const before = await lines('journal');
      const install = await HeldProgram.on(two, { program: 'head', by: 'install' });
      const start = await HeldProgram.on(two, { program: 'systemctl', by: 'activate', words: ' start ' });
      await running.start(third, '3.0.0');
      await install.reached();
      // The command of a worker that is gone goes on: another worker installs beside it, and is further when it ends.
      await running.replaceWorker();
      await start.reached();
      await install.letGo();
      await untilNoHelper('install');

      await running.replaceWorker();
      await vi.waitUntil(async () => (await helpers('activate')) >= 2, { timeout: 60_000 });
      await start.letGo();
      await running.untilStage('approve');

      const told = (await lines('journal')).slice(before.length).map((line) => line.replace(/^\S+ \S+ /, ''));
      const release = (await two.exec(`readlink ${file('../current')}`)).replace('releases/', '');
      expect(told.filter((line) => line.includes(release))).toEqual([
        `installs ${release}`,
        expect.stringMatching(`^stops .*, activates ${release}$`),
        `starts ${release}`,
      ]);
      return world.reject();
    });
    expect(outcome).toMatchObject({ kind: 'rejected' });
  });

  /** Green-2 stays as it is: the same process, active release and journal. */
  async function nothingMore(work: () => Promise<void>): Promise<void> {
    const state = async () => [
      await two.exec(`systemctl show ${running.unit} -p MainPID,ExecMainStartTimestampMonotonic`),
      await two.exec(`readlink ${file('../current')}`),
      await two.exec(`cat ${file('token')} ${file('journal')}`),
    ];
    const before = await state();
    await work();
    expect(await state()).toEqual(before);
  }
});
