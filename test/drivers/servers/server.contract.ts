import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FencingToken } from '../../../domain/deployment.js';
import { Failure, type FailureName } from '../../../domain/failures.js';
import { formatToken } from '../../../domain/fencing.js';
import type { ProcessLook } from '../../../domain/health.js';
import { Secret } from '../../../domain/secret.js';
import { Digest, ReleaseId } from '../../../domain/names.js';
import { endless } from '../../../drivers/patience.js';
import type { Installation, ServerDriver } from '../../../drivers/servers/driver.js';
import type { Behaviour } from '../../../drivers/servers/imagined-program.js';

/** One server, empty at first, in a technology. */
export interface ServerWorld {
  readonly driver: ServerDriver;
  /** A second executor, of another worker, for the same server. */
  readonly other: ServerDriver;
  /** Builds a release of a program that does this. Behaviours: those that the contract names. */
  release(version: string, behaviour?: Behaviour): Promise<BuiltRelease>;
  /** Runs a program under the unit of the server that Verdigris did not install, in the same directory. */
  runForeign(): Promise<Digest>;
  /** Opens a connection to the running program that carries bytes, until it is ended. */
  linger(): Promise<{ end(): void }>;
  /** A file of the active release as it is there. */
  file(path: string): Promise<{ readonly text: string; readonly private: boolean } | undefined>;
  /** Names of what outlives releases. */
  shared(): Promise<readonly string[]>;
  /** From now on there are not endless inodes. */
  limitInodes(): void;
  /** Cuts the machine off, or brings it back. */
  reachable(yes: boolean): Promise<void>;
  close(): Promise<void>;
}

export interface BuiltRelease {
  readonly id: ReleaseId;
  readonly executable: Digest;
  readonly installation: Installation;
}

/** Steps of one deployment, each with a higher token than the one before. */
export function steps(startedAtMs = 1_700_000_000_000): () => FencingToken {
  let step = 0;
  return () => ({ startedAtMs, step: ++step });
}

export const health = { path: '/health', status: 200, timeoutMs: 2000, identityHeader: 'X-Release' } as const;

export async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('Cannot tell the failure: nothing failed');
}

export const nameOfFailure = async (promise: Promise<unknown>): Promise<FailureName> =>
  (await failureOf(promise)).failure;

/** What every server driver promises, whatever it reaches servers with. */
export function describeServer(technology: string, start: () => Promise<ServerWorld>): void {
  describe(`a server (${technology})`, () => {
    let world: ServerWorld;
    let driver: ServerDriver;
    let next: () => FencingToken;

    beforeEach(async () => {
      world = await start();
      driver = world.driver;
      next = steps();
    });
    afterEach(() => world.close());

    const install = (release: BuiltRelease) => driver.install(release.installation, next(), endless);
    const activate = (release: BuiltRelease, drainAtMostMs = 5000, lingering: 'cut' | 'refuse' = 'refuse') =>
      driver.activate(release.id, { atMostMs: drainAtMostMs, lingering }, next(), endless);
    const restore = (release: BuiltRelease | 'nothing', drainAtMostMs = 5000) =>
      driver.restore(release === 'nothing' ? release : release.id, drainAtMostMs, next(), endless);
    const observe = () => driver.observe(endless);

    async function serving(version: string): Promise<BuiltRelease> {
      const release = await world.release(version);
      await install(release);
      await activate(release);
      return release;
    }

    test('says that an empty server is empty', async () => {
      expect(await observe()).toMatchObject({
        unit: { state: 'not-found', pid: 0 },
        installedReleases: [],
        unfitReleases: {},
        foreign: false,
        connections: 0,
        token: '',
      });
      expect((await observe()).activeRelease).toBeUndefined();
      expect((await observe()).runningProgram).toBeUndefined();
      expect((await observe()).freeBytes).toBeGreaterThan(0);
    });

    test('refuses a program whose loader is not there, and leaves nothing of it', async () => {
      const { installation } = await world.release('v1');
      const foreign = { ...installation, loader: '/lib/ld-of-another-system.so.1' };
      const failure = await failureOf(driver.install(foreign, next(), endless));
      expect(failure.failure).toBe('ProgramIncompatible');
      expect(failure.message).toContain('/lib/ld-of-another-system.so.1');
      expect((await observe()).installedReleases).toEqual([]);
    });

    test('installs beside what runs, and starts nothing', async () => {
      const release = await world.release('v1');
      await install(release);
      expect(await observe()).toMatchObject({
        installedReleases: [release.id],
        unit: { pid: 0 },
        token: formatToken({ startedAtMs: 1_700_000_000_000, step: 1 }),
      });
      expect((await observe()).activeRelease).toBeUndefined();
    });

    test('installs a release once, however often it is told to', async () => {
      const release = await world.release('v1');
      await install(release);
      let opened = 0;
      const open = () => {
        opened += 1;
        return release.installation.open();
      };
      await driver.install({ ...release.installation, open }, next(), endless);
      expect((await observe()).installedReleases).toEqual([release.id]);
      expect(opened).toBeLessThanOrEqual(1);
    });

    test('refuses bytes that are not the artifact, and keeps none of them', async () => {
      const release = await world.release('v1');
      const other = await world.release('v2');
      const { open, sizeBytes } = other.installation;
      const wrong = { ...release.installation, open, sizeBytes };
      expect(await nameOfFailure(driver.install(wrong, next(), endless))).toBe('DigestMismatch');
      expect((await observe()).installedReleases).toEqual([]);
    });

    test('leaves nothing half done when the artifact ends early, and installs it the next time', async () => {
      const release = await world.release('v1');
      const broken = () =>
        Readable.from(
          (async function* () {
            const [first] = (await release.installation.open().take(1).toArray()) as [Buffer];
            yield first.subarray(0, Math.floor(first.length / 2)); // a small artifact is one piece
            throw new Error('the disk of the worker is broken');
          })(),
        );
      await expect(
        driver.install({ ...release.installation, open: broken }, next(), endless),
      ).rejects.toThrow('the disk of the worker is broken');
      expect((await observe()).installedReleases).toEqual([]);
      await install(release);
      expect((await observe()).installedReleases).toEqual([release.id]);
    });

    test('activates a release: its very program runs, and answers', async () => {
      const release = await serving('v1');
      const facts = await observe();
      expect(facts).toMatchObject({
        activeRelease: release.id,
        runningProgram: release.executable,
        unit: { state: 'active', restarts: 0, needsDaemonReload: false },
        foreign: false,
      });
      expect(facts.unit.pid).toBeGreaterThan(0);
      expect(facts.previousRelease).toBeUndefined();
      expect(await driver.probe(health, endless)).toMatchObject({
        kind: 'answered',
        status: 200,
        identity: 'v1',
      });
    });

    test('starts a release once when it is activated twice', async () => {
      const release = await serving('v1');
      const first = (await observe()).unit;
      await activate(release);
      expect((await observe()).unit).toEqual(first);
    });

    test('remembers what was active before, also when told twice', async () => {
      const v1 = await serving('v1');
      const v2 = await serving('v2');
      await activate(v2);
      expect(await observe()).toMatchObject({
        activeRelease: v2.id,
        previousRelease: v1.id,
        runningProgram: v2.executable,
      });
      expect(await driver.probe(health, endless)).toMatchObject({ identity: 'v2' });
    });

    test('will not activate what is not installed', async () => {
      expect(await nameOfFailure(activate(await world.release('v1')))).toBe('CommandFailed');
    });

    test('puts the old release back, running', async () => {
      const v1 = await serving('v1');
      await serving('v2');
      await restore(v1);
      expect(await observe()).toMatchObject({
        activeRelease: v1.id,
        runningProgram: v1.executable,
        unit: { state: 'active' },
      });
    });

    test('leaves what is already as asked running', async () => {
      const v1 = await serving('v1');
      const first = (await observe()).unit;
      expect(await restore(v1)).toEqual({ cut: 0, waitedMs: 0, killed: false });
      expect((await observe()).unit).toEqual(first);
    });

    test('starts the old release again where it was stopped', async () => {
      const v1 = await serving('v1');
      await driver.stop(next(), endless);
      expect((await observe()).unit.pid).toBe(0);
      await restore(v1);
      expect((await observe()).runningProgram).toBe(v1.executable);
    });

    test('puts nothing back where nothing was', async () => {
      await serving('v1');
      await restore('nothing');
      await restore('nothing');
      const facts = await observe();
      expect(facts).toMatchObject({ unit: { state: 'not-found', pid: 0 }, foreign: false });
      expect(facts.activeRelease).toBeUndefined();
    });

    test('does nothing when nothing is restored on an empty server', async () => {
      expect(await restore('nothing')).toEqual({ cut: 0, waitedMs: 0, killed: false });
    });

    test('stops the program and keeps the active release what it is', async () => {
      const release = await serving('v1');
      await driver.stop(next(), endless);
      await driver.stop(next(), endless);
      expect(await observe()).toMatchObject({
        activeRelease: release.id,
        unit: { state: 'inactive', pid: 0 },
      });
      expect(await driver.probe(health, endless)).toMatchObject({
        kind: 'silent',
        because: 'connection refused',
      });
    });

    test('removes a release that is not active, and never the active one', async () => {
      const v1 = await serving('v1');
      const v2 = await world.release('v2');
      await install(v2);
      await driver.remove(v2.id, 'it was not wanted', next(), endless);
      await driver.remove(v2.id, 'it was not wanted', next(), endless);
      expect((await observe()).installedReleases).toEqual([v1.id]);
      expect(await nameOfFailure(driver.remove(v1.id, 'no reason', next(), endless))).toBe('CommandFailed');
      expect(await observe()).toMatchObject({ installedReleases: [v1.id], runningProgram: v1.executable });
    });

    describe('the configuration', () => {
      const configured = async (version: string, text: string, isPrivate: boolean): Promise<BuiltRelease> => {
        const release = await world.release(version);
        const file = { path: 'etc/greeter.conf', content: new Secret(text), private: isPrivate };
        return {
          ...release,
          installation: { ...release.installation, files: [file], shared: ['data', 'cache.d'] },
        };
      };

      test('is filled in with the release, and gone back to with it', async () => {
        const v1 = await configured('v1', 'password = öpen "sésame"\\n\n', true);
        const v2 = await configured('v2', 'greeting = Hello\n', false);
        for (const release of [v1, v2]) {
          await install(release);
          await activate(release);
        }
        expect(await world.file('etc/greeter.conf')).toEqual({ text: 'greeting = Hello\n', private: false });
        await restore(v1);
        expect(await world.file('etc/greeter.conf')).toEqual({
          text: 'password = öpen "sésame"\\n\n',
          private: true,
        });
      });

      test('may be of any size that a template may have, and empty', async () => {
        const text = `${'x'.repeat(65_535)}\n`;
        for (const release of [await configured('v1', text, true), await configured('v2', '', true)]) {
          await install(release);
          await activate(release);
          const [file] = release.installation.files;
          expect(await world.file('etc/greeter.conf')).toEqual({
            text: file?.content.reveal(),
            private: true,
          });
        }
      });

      test('keeps what outlives releases', async () => {
        const release = await configured('v1', 'x = 1\n', false);
        await install(release);
        await install({ ...release, installation: { ...release.installation, shared: ['data', 'more'] } });
        expect(await world.shared()).toEqual(['cache.d', 'data', 'more']);
      });
    });

    test('installs nothing where there is no room for it, and says what is missing', async () => {
      const release = await world.release('v1');
      for (const [needs, words] of [
        [{ bytes: 2 ** 60, inodes: 1 }, /KB are free.*needs 1125899906842624 KB/],
        [{ bytes: 1, inodes: 2 ** 45 }, /inodes are free.*needs 35184372088832/],
      ] as const) {
        world.limitInodes();
        const installation = { ...release.installation, needs };
        const failure = await failureOf(driver.install(installation, next(), endless));
        expect(failure.failure).toBe('DiskFull');
        expect(failure.message).toMatch(words);
      }
      expect((await observe()).installedReleases).toEqual([]);
    });

    test('remembers why a release must not run again, installed or not, until it is told otherwise', async () => {
      const v1 = await serving('v1');
      const { id } = await world.release('v2');
      const before = (await observe()).unit;
      await driver.markUnfit(id, 'it was ill\nthese were its last words', next(), endless);
      const { [id]: unfit } = (await observe()).unfitReleases;
      expect(unfit?.because).toBe('it was ill\nthese were its last words');
      expect(Date.parse(unfit?.at ?? '')).not.toBeNaN();
      await driver.markUnfit(v1.id, 'so was this one', next(), endless);
      await driver.markFit(id, next(), endless);
      await driver.markFit(id, next(), endless);
      expect(Object.keys((await observe()).unfitReleases)).toEqual([v1.id]);
      expect((await observe()).unit, 'nothing is stopped').toEqual(before);
    });

    test('keeps as many old releases as it is told, beside the active and the previous one', async () => {
      const all: BuiltRelease[] = [];
      for (const version of ['v1', 'v2', 'v3', 'v4', 'v5', 'v6']) {
        const release = await world.release(version);
        all.push(release);
        await driver.install({ ...release.installation, keep: 1 }, next(), endless);
        if (version === 'v1' || version === 'v2') await activate(release);
      }
      const kept = ['v1', 'v2', 'v5', 'v6'].map((version) => all[Number(version[1]) - 1]?.id);
      expect(new Set((await observe()).installedReleases)).toEqual(new Set(kept));
    });

    describe('fencing', () => {
      const newer = { startedAtMs: 1_800_000_000_000, step: 1 };

      test('refuses every change of an executor that was overtaken', async () => {
        const v1 = await serving('v1');
        const v2 = await world.release('v2');
        await world.other.stop(newer, endless);
        for (const change of [
          () => install(v2),
          () => activate(v1),
          () => restore('nothing'),
          () => driver.stop(next(), endless),
          () => driver.remove(v2.id, 'no reason', next(), endless),
          () => driver.markUnfit(v2.id, 'no reason', next(), endless),
          () => driver.markFit(v2.id, next(), endless),
          () => driver.adopt(next(), endless),
        ]) {
          const failure = await failureOf(change());
          expect(failure.failure).toBe('ExecutorFenced');
          expect(failure.message).toContain(formatToken(newer));
        }
        expect(await observe()).toMatchObject({
          activeRelease: v1.id,
          installedReleases: [v1.id],
          token: formatToken(newer),
        });
      });

      test('takes an equal token for a repeat', async () => {
        const release = await world.release('v1');
        const token = next();
        await driver.install(release.installation, token, endless);
        await world.other.install(release.installation, token, endless);
        expect((await observe()).installedReleases).toEqual([release.id]);
      });

      test('stays whole when two executors do the same at once', async () => {
        const v1 = await serving('v1');
        const v2 = await world.release('v2');
        const [installing, activating] = [next(), next()];
        await Promise.all(
          [driver, world.other].map((executor) => executor.install(v2.installation, installing, endless)),
        );
        await Promise.all(
          [driver, world.other].map((executor) =>
            executor.activate(v2.id, { atMostMs: 5000, lingering: 'refuse' }, activating, endless),
          ),
        );
        expect(await observe()).toMatchObject({
          activeRelease: v2.id,
          previousRelease: v1.id,
          runningProgram: v2.executable,
          unit: { state: 'active' },
        });
      });
    });

    describe('a program that Verdigris did not install', () => {
      test('is told apart and never touched', async () => {
        const digest = await world.runForeign();
        const before = await observe();
        expect(before).toMatchObject({ foreign: true, runningProgram: digest, unit: { state: 'active' } });
        const release = await world.release('v1');
        await install(release);
        expect(await nameOfFailure(activate(release))).toBe('ForeignRelease');
        expect(await nameOfFailure(restore(release))).toBe('ForeignRelease');
        expect(await nameOfFailure(driver.stop(next(), endless))).toBe('ForeignRelease');
        await restore('nothing');
        expect((await observe()).unit).toEqual(before.unit);
      });

      test('is taken over without a restart', async () => {
        const digest = await world.runForeign();
        const before = await observe();
        const adopted = await driver.adopt(next(), endless);
        expect(adopted).toMatch(new RegExp(`^${digest.slice(0, 12)}-[0-9a-f]{8}$`));
        expect(await observe()).toMatchObject({
          foreign: false,
          activeRelease: adopted,
          installedReleases: [adopted],
          runningProgram: digest,
          unit: before.unit,
        });
        expect(await driver.adopt(next(), endless)).toBe(adopted);
      });

      test('serves again, with its old files, when a new release over it is taken back', async () => {
        const digest = await world.runForeign();
        const adopted = await driver.adopt(next(), endless);
        const release = await serving('v2');
        expect(await observe()).toMatchObject({
          activeRelease: release.id,
          previousRelease: adopted,
          runningProgram: release.executable,
        });
        await driver.restore(ReleaseId(adopted), 5000, next(), endless);
        expect(await observe()).toMatchObject({ activeRelease: adopted, runningProgram: digest });
        expect(await driver.probe(health, endless)).toMatchObject({ status: 200, identity: 'foreign' });
      });

      test('does not exist on an empty server', async () => {
        expect(await driver.adopt(next(), endless)).toBe('nothing');
      });
    });

    test('says what a program that crashes at start said last', async () => {
      const v1 = await serving('v1');
      const bad = await world.release('v2', { kind: 'crashes at start' });
      await install(bad);
      const failure = await failureOf(activate(bad));
      expect(failure.failure).toBe('StartFailed');
      expect(failure.message).toContain(bad.id);
      expect(failure.message).toContain('cannot start: told to crash');
      expect(await driver.lastWords(50, endless)).toContain('cannot start: told to crash');

      await restore(v1);
      await driver.remove(bad.id, failure.message, next(), endless);
      expect(await observe()).toMatchObject({
        runningProgram: v1.executable,
        installedReleases: [v1.id],
        unit: { state: 'active' },
      });
    });

    test('sees a program that is restarted again and again', async () => {
      const release = await world.release('v1', { kind: 'crashes every', everyMs: 1500 });
      await install(release);
      await activate(release);
      const looks: ProcessLook[] = [];
      for await (const look of driver.watch(100, endless)) {
        looks.push(look);
        if (look.active && look.restarts > 0) break;
      }
      const [first, last] = [looks.at(0), looks.at(-1)];
      expect(first).toMatchObject({ active: true, restarts: 0, words: 'active (running)' });
      expect(last?.pid).not.toBe(first?.pid);
      expect(last?.startedAtUs).toBeGreaterThan(first?.startedAtUs ?? 0);
    });

    test('watches what the process runs and what it holds', async () => {
      const v1 = await serving('v1');
      for await (const { holds, program } of driver.watch(100, endless)) {
        expect(program).toBe(v1.executable);
        expect(holds?.descriptors).toBeGreaterThan(2);
        expect(holds?.descriptorLimit).toBeGreaterThan(holds?.descriptors ?? 0);
        expect(holds?.residentKilobytes).toBeGreaterThan(100);
        expect(holds?.memoryKilobytes).toBeGreaterThan(holds?.residentKilobytes ?? 0);
        break;
      }
    });

    test('stops watching when the caller gives up', async () => {
      await serving('v1');
      const gaveUp = new AbortController();
      const watching = (async () => {
        for await (const look of driver.watch(50, { ...endless, signal: gaveUp.signal })) {
          if (look.active) gaveUp.abort(new Error('seen enough'));
        }
      })();
      await expect(watching).rejects.toThrow('seen enough');
    });

    describe('lingering connections', () => {
      test('keep a release from being activated', async () => {
        const v1 = await serving('v1');
        const v2 = await world.release('v2');
        await install(v2);
        const before = (await observe()).unit;
        const connection = await world.linger();
        expect((await observe()).connections).toBe(1);
        expect(await nameOfFailure(activate(v2, 1500))).toBe('ConnectionsLinger');
        expect(await observe()).toMatchObject({ activeRelease: v1.id, unit: before });
        connection.end();
      });

      test('are waited for', async () => {
        await serving('v1');
        const connection = await world.linger();
        const told: string[] = [];
        const patience = {
          ...endless,
          progress: (what: string) => {
            if (!what.includes('linger')) return;
            told.push(what);
            connection.end();
          },
        };
        expect(await driver.drain(20_000, patience)).toMatchObject({ cut: 0 });
        expect(told.length).toBeGreaterThan(0);
      });

      test('are cut by an activation that is told to, and counted', async () => {
        await serving('v1');
        const v2 = await world.release('v2');
        await install(v2);
        const connection = await world.linger();
        expect(await activate(v2, 1200, 'cut')).toMatchObject({ cut: 1, killed: false });
        expect((await observe()).runningProgram).toBe(v2.executable);
        connection.end();
      });

      test('are counted when they outlast a drain, and cut by a rollback', async () => {
        const v1 = await serving('v1');
        await serving('v2');
        const connection = await world.linger();
        expect((await driver.drain(1200, endless)).cut).toBe(1);
        const report = await restore(v1, 1200);
        expect(report.cut).toBe(1);
        expect(report.waitedMs).toBeGreaterThanOrEqual(1200);
        expect((await observe()).runningProgram).toBe(v1.executable);
        connection.end();
      });
    });

    test('says so when the machine cannot be reached, and goes on when it is back', async () => {
      await serving('v1');
      await world.reachable(false);
      const failure = await failureOf(observe());
      expect(failure.failure).toBe('ServerUnreachable');
      expect(failure.message).toContain(`"${driver.server.name}"`);
      await world.reachable(true);
      expect((await observe()).unit.state).toBe('active');
    });

    test('is not waited for when the caller has given up', async () => {
      const gaveUp = AbortSignal.abort(new Error('cancelled'));
      await expect(driver.observe({ ...endless, signal: gaveUp })).rejects.toThrow('cancelled');
    });
  });
}
