import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import type { BuiltGreeter } from '../../sandbox/programs.js';
import { takeTurns } from '../whole/support/turns.js';
import { HeldProgram, type HeldCall } from './support/held-program.js';
import type { FleetMachine } from './support/machine.js';
import { describeOnFleet } from './support/needs.js';
import type { RunningFleet } from './support/running-fleet.js';
import { WarmIdle, messageOf } from './support/warm-idle.js';

// The first fleet on a machine makes what all begin with.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 900_000 });

describeOnFleet('what befalls a machine while it is deployed to', () => {
  takeTurns();
  let world: WarmIdle;
  let running: RunningFleet;
  let one: FleetMachine;
  let two: FleetMachine;
  let third: BuiltGreeter;

  beforeAll(async () => {
    world = await WarmIdle.start();
    ({ running } = world);
    [one, two] = [running.machine('green-1'), running.machine('green-2')];
    third = await running.build('3.0.0');
  });
  afterAll(() => world?.close());

  const deploy = () => running.start(third, '3.0.0');
  const outcomeOf = async () => (await running.handle.result()) as Outcome;

  /** Deploys, and lets `befall` happen while a call on green-2 is held. */
  async function whileHeld(call: HeldCall, befall: () => Promise<void>): Promise<void> {
    const held = await HeldProgram.on(two, call);
    await deploy();
    await held.reached();
    await befall();
    await held.letGo();
  }

  /** Deploys, and lets `befall` happen to green-2 when it is installed there, and green-1 is not as far yet. */
  async function betweenInstallAndActivate(befall: () => Promise<void>): Promise<void> {
    const held = await HeldProgram.on(one, { program: 'head', by: 'install' });
    await deploy();
    await held.reached();
    await world.untilServer('green-2', 'installed');
    await befall();
    await held.letGo();
  }

  describe('a reboot', () => {
    test('between install and activate: the deployment goes on', async () => {
      const outcome = await world.putBack(async () => {
        await betweenInstallAndActivate(() => two.reboot());
        return world.reject();
      });
      expect(outcome).toMatchObject({ kind: 'rejected', live: 'blue' });
    });

    test('between rename and start, by a power cut: what was renamed to runs, once', async () => {
      const journal = async () => (await two.exec(`cat ${directory()}/.verdigris/journal`)).split('\n');
      const before = await journal();
      const outcome = await world.putBack(async () => {
        const held = await HeldProgram.on(two, { program: 'systemctl', by: 'activate', words: ' start ' });
        await deploy();
        await held.reached();
        await held.release();
        await two.cutPower();
        await two.powerOn();
        await running.untilStage('approve');
        const told = (await journal()).slice(before.length);
        expect(told.filter((line) => / activates /.test(line))).toHaveLength(1);
        return world.reject();
      });
      expect(outcome).toMatchObject({ kind: 'rejected', live: 'blue' });
    });
  });

  test('a power cut while it is activated: given up at its deadline, and undone once it is on again', async () => {
    const outcome = await world.putBack(async () => {
      const held = await HeldProgram.on(two, { program: 'ss', by: 'activate' });
      const { fleet } = running.service;
      await running.start(third, '3.0.0', { fleet: { ...fleet, serverDeadlineMs: 15_000 } });
      await held.reached();
      await held.release();
      await two.cutPower();
      const { problem } = await running.untilStage('rolling back', 'needs a person');
      expect(problem?.message).toMatch(
        /on "green-2": .* refuses connections \(tried \d times.*; it has taken 20 s, needs to be done by then\n/,
      );
      await two.powerOn();
      return outcomeOf();
    });
    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'activate',
      because: { failure: 'ServerUnreachable' },
    });
  });

  describe('a full disk', () => {
    test.each<[string, HeldCall]>([
      ['as the archive arrives', { program: 'head', by: 'install' }],
      ['as the configuration is filled in', { program: 'base64', by: 'install' }],
    ])('%s: undone, with the disk full all the time', async (_, call) => {
      const outcome = await world.untouched(async () => {
        await whileHeld(call, () => two.fillDisk());
        const ended = await outcomeOf();
        await two.freeDisk();
        return ended;
      });
      expect(outcome).toMatchObject({
        kind: 'rolled back',
        during: 'install',
        because: { failure: 'DiskFull' },
      });
      expect(messageOf(outcome)).toMatch(/^Cannot install "\S+" on "green-2": .*\n {2}\S/);
    });

    test('as the release is activated, when the old one is stopped already: the old one runs again, with the disk full all the time', async () => {
      const outcome = await world.putBack(async () => {
        await whileHeld({ program: 'systemctl', by: 'activate', words: ' stop ' }, () => two.fillDisk());
        const ended = await outcomeOf();
        await two.freeDisk();
        return ended;
      });
      expect(outcome).toMatchObject({
        kind: 'rolled back',
        during: 'activate',
        because: { failure: 'DiskFull' },
      });
      expect(messageOf(outcome)).toMatch(/^Cannot activate "\S+" on "green-2": .*\n {2}\S/);
    });
  });

  describe('a file system that is read-only', () => {
    test('from the beginning: nothing is changed, and the deployment ends', async () => {
      const outcome = await world.untouched(async () => {
        await two.makeReadOnly(directory());
        await deploy();
        const ended = await outcomeOf();
        await two.makeWritable(directory());
        return ended;
      });
      expect(outcome).toMatchObject({
        kind: 'rolled back',
        during: 'install',
        because: { failure: 'DiskReadOnly' },
      });
      expect(messageOf(outcome)).toMatch(/^Cannot install "\S+" on "green-2": .*read-only.*\n {2}\S/i);
    });

    test('as the release is activated: it is told, and undone once it is writable', async () => {
      const outcome = await world.putBack(async () => {
        await whileHeld({ program: 'ss', by: 'activate' }, () => two.makeReadOnly(directory()));
        const { problem } = await running.untilStage('needs a person');
        expect(problem?.message).toMatch(/on "green-2": .*read-only/i);
        await two.makeWritable(directory());
        await running.send('retry', { by: 'ann' });
        return outcomeOf();
      });
      expect(outcome).toMatchObject({
        kind: 'rolled back',
        during: 'activate',
        because: { failure: 'DiskReadOnly' },
      });
    });
  });

  test('clocks that are an hour off, one ahead and one behind, keep nothing from working', async () => {
    const outcome = await world.putBack(async () => {
      await Promise.all([one.setClockOff(3600), two.setClockOff(-3600)]);
      const { output, exitCode } = await running.verdigris(['server', 'doctor']);
      expect(exitCode, output).not.toBe(0);
      expect(output).toMatch(/green-1.* clock is 3[56]\d\d s ahead of/);
      expect(output).toMatch(/green-2.* clock is 3[56]\d\d s behind/);
      await deploy();
      const ended = await world.reject();
      await Promise.all([one.setClockOff(0), two.setClockOff(0)]);
      return ended;
    });
    expect(outcome).toMatchObject({ kind: 'rejected', live: 'blue' });
  });

  describe('a sudo rule that is gone', () => {
    const rule = '/etc/sudoers.d/verdigris-deploy';
    const take = () => two.exec(`mv ${rule} /root/rule`);
    const giveBack = () => two.exec(`mv /root/rule ${rule}`);

    test('is told before anything is changed', async () => {
      const outcome = await world.untouched(async () => {
        await take();
        await deploy();
        const ended = await outcomeOf();
        await giveBack();
        return ended;
      });
      expect(outcome).toMatchObject({ kind: 'refused' });
      expect(messageOf(outcome)).toMatch(
        /"green-2": sudo does not let this user run .*\n.*verdigris server setup/,
      );
    });

    test('on the way: undone once it is back', async () => {
      const outcome = await world.putBack(async () => {
        await betweenInstallAndActivate(async () => void (await take()));
        const { problem } = await running.untilStage('needs a person');
        expect(problem?.message).toMatch(
          /"green-2": sudo does not let this user run .*\n.*verdigris server setup/,
        );
        await giveBack();
        await running.send('retry', { by: 'ann' });
        return outcomeOf();
      });
      expect(outcome).toMatchObject({
        kind: 'rolled back',
        during: 'activate',
        because: { failure: 'ServerLoginRefused' },
      });
    });
  });

  test('a helper that somebody has changed is not worked with', async () => {
    const helper = '/usr/local/lib/verdigris/helper';
    const outcome = await world.untouched(async () => {
      await two.exec(`cp -p ${helper} /root/helper && echo '# and more' >>${helper}`);
      await deploy();
      const ended = await outcomeOf();
      await two.exec(`mv /root/helper ${helper}`);
      return ended;
    });
    expect(outcome).toMatchObject({ kind: 'refused' });
    expect(messageOf(outcome)).toMatch(
      /"green-2": the helper installed there is [0-9a-f]{12}, this worker needs [0-9a-f]{12}\n.*verdigris server setup/,
    );
  });

  const directory = (): string => running.servers('green')[0]!.directory;
});
