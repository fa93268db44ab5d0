import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { commands } from '../../client/command-table.js';
import { asComplaint, Failure, failures, isFailureName, type FailureName } from '../../domain/failures.js';
import { asFailure, complaintOf } from '../../workflows/complaint.js';

/** Written out once more on purpose: whether a failure is tried again decides how a deployment ends. */
const triedAgain: readonly FailureName[] = [
  'ArtifactUnreachable',
  'ServerUnreachable',
  'ServerBusy',
  'CommandFailed',
  'LoadBalancerUnreachable',
  'RefreshFailed',
  'TrafficNotMoved',
  'TemporalUnreachable',
];

const names = Object.keys(failures) as readonly FailureName[];

test.for(names)('%s is tried again exactly when time may help', (name) => {
  expect(failures[name].transient).toBe(triedAgain.includes(name));
});

test('names are told from other words, also from what every object has', () => {
  for (const name of names) expect(isFailureName(name)).toBe(true);
  for (const word of ['toString', 'constructor', '__proto__', '', 'Unexpected', null, undefined]) {
    expect(isFailureName(word)).toBe(false);
  }
});

test('a failure carries its name, its cause, and whether the change may have happened', () => {
  const cause = new Error('socket closed');
  const failure = new Failure('ServerUnreachable', 'Cannot reach "green-1"', { cause, ambiguous: true });
  expect(failure).toBeInstanceOf(Error);
  expect(failure).toMatchObject({
    name: 'ServerUnreachable',
    failure: 'ServerUnreachable',
    cause,
    ambiguous: true,
  });
  expect(new Failure('DiskFull', 'Cannot install').ambiguous).toBe(false);
  expect('cause' in new Failure('DiskFull', 'Cannot install')).toBe(false);
});

describe('what to do', () => {
  /** What people ask for needs nothing from them. */
  const asked: readonly FailureName[] = ['RollbackAsked', 'Cancelled'];
  const subcommands = [
    'server doctor',
    'server setup',
    'ovh whoami',
    'ovh rules',
    'ovh login',
    'ovh discover',
  ];

  test.for(names)('about %s is known, with a command that there is', (name) => {
    const { next } = failures[name];
    const typed = [...(next ?? '').matchAll(/verdigris ((?:server |ovh )?[a-z-]+)/g)].map(
      ([, words]) => words,
    );
    expect(typed.length > 0).toBe(!asked.includes(name));
    for (const words of typed)
      expect([...commands.map((command) => command.name), ...subcommands]).toContain(words);
  });

  test.each([
    [
      'a bare message',
      'Cannot reach "green-1"',
      'Cannot reach "green-1"\n  see how it is: verdigris server doctor',
    ],
    ['its own advice', 'Cannot reach "green-1"\n  plug it in', 'Cannot reach "green-1"\n  plug it in'],
    [
      "a program's last words",
      'Cannot reach "green-1"\n  last words of green-1: bye',
      'Cannot reach "green-1"\n  last words of green-1: bye\n  see how it is: verdigris server doctor',
    ],
  ])('is said by everything that can be told, once: %s', (_, message, told) => {
    expect(new Failure('ServerUnreachable', message).message).toBe(told);
    expect(asComplaint('ServerUnreachable', message).message).toBe(told);
    expect(asFailure({ failure: 'ServerUnreachable', message }).message).toBe(told);
    expect(new Failure('ServerUnreachable', told).message).toBe(told);
  });

  test('is said where nobody foresaw what went wrong', () => {
    expect(complaintOf(new TypeError('x is undefined')).message).toMatch(
      /^x is undefined\n {2}.*verdigris status/,
    );
  });

  test('cannot be left out: no complaint is written down but by those that add it', () => {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const found = ['activities', 'client', 'domain', 'drivers', 'ovh', 'worker', 'workflows'].flatMap(
      (folder) =>
        readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
          .filter((file) => file.endsWith('.ts'))
          .flatMap((file) =>
            bareComplaintsIn(readFileSync(join(root, folder, file), 'utf8')).map(() => file),
          ),
    );
    expect(found).toEqual([]);
    expect(bareComplaintsIn("return { failure: 'DiskFull', message };")).toHaveLength(1);
  });
});

/** Objects that are complaints, beside those that are handed to what adds the advice. */
const bareComplaintsIn = (source: string): readonly string[] =>
  source.match(/(?<!(?:asFailure|askPerson)\(\s*)\{\s*failure: '[A-Z]\w+',\s*message\b/g) ?? [];
