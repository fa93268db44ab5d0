import { describe, expect, test } from 'vitest';
import { SecretName, ServerName } from '../../../domain/names.js';
import { Secret, type SecretReference } from '../../../domain/secret.js';
import type { Server, Service } from '../../../domain/service.js';
import type { Secrets } from '../../../drivers/secrets.js';
import { configurationSecret } from '../../../drivers/servers/configuration-secret.js';

const serverAt = (host: string, key = 'ssh-key') =>
  ({
    name: ServerName('blue-1'),
    connection: { driver: 'ssh', host, key: { secret: key } },
  }) as unknown as Server;

const serviceWith = (change: { readonly fingerprintKey?: SecretReference; readonly blue?: Server } = {}) =>
  ({
    id: 'shop@production',
    environments: { blue: [change.blue ?? serverAt('10.0.0.1')], green: [serverAt('10.0.0.2')] },
    configuration: change.fingerprintKey ? { fingerprintKey: change.fingerprintKey } : {},
  }) as unknown as Service;

const asked: string[] = [];
const vault = (values: Readonly<Record<string, string>>): Secrets => ({
  resolve: ({ secret }, { service, host }) => {
    asked.push(`${secret} for ${service} at ${host}`);
    return Promise.resolve(new Secret(values[secret] ?? ''));
  },
});
const values = {
  'ssh-key': 'a long private key',
  database: 'hunter2',
  other: 'hunter2',
  prints: 'of its own',
};
const database = { secret: SecretName('database') };
const fingerprintOf = async (change: object = {}, service = serviceWith(), reference = database) =>
  (await configurationSecret(vault({ ...values, ...change }), service, serverAt('10.0.0.7'), reference))
    .fingerprint;

test('a secret is resolved for the machine that it is given to', async () => {
  asked.length = 0;
  const { value } = await configurationSecret(vault(values), serviceWith(), serverAt('10.0.0.7'), database);
  expect(value.reveal()).toBe('hunter2');
  expect(asked).toContain('database for shop@production at 10.0.0.7');
  expect(asked).toContain('ssh-key for shop@production at 10.0.0.1');
});

describe('a fingerprint', () => {
  test('is the same for the same secret, on every worker', async () => {
    expect(await fingerprintOf()).toBe(await fingerprintOf());
    expect(await fingerprintOf()).toMatch(/^[0-9a-f]{32}$/);
  });

  test.each<[string, () => Promise<string>]>([
    ['its value', () => fingerprintOf({ database: 'hunter3' })],
    ['the key', () => fingerprintOf({ 'ssh-key': 'another one' })],
    [
      'its name, though the value be the same',
      () => fingerprintOf({}, serviceWith(), { secret: SecretName('other') }),
    ],
    ['the service', () => fingerprintOf({}, { ...serviceWith(), id: 'shop@staging' } as Service)],
    [
      'the key that is named for it',
      () => fingerprintOf({}, serviceWith({ fingerprintKey: { secret: SecretName('prints') } })),
    ],
  ])('is another one with %s', async (_, changed) => {
    expect(await changed()).not.toBe(await fingerprintOf());
  });

  test('needs a key', async () => {
    const blue = {
      name: 'blue-1',
      address: '10.0.0.1',
      connection: { driver: 'in-memory' },
    } as unknown as Server;
    await expect(fingerprintOf({}, serviceWith({ blue }))).rejects.toThrow(
      /needs configuration.fingerprintKey/,
    );
  });
});
