import { describe, expect, test } from 'vitest';
import type { Status } from '../../domain/deployment.js';
import { ServiceId, ServerName, DeploymentId } from '../../domain/names.js';
import { acceptedIn, type Stage } from '../../domain/phase.js';
import { emptyTally } from '../../domain/traffic.js';
import { bar, narrate, progressOf, stillLine } from '../../client/narration.js';

const at = (stage: Stage, sinceS: number, facts: Partial<Status> = {}): Status => ({
  service: ServiceId('greeter', 'production'),
  deployment: DeploymentId('01a20744-0000-7000-8000-00003f9c2a1b'),
  kind: 'deployment',
  requestedBy: 'bea',
  stage,
  phase: stage === 'rolling back' || stage === 'needs a person' || stage === 'ended' ? 'activate' : stage,
  since: sinceS * 1_000,
  live: 'blue',
  idle: 'green',
  servers: [1, 2].map((number) => ({
    server: ServerName(`green-${number}`),
    color: 'green',
    state: number === 1 ? 'installed' : 'installing',
  })),
  accepts: acceptedIn(stage, 'deployment'),
  next: 'it goes on',
  notes: [],
  tally: emptyTally,
  ...facts,
});

const words = (lines: readonly string[]) => lines.map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));

describe('a phase that is over', () => {
  test('is one line with its fact and its time', () => {
    expect(words(narrate(at('install', 10), at('activate', 14)))).toEqual([
      'install | installed on 2 servers of green | 4 s',
    ]);
  });

  test('is told even when it came and went between two looks, without a time', () => {
    expect(words(narrate(at('inspect', 0), at('verify', 9)))).toEqual([
      'inspect | blue is live | 9 s',
      'fetch | artifact verified',
      'install | installed on 2 servers of green',
      'activate | started on 2 servers of green',
    ]);
  });

  test.each([
    ['nothing', [], 'there was no old environment'],
    ['blue', [], 'the old environment is the way back'],
    ['blue', ['stopped', 'not stopped'], 'stopped on 1 server of blue'],
  ] as const)('retire tells what became of the old environment: %s, %j', (live, states, fact) => {
    const servers = states.map((state, index) => ({
      server: ServerName(`blue-${index + 1}`),
      color: 'blue' as const,
      state,
    }));
    const outcome = { kind: 'promoted' } as Status['outcome'] & object;
    const plan = { live, idle: 'green' } as Status['plan'] & object;
    const ended = at('ended', 12, { phase: 'retire', outcome, plan, servers });
    expect(words(narrate(at('retire', 10), ended))).toEqual([`retire | ${fact} | 2 s`]);
  });

  test('is not told twice, and nothing is said while nothing changes', () => {
    expect(narrate(at('install', 10), at('install', 10))).toEqual([]);
  });

  test('is not called finished when the deployment turned back in it', () => {
    const turned = at('rolling back', 20, {
      problem: { failure: 'StartFailed', message: 'Cannot start\n  more' },
    });
    expect(words(narrate(at('install', 10), turned))).toEqual([
      'install | installed on 2 servers of green | 10 s',
      'rolling back | Cannot start',
    ]);
  });

  test('of a rollback is its own only: it goes through no others', () => {
    const of = (stage: Stage) => at(stage, 1, { kind: 'rollback' });
    expect(words(narrate(of('inspect'), of('switch')))).toEqual(['inspect | blue is live | 0 ms']);
  });
});

test.each([
  ['adoption', 'looked at load balancer and servers'],
  ['repair', 'asked both environments who they are'],
] as const)('the first look of a run that has not said what is live has words too: %s', (kind, fact) => {
  const of = (stage: Stage) => at(stage, 1, { kind, live: 'unknown' });
  expect(words(narrate(of('inspect'), of('switch')))).toEqual([`inspect | ${fact} | 0 ms`]);
});

test('notes are told once', () => {
  const noted = at('bake', 10, { notes: ['a', 'b'] });
  expect(narrate(at('bake', 10, { notes: ['a'] }), noted)).toEqual(['  - b']);
});

test('what waits for an approval says until when', () => {
  const lines = narrate(
    at('verify', 1),
    at('approve', 5, { awaits: 'an approval', deadline: Date.now() + 1_000 }),
  );
  expect(lines.at(-1)).toMatch(/approve +waits for an approval until \d\d:\d\d:\d\d$/);
});

test('silence is broken by what is awaited and for how long', () => {
  expect(words([stillLine(at('install', 0), 42_000)])).toEqual(['install | for 42 s: 1 of 2 servers']);
  const baking = at('bake', 0, { deadline: 600_000, tally: { ...emptyTally, sent: 4_800 } });
  expect(words([stillLine(baking, 60_000)])).toEqual([
    'bake | for 1 m: 1 m of 10 m, 0 of 4,800 requests failed',
  ]);
});

test('progress is a share only where the whole is known', () => {
  expect(progressOf(at('install', 0), 0)?.share).toBe(0.5);
  expect(progressOf(at('bake', 0, { deadline: 100_000 }), 25_000)?.share).toBe(0.25);
  expect(progressOf(at('bake', 0, { deadline: 100_000 }), 500_000)?.share).toBe(1);
  expect(progressOf(at('approve', 0), 5_000)).toBeUndefined();
  expect([bar(0, 4), bar(0.5, 4), bar(1, 4), bar(7, 4)]).toEqual(['[----]', '[##--]', '[####]', '[####]']);
});
