import { describe, expect, test } from 'vitest';
import {
  acceptedIn,
  messageNames,
  phases,
  refusalOf,
  type MessageName,
  type Stage,
} from '../../domain/phase.js';

/** What people can do, stage by stage: the whole table. */
const table: Readonly<Record<Stage, readonly MessageName[]>> = {
  inspect: ['rollback'],
  fetch: ['rollback'],
  install: ['rollback'],
  activate: ['rollback'],
  verify: ['rollback'],
  approve: ['approve', 'reject', 'rollback'],
  switch: ['rollback'],
  bake: ['rollback', 'advance', 'extend'],
  retire: ['rollback'],
  'rolling back': ['take-over'],
  'needs a person': ['rollback', 'retry', 'take-over'],
  ended: [],
};

const stages = Object.keys(table) as readonly Stage[];

test('the table knows every phase', () => {
  expect(stages).toEqual([...phases, 'rolling back', 'needs a person', 'ended']);
});

describe.for(stages)('at "%s"', (stage) => {
  test.for(messageNames)('%s', (message) => {
    const refusal = refusalOf(message, stage);
    expect(refusal === undefined).toBe(table[stage].includes(message));
    if (refusal !== undefined) expect(refusal).toMatch(/^(it|there|nothing) .*[^.]$/);
  });

  test('what can be done now is told in one order', () => {
    const accepted = messageNames.filter((name) => table[stage].includes(name));
    expect(acceptedIn(stage, 'deployment')).toEqual(accepted);
    expect(acceptedIn(stage, 'rollback')).toEqual(accepted);
  });

  test.for(['adoption', 'repair', 'convergence'] as const)('nobody is offered to go back from %s', (kind) => {
    expect(acceptedIn(stage, kind)).not.toContain('rollback');
    if (stage !== 'rolling back' && stage !== 'ended')
      expect(refusalOf('rollback', stage, kind)).toContain('nothing to go back from');
  });
});

test('a rollback can be asked for until the way back begins', () => {
  for (const phase of phases) expect(refusalOf('rollback', phase)).toBeUndefined();
  expect(refusalOf('rollback', 'rolling back')).toBe('it is rolling back already');
  expect(refusalOf('rollback', 'ended')).toBe('it has ended');
});

test('a refusal names the stage, and what to send instead', () => {
  expect(refusalOf('approve', 'install')).toContain('"install"');
  expect(refusalOf('reject', 'bake')).toContain('verdigris rollback');
  expect(refusalOf('take-over', 'verify')).toContain('verdigris rollback');
});
