import { describe, expect, test } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { DeploymentId, Digest, ReleaseId, ServerName } from '../../domain/names.js';
import { emptyTally, type Tally } from '../../domain/traffic.js';
import { endReport, heldReport, type Pointers } from '../../client/report.js';
import { exitCodeOf, type End, type EndedRun } from '../../client/service-run.js';
import { clock, tallyLines } from '../../client/words.js';

const pointers: Pointers = {
  service: 'greeter@production',
  link: 'http://temporal/run',
  command: (words) => `verdigris ${words}`,
  whereabouts: '',
};
const tally: Tally = {
  ...emptyTally,
  sent: 48_120,
  p50Ms: 3,
  p99Ms: 21,
  longestGapMs: 80,
  observedMs: 998,
  unobservedMs: 2,
};
const release = {
  id: ReleaseId('aaaaaaaaaaaa-bbbbbbbb'),
  artifact: { url: 'https://ci/a.tar.gz', sha256: Digest('a'.repeat(64)) },
  executable: Digest('b'.repeat(64)),
  settings: Digest('c'.repeat(64)),
  version: '2.0.1',
};
const because = {
  failure: 'IllUnderTraffic',
  message: 'Cannot keep green: 31 of 400 requests failed\n  last words: pool exhausted',
} as const;

const ended = (end: End, type = 'blueGreenDeployment'): EndedRun => ({
  kind: 'ended',
  id: DeploymentId('01a20744-0000-7000-8000-00003f9c2a1b'),
  type,
  startedAtMs: 0,
  endedAtMs: 730_000,
  end,
});
const outcome = (value: Outcome): End => ({ kind: 'outcome', outcome: value });

describe('the report at the end', () => {
  test.each<[string, EndedRun, number, readonly (string | RegExp)[]]>([
    [
      'of a promotion',
      ended(
        outcome({
          kind: 'promoted',
          release,
          live: 'green',
          leftBehind: [],
          notes: ['Approved by ann'],
          tally,
        }),
      ),
      0,
      [
        'Promoted greeter@production to 2.0.1 (aaaaaaaaaaaa).',
        'green is live',
        'Approved by ann',
        '48,120 requests from outside, none failed',
        'verdigris rollback takes it back',
      ],
    ],
    [
      'of a rollback by itself',
      ended(outcome({ kind: 'rolled back', during: 'bake', because, live: 'blue', notes: [], tally })),
      10,
      [
        'Rolled back greeter@production during bake.',
        '31 of 400 requests failed',
        'last words: pool exhausted',
        'blue is live, as before',
        /next +verdigris deploy with the mended version; verdigris plan shows what that would do/,
      ],
    ],
    [
      'of a first deployment that failed',
      ended(
        outcome({
          kind: 'rolled back',
          during: 'verify',
          because,
          live: 'nothing',
          notes: [],
          tally: emptyTally,
        }),
      ),
      10,
      ['nothing is live, as before', 'no request was sent'],
    ],
    [
      'of a rollback that was asked for afterwards',
      ended(
        outcome({ kind: 'rolled back', during: 'retire', because, live: 'blue', notes: [], tally }),
        'rollback',
      ),
      10,
      [/^Rolled back greeter@production\.$/m, 'blue is live again'],
    ],
    [
      'of a rejection',
      ended(outcome({ kind: 'rejected', by: 'ann', reason: 'not today', live: 'blue', notes: [], tally })),
      11,
      ['Rejected by ann: not today.', 'blue is live, as before', /next +verdigris deploy once it is wanted;/],
    ],
    [
      'of a refusal',
      ended(
        outcome({
          kind: 'refused',
          complaints: [because, { failure: 'DiskFull', message: 'Cannot install' }],
        }),
      ),
      2,
      [
        'Refused: nothing was changed on greeter@production.',
        'Cannot keep green',
        'Cannot install',
        'verdigris check looks again',
      ],
    ],
    [
      'of a take-over',
      ended({ kind: 'taken over', takenOver: { by: 'ann', reason: 'by hand', undone: ['restore green-2'] } }),
      20,
      ['Taken over by ann: by hand.', 'left undone: restore green-2', 'verdigris repair when it is settled'],
    ],
    [
      'of an adoption',
      ended({
        kind: 'adopted',
        releases: { 'green-10': 'ghi', 'green-2': 'def', 'green-1': 'abc' },
        notAdopted: [],
      }),
      0,
      ['Adopted greeter@production', /green-1 {3}abc\n +green-2 {3}def\n +green-10 {2}ghi/, 'verdigris plan'],
    ],
    [
      'of an adoption of some servers',
      ended({
        kind: 'adopted',
        releases: { 'green-1': 'abc' },
        notAdopted: [{ server: ServerName('green-2'), because: 'no space\n  make room' }],
      }),
      10,
      ['not adopted: green-2', 'no space', 'verdigris adopt tries again'],
    ],
    ['of a repair', ended({ kind: 'repaired', live: 'blue' }), 0, ['all traffic goes to blue']],
    [
      'of a workflow that somebody terminated',
      ended({ kind: 'broken', how: 'its workflow was terminated' }),
      1,
      [
        'Ended without an outcome: its workflow was terminated.',
        'nothing is known of how far it came',
        'verdigris repair settles it',
      ],
    ],
  ])('%s', (_what, run, exitCode, parts) => {
    const report = endReport(run, pointers).join('\n');
    for (const part of parts) {
      if (typeof part === 'string') expect(report).toContain(part);
      else expect(report).toMatch(part);
    }
    expect(report).toMatch(/deployment {2}3f9c2a1b, took 12 m 10 s/);
    expect(report).toContain('http://temporal/run');
    expect(exitCodeOf(run.end)).toBe(exitCode);
  });
});

describe('the tally', () => {
  test('says how much was watched and what the number of requests can prove', () => {
    expect(tallyLines(tally)).toEqual([
      '48,120 requests from outside, none failed; p50 3 ms, p99 21 ms, longest gap 80 ms',
      'watched 99.8 % of the time (2 ms not); a share of failures above 0.0063 % is ruled out with 95 % confidence',
    ]);
  });

  test('names the kinds of failures, and keeps what the provider closed apart', () => {
    const [first, , third] = tallyLines({
      ...tally,
      failed: 3,
      failures: { refused: 2, 'HTTP 503': 1 },
      idleClosed: 4,
    });
    expect(first).toContain('3 failed (refused 2, HTTP 503 1)');
    expect(third).toMatch(/^4 idle connections closed by the other side/);
  });
});

test('the time of another day comes with its date', () => {
  const noon = new Date(2026, 10, 23, 12, 0, 0).getTime();
  expect(clock(noon, noon)).toBe('12:00:00');
  expect(clock(noon, noon + 86_400_000)).toBe('2026-11-23 12:00:00');
});

test('a run that no worker has taken up stands in the way all the same', () => {
  const run = {
    kind: 'open',
    id: DeploymentId('3f9c2a1b'),
    type: 'rollback',
    startedAtMs: 0,
    told: 'by the memo',
  } as const;
  expect(heldReport('deploy', run, pointers, 0)).toMatch(
    /^Cannot deploy "greeter@production": a rollback \(3f9c2a1b\) is open since \S+, not yet taken up by a worker, needs to end first\n {2}follow it: verdigris status --watch/,
  );
});
