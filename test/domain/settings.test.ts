import { describe, expect, test } from 'vitest';
import { ReleaseId, SecretName, ServerName } from '../../domain/names.js';
import type { Server, Service } from '../../domain/service.js';
import {
  describeSettings,
  filesOf,
  secretsByServer,
  settingsOf,
  unitOf,
  type Templates,
} from '../../domain/settings.js';

const serverOf = (color: 'blue' | 'green'): Server =>
  ({
    name: ServerName(`${color}-1`),
    color,
    port: 8080,
    directory: '/srv/shop',
    unit: 'shop.service',
  }) as Server;
const server = serverOf('green');

const nothing = { all: {}, blue: {}, green: {}, servers: {} };
const password = { secret: SecretName('database') };
const service = {
  name: 'shop',
  program: { executable: 'bin/shop' },
  environments: { blue: [serverOf('blue')], green: [server] },
  configuration: {
    files: ['etc/shop.conf', 'etc/plain.conf'],
    shared: ['data'],
    values: { ...nothing, all: { greeting: 'Hello', password } },
    limits: { ...nothing, all: { TasksMax: '64', MemoryMax: '512M' }, green: { MemoryMax: '1G' } },
  },
} as unknown as Service;
const templates: Templates = {
  unit: {
    path: 'shop.service',
    text: '[Service]\nExecStart={{directory}}/current/bin/shop {{release}}\n[Install]\nWantedBy=x\n',
  },
  files: [
    { path: 'etc/shop.conf', text: 'password = {{password}}\n' },
    { path: 'etc/plain.conf', text: 'greeting = {{greeting}}\n' },
  ],
};
const context = { service, server, release: ReleaseId('3f9c2a1b0d4e-9a4e07c1') };
const reveal = () => 'open sesame';

test('limits close the unit, those of the environment before those for all', () => {
  expect(unitOf(templates, context)).toBe(`[Service]
ExecStart=/srv/shop/current/bin/shop 3f9c2a1b0d4e-9a4e07c1
[Install]
WantedBy=x

# limits of the configuration
[Service]
MemoryMax=1G
TasksMax=64
`);
});

test('only what holds a secret is private', () => {
  expect(filesOf(templates, context, reveal)).toEqual([
    { path: 'etc/shop.conf', text: 'password = open sesame\n', private: true },
    { path: 'etc/plain.conf', text: 'greeting = Hello\n', private: false },
  ]);
});

test('a server is given the secrets that its files name, each once', () => {
  const unused = {
    ...service.configuration.values,
    all: { greeting: 'Hello', password: 'none', spare: password },
  };
  const changed = { ...service, configuration: { ...service.configuration, values: unused } } as Service;
  expect(secretsByServer(service, templates).map(({ secrets }) => secrets)).toEqual([
    ['database'],
    ['database'],
  ]);
  expect(secretsByServer(changed, templates).map(({ secrets }) => secrets)).toEqual([[], []]);
});

test('people read names of secrets, and never what they are', () => {
  expect(describeSettings(service, server)).toEqual([
    'fills in etc/shop.conf',
    'fills in etc/plain.conf',
    'greeting = "Hello"',
    'password = secret:database',
    'MemoryMax=1G',
    'TasksMax=64',
    'keeps shared/data',
  ]);
});

describe('the digest of the settings', () => {
  const digestOf = (its = service, from = templates, fingerprint = 'f1') =>
    settingsOf(its, from, () => fingerprint);
  const configured = (change: object) =>
    ({ ...service, configuration: { ...service.configuration, ...change } }) as Service;
  const values = (change: object) => configured({ values: { ...service.configuration.values, ...change } });

  test('is the same for the same', () => {
    expect(digestOf()).toBe(digestOf(structuredClone(service)));
  });

  test('does not depend on what no file names, nor on how it came about', () => {
    expect(digestOf(values({ servers: { 'green-1': { unused: 'x' } } }))).toBe(digestOf());
    expect(
      digestOf(values({ all: { password }, green: { greeting: 'Hello' }, blue: { greeting: 'Hello' } })),
    ).toBe(digestOf());
  });

  test.each<[string, () => string]>([
    ['a value for all', () => digestOf(values({ all: { greeting: 'Hi', password } }))],
    ['a value for one environment', () => digestOf(values({ blue: { greeting: 'Hi' } }))],
    ['a value for one server', () => digestOf(values({ servers: { 'green-1': { greeting: 'Hi' } } }))],
    ['another secret', () => digestOf(service, templates, 'f2')],
    ['a limit', () => digestOf(configured({ limits: { ...nothing, all: { TasksMax: '65' } } }))],
    ['a shared directory', () => digestOf(configured({ shared: ['data', 'cache'] }))],
    ['the text of a file', () => digestOf(service, { ...templates, files: templates.files.slice(1) })],
    [
      'the text of the unit',
      () => digestOf(service, { ...templates, unit: { path: 'x', text: '[Service]\n' } }),
    ],
    [
      'where the program is',
      () => digestOf({ ...service, program: { ...service.program, executable: 'sbin/shop' } }),
    ],
    [
      'where a server has it',
      () =>
        digestOf({
          ...service,
          environments: { ...service.environments, green: [{ ...server, directory: '/opt/shop' }] },
        }),
    ],
  ])('changes with %s', (_, changed) => {
    expect(changed()).not.toBe(digestOf());
  });
});
