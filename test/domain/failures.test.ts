import { expect, test } from 'vitest';
import { Failure, failures, isFailureName, type FailureName } from '../../domain/failures.js';

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
