import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HelperWorld, type HelperRun, type PackedRelease, type Point } from './helper-world.js';

/**
 * Each command that changes a server is given again after it ended before or after every program that it starts. One run keeps
 * what the server is at each of these points, which is what a power failure there leaves behind; where two points find it the
 * same, one of them is enough. At some it is killed in truth: what else ran beside it may go on for a moment then.
 */
let world: HelperWorld;
let v1: PackedRelease;
let v2: PackedRelease;
let v4: PackedRelease;
let program: ChildProcess | undefined;

beforeEach(async () => {
  world = await HelperWorld.start();
  [v1, v2] = [await world.release('v1'), await world.release('v2')];
});
afterEach(async () => {
  program?.kill('SIGKILL');
  program = undefined;
  await world.close();
});

const token = (step: number) => `000000000000001-${String(step).padStart(6, '0')}`;
type How = { readonly points?: 'kept' | Point };

const install = ({ archive, words }: PackedRelease, step: number, how: How = {}) =>
  world.run('install', { token: token(step), ...words }, { input: archive, ...how });
const activate = ({ release }: PackedRelease, step: number, how: How = {}) =>
  world.run('activate', { token: token(step), release }, how);
const restore = (release: string, step: number, how: How = {}) =>
  world.run('restore', { token: token(step), release }, how);

const v1Serves = async () => {
  await install(v1, 1);
  await activate(v1, 2);
};
const v2Serves = async () => {
  await v1Serves();
  await install(v2, 3);
  await activate(v2, 4);
};
const somethingForeignServes = async () => {
  program = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  await world.write('units/greeter.service', '[Service]\nExecStart=/bin/cat\n');
  await mkdir(join(world.directory, 'units/greeter.service.d'));
  await world.write('units/greeter.service.d/override.conf', '[Service]\nNice=5\n');
  await world.write('runs', 'the old program\n');
  await world.write('pid-of-main', `${program.pid}\n`);
};

const withKeep = (release: PackedRelease, keep: number): PackedRelease => ({
  ...release,
  words: { ...release.words, keep },
});
const withSettings = (release: PackedRelease, more: string): PackedRelease => ({
  ...release,
  words: {
    ...release.words,
    'unit-conf': Buffer.from(`[Service]\nExecStart=/bin/true\n${more}\n`).toString('base64'),
  },
});

interface Case {
  readonly before: () => Promise<unknown>;
  readonly act: (how?: How) => Promise<HelperRun>;
  /** The fewest states that it leads through: were there less, the points would not be seen. */
  readonly states: number;
}

const cases: Readonly<Record<string, Case>> = {
  'installs beside what runs': { before: () => v1Serves(), act: (how) => install(v2, 3, how), states: 8 },
  'installs, and removes what is too old': {
    before: async () => {
      await v2Serves();
      await install(await world.release('v3'), 5);
      v4 = await world.release('v4');
    },
    act: (how) => install(withKeep(v4, 0), 6, how),
    states: 8,
  },
  'installs with configuration and state': {
    before: async () => {
      await v1Serves();
      const filled = await world.filled(v2, { 'private bin/greeter': 'password = x\n' });
      v4 = { ...filled, words: { ...filled.words, shared: 'data,cache' } };
    },
    act: (how) => install(v4, 3, how),
    states: 10,
  },
  'marks a release unfit': {
    before: () => v1Serves(),
    act: (how) =>
      world.run('mark-unfit', { token: token(3), release: v2.release, because: 'it was ill' }, how),
    states: 3,
  },
  'marks it fit again': {
    before: async () => {
      await v1Serves();
      await world.run('mark-unfit', { token: token(3), release: v2.release, because: 'it was ill' });
    },
    act: (how) => world.run('mark-fit', { token: token(4), release: v2.release }, how),
    states: 3,
  },
  'renews the settings of what runs': {
    before: () => v1Serves(),
    act: (how) => install(withSettings(v1, 'Nice=3'), 3, how),
    states: 5,
  },
  'activates the first release': {
    before: () => install(v1, 1),
    act: (how) => activate(v1, 2, how),
    states: 8,
  },
  'activates another release': {
    before: async () => {
      await v1Serves();
      await install(v2, 3);
    },
    act: (how) => activate(v2, 4, how),
    states: 8,
  },
  'restores the release before': {
    before: () => v2Serves(),
    act: (how) => restore(v1.release, 5, how),
    states: 8,
  },
  'restores nothing': { before: () => v1Serves(), act: (how) => restore('nothing', 3, how), states: 6 },
  stops: {
    before: () => v1Serves(),
    act: (how) => world.run('stop', { token: token(3) }, how),
    states: 3,
  },
  removes: {
    before: async () => {
      await v1Serves();
      await install(v2, 3);
    },
    act: (how) => world.run('remove', { token: token(4), release: v2.release, because: 'a test' }, how),
    states: 6,
  },
  adopts: {
    before: somethingForeignServes,
    act: (how) => world.run('adopt', { token: token(1) }, how),
    states: 8,
  },
};

const isDone = (run: HelperRun, what: string) => {
  expect(run.lines.at(-1), `${what}: ${run.lines.join('\n')}`).toBe('ok');
  expect(run.exitCode).toBe(0);
};

/** A kill costs as much again as all the rest. */
const killedAtEvery = 5;

/** What systemd would start right now, after a power failure, is a whole release. */
function currentIsWhole(state: string): void {
  const [, current] = /^srv\/greeter\/current 777 (.+)$/m.exec(state) ?? [];
  if (current !== undefined) expect(state).toContain(`srv/greeter/${current}/.verdigris/installed `);
}

describe('ended before or after any program that it starts, and given again,', { timeout: 600_000 }, () => {
  test.each(Object.entries(cases))('it %s the same', async (_, { before, act, states }) => {
    await before();
    await world.save();
    isDone(await act(), 'undisturbed');
    const end = await world.state();
    const told = [...(await world.journal())];
    isDone(await act(), 'twice');
    expect(await world.state()).toBe(end);

    await world.load();
    isDone(await act({ points: 'kept' }), 'with its points kept');
    expect(await world.state()).toBe(end);
    const points = await world.points();
    expect(points.size).toBeGreaterThanOrEqual(states);
    for (const [index, [state, point]] of [...points].entries()) {
      const where = `${point.when} program ${point.number}`;
      currentIsWhole(state);
      if (index % killedAtEvery === 1) {
        await world.load();
        expect((await act({ points: point })).killed, `killed ${where}`).toBe(true);
      } else {
        await world.load(point);
      }
      isDone(await act(), `given again after its end ${where}`);
      expect(await world.state(), `after its end ${where}`).toBe(end);
      expect([...(await world.journal())]).toEqual(expect.arrayContaining(told));
    }
  });

  test.each(['observe', 'drain', 'last-words'])('%s changes nothing at any point', async (command) => {
    await v2Serves();
    const whole = await world.state();
    isDone(await world.run(command, {}, { points: 'kept' }), command);
    expect([...(await world.points()).keys()]).toEqual([whole]);
    expect(await world.state()).toBe(whole);
  });
});
