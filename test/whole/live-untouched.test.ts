import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Artifact, Outcome } from '../../domain/deployment.js';
import { Digest } from '../../domain/names.js';
import type { Phase } from '../../domain/phase.js';
import type { Load } from '../../sandbox/load.js';
import type { GreeterVariant } from '../../sandbox/programs.js';
import { artifactAt, programEntry, tarball, unitEntry } from '../drivers/artifacts/tarball.js';
import { lost, RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });
takeTurns();

/** One sandbox for all: each ending leaves it as it was, which is what is tested. Visitors come all the time. */
describe('a deployment that fails leaves the live environment untouched, and the idle one empty', () => {
  let running: RunningSandbox;
  let folder: string;
  let visitors: Load;
  let before: unknown;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'verdigris-archives-'));
    running = await RunningSandbox.start({
      settings: { verify: { minimum: '3s', deadline: '10s' } },
    });
    await running.startWorker();
    before = await running.fingerprint('blue');
    visitors = running.visitors();
    return async () => {
      await visitors.stop();
      await running.close();
      await rm(folder, { recursive: true });
    };
  });

  async function expectUntouched(): Promise<void> {
    expect(await running.fingerprint('blue')).toEqual(before);
    expect(await running.servedBy()).toBe('1.0.0');
    expect(running.writes()).toEqual([]);
    expect(running.pids('green')).toEqual([0, 0]);
    for (const { name } of running.servers('green')) expect(await running.releasesOn(name)).toEqual([]);
  }

  /** First, while no connection to it is open. */
  test('a server that refuses connections: refused, and it is named', async () => {
    const { faults } = running.server('green-2').machine;
    await faults.refuseConnections(true);
    const outcome = await running.deploy('2.0.0');
    await faults.refuseConnections(false);

    expect(outcome.kind).toBe('refused');
    expect(messageOf(outcome)).toMatch(/"green-2"/);
    expect(messageOf(outcome)).toMatch(/refuse/i);
    await expectUntouched();
  });

  test.for<[GreeterVariant, Phase, RegExp]>([
    ['crashes-at-start', 'activate', /"green-\d".*\n(.*\n)*.*this variant crashes at start/],
    ['exits-0-after-2s', 'verify', /"green-\d".*has ended/],
    ['crashes-every-2s', 'verify', /"green-\d".*(restarted|another process|has ended)/],
    ['unhealthy', 'verify', /"green-\d": \/health answered "HTTP 503"/],
  ])(
    'a program that %s: it never gets traffic, and its last words are told',
    async ([variant, during, words]) => {
      const outcome = await running.deploy('4.0.0', variant);

      expect(outcome).toMatchObject({ kind: 'rolled back', during, live: 'blue', tally: { failed: 0 } });
      expect(messageOf(outcome)).toMatch(words);
      await expectUntouched();
    },
  );

  test.for<[string, () => Promise<Artifact>, RegExp]>([
    [
      'another digest than was said',
      async () => ({
        url: pathToFileURL((await running.build('2.0.0')).archive).href,
        sha256: Digest('0'.repeat(64)),
      }),
      /needs 0{12}/,
    ],
    [
      'a path out of its directory',
      async () => {
        const bytes = tarball(programEntry, unitEntry, { path: '../escaped', body: 'out' });
        const file = join(folder, 'escaping.tar.gz');
        await writeFile(file, bytes);
        return artifactAt(pathToFileURL(file).href, bytes);
      },
      /\.\.\/escaped/,
    ],
  ])('an artifact with %s: refused before any server is changed', async ([, artifact, words]) => {
    const handle = await running.startFrom(await artifact(), '2.0.0');
    const outcome = (await handle.result()) as Outcome;

    expect(outcome.kind).toBe('refused');
    expect(messageOf(outcome)).toMatch(words);
    await expectUntouched();
  });

  test.for(['expired', 'refused'] as const)(
    'API credentials that are %s: refused, with what to renew',
    async (state) => {
      const { admin, credentials } = running.sandbox.api;
      admin.setCredentialState(credentials.consumerKey, state);
      const outcome = await running.deploy('2.0.0');
      admin.setCredentialState(credentials.consumerKey, 'validated');

      expect(outcome.kind).toBe('refused');
      expect(messageOf(outcome)).toMatch(/consumer key|credential/i);
      await expectUntouched();
    },
  );

  /** Last: it is about all of the above. */
  test('visitors notice nothing of any of it', async () => {
    const tally = await visitors.stop();
    expect(tally.sent).toBeGreaterThan(200);
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
  });
});

const messageOf = (outcome: Outcome): string =>
  outcome.kind === 'refused'
    ? outcome.complaints.map(({ message }) => message).join('\n')
    : outcome.kind === 'rolled back'
      ? outcome.because.message
      : JSON.stringify(outcome);
