import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { Secret } from '../../domain/secret.js';

const marker = 'hunter2-marker';

test.for<[string, (secret: Secret) => string]>([
  ['in text', (secret) => `${String(secret)}!`],
  ['joined to text', (secret) => 'x-' + String(secret)],
  ['as JSON', (secret) => JSON.stringify({ headers: { authorization: secret } })],
  ['looked into', (secret) => inspect({ secret }, { showHidden: true, depth: 9 })],
  ['copied', (secret) => JSON.stringify(Object.assign({}, secret)) + inspect(Object.entries(secret))],
  ['in an error', (secret) => inspect(new Error(`Cannot use ${String(secret)}`, { cause: secret }))],
])('a secret %s does not tell its value', ([, show]) => {
  expect(show(new Secret(marker))).not.toContain(marker);
});

test('only reveal gives it away', () => {
  expect(new Secret(marker).reveal()).toBe(marker);
});
