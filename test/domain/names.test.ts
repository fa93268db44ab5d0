import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DeploymentId,
  Digest,
  ReleaseId,
  SecretName,
  ServerName,
  ServiceId,
  isMeant,
  shortId,
  workflowIdOf,
} from '../../domain/names.js';

const hex = (length: number) =>
  fc.string({
    unit: fc.constantFrom(...'0123456789abcdef'.split('')),
    minLength: length,
    maxLength: length,
  });
const labels = fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/);

describe('a name that keeps its rule is taken as it is', () => {
  test('for digests and releases', () => {
    fc.assert(
      fc.property(hex(64), hex(12), hex(8), (digest, artifact, settings) => {
        expect(Digest(digest)).toBe(digest);
        expect(ReleaseId(`${artifact}-${settings}`)).toBe(`${artifact}-${settings}`);
      }),
    );
  });

  test('for servers, secrets and services, and a service id can be taken apart again', () => {
    fc.assert(
      fc.property(labels, labels, (name, destination) => {
        expect(ServerName(name)).toBe(name);
        expect(SecretName(name)).toBe(name);
        expect(ServiceId(name, destination).split('@')).toEqual([name, destination]);
      }),
    );
  });
});

describe('a name that breaks its rule is refused with the rule', () => {
  test.for<[string, (value: string) => unknown, string, RegExp]>([
    ['a digest in capitals', Digest, 'A'.repeat(64), /64 lower-case hexadecimal digits/],
    ['a short digest', Digest, 'a'.repeat(63), /64 lower-case/],
    ['a digest with a line break', Digest, `${'a'.repeat(64)}\n`, /64 lower-case/],
    ['a release id without dash', ReleaseId, 'a'.repeat(20), /with a dash between/],
    ['a path as release id', ReleaseId, '../../../etc-00000000', /12 and 8 hexadecimal digits/],
    ['a server that starts with a digit', ServerName, '1-blue', /starting with a letter/],
    ['an empty server', ServerName, '', /starting with a letter/],
    ['a long server', ServerName, 'a'.repeat(64), /63 at most/],
    ['a secret with a slash', SecretName, 'a/b', /lower-case letters, digits and dashes/],
    ['a deployment that is a word', DeploymentId, 'not-a-run', /the run id of its workflow/],
    ['a service with an @ in it', (value) => ServiceId(value, 'production'), 'a@b', /in a service id/],
    ['a destination with a space', (value) => ServiceId('greeter', value), 'my stage', /in a service id/],
  ])('%s', ([, make, value, rule]) => {
    expect(() => make(value)).toThrow(rule);
  });
});

test('services that differ have workflows that differ: the open one is the lock', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(labels, labels), { selector: (pair) => pair.join('@'), minLength: 2 }),
      (pairs) => {
        const ids = pairs.map(([name, destination]) => workflowIdOf(ServiceId(name, destination)));
        expect(new Set(ids).size).toBe(pairs.length);
      },
    ),
  );
});

test('people are shown the end of a run id: its beginning is a clock, shared by all runs of a minute', () => {
  const [one, other] = ['01a20744-4a4f-7e34-896c-cbc96fcca6e1', '01a20744-91f0-7bee-856f-d95d224eba24'];
  expect(shortId(one)).toBe('6fcca6e1');
  expect(shortId(one)).not.toBe(shortId(other));
  expect(isMeant(one, '6fcca6e1')).toBe(true);
  expect(isMeant(one, one)).toBe(true);
  expect(isMeant(one, '01a20744')).toBe(false);
  expect(isMeant(one, 'a6e1')).toBe(false);
});
