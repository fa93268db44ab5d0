import { expect, test } from 'vitest';
import type { Color } from '../../domain/color.js';
import {
  diagnose,
  helperRule,
  type ExaminedServer,
  type ServerExamination,
} from '../../domain/examination.js';
import { SecretName, ServerName } from '../../domain/names.js';
import type { Privilege, Server, Service } from '../../domain/service.js';
import { helperPlace } from '../../drivers/servers/installed-helper.js';

const serverOf = (color: Color, privilege: Privilege): Server => ({
  name: ServerName(`${color}-1`),
  color,
  address: '10.0.0.1',
  port: 8080,
  unit: 'shop.service',
  directory: '/srv/shop',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: {
    driver: 'ssh',
    host: '10.0.0.1',
    port: 22,
    user: 'deploy',
    key: { secret: SecretName('key') },
    hostKey: 'SHA256:x',
    privilege,
  } as unknown as Server['connection'],
});

const serviceWith = (privilege: Privilege): Service =>
  ({
    environments: { blue: [serverOf('blue', privilege)], green: [serverOf('green', privilege)] },
    artifact: { maxBytes: 500e6 },
  }) as unknown as Service;

const healthy: ServerExamination = {
  platform: { machine: 'x86-64', bits: 64, system: 'Debian GNU/Linux 12', glibc: '2.36', interpreters: [] },
  processors: 4,
  memoryBytes: 8e9,
  memoryFreeBytes: 6e9,
  diskBytes: 40e9,
  diskFreeBytes: 20e9,
  filesFree: 1_000_000,
  clockAheadMs: 300,
  systemd: '252',
  missingTools: [],
  openFiles: 4096,
  port: 'the unit',
  rights: [helperRule],
  isRoot: false,
  tcpForwarding: 'yes',
  maxStartups: '10:30:100',
};

const examined = (color: Color, change: Partial<ServerExamination> = {}): ExaminedServer => ({
  kind: 'examined',
  server: ServerName(`${color}-1`),
  color,
  facts: { ...healthy, ...change },
});

test('finds nothing on servers that have all that is needed', () => {
  expect(diagnose(serviceWith('installed'), [examined('blue'), examined('green')])).toEqual({
    complaints: [],
    notes: [],
  });
});

test.each<[string, Partial<ServerExamination>, string]>([
  ['little disk', { diskFreeBytes: 100e6 }, 'green-1: 100 MB are free for /srv/shop, needs 500 MB'],
  ['few files', { filesFree: 12 }, 'green-1: 12 files can still be made on its disk, needs 10000'],
  ['a clock that is off', { clockAheadMs: 3_600_000 }, "green-1: its clock is 3600 s ahead of the worker's"],
  ['a clock that is behind', { clockAheadMs: -90_000 }, "green-1: its clock is 90 s behind the worker's"],
  ['an old systemd', { systemd: '219' }, 'green-1: its systemd is 219, needs 239 or later'],
  ['no systemd', { systemd: '' }, 'green-1: it has no systemd, needs one'],
  ['no flock', { missingTools: ['flock'] }, 'green-1: it has no flock, needs them'],
  ['a port that is taken', { port: 'somebody else' }, 'listens on port 8080, needs the port for itself'],
  ['a rule for a shell', { rights: [helperRule, '(root) NOPASSWD: /bin/sh'] }, '(root) NOPASSWD: /bin/sh'],
  ['a login that is root', { isRoot: true }, 'deploy is root, needs a login without rights'],
])('complains of %s', (_, change, words) => {
  const { complaints } = diagnose(serviceWith('installed'), [examined('blue'), examined('green', change)]);
  expect(complaints).toEqual([expect.stringContaining(words)]);
});

test.each<[string, Partial<ServerExamination>, string]>([
  [
    'less disk than the largest artifact needs',
    { diskFreeBytes: 1e9, diskBytes: 4e9 },
    'three times its own',
  ],
  ['a disk that is nearly full', { diskFreeBytes: 2e9 }, 'its disk is 95 % full'],
  ['little memory', { memoryFreeBytes: 100e6 }, '100 MB of 8000 MB memory are free'],
  ['a clock that is off by a little', { clockAheadMs: -10_000 }, "10 s behind the worker's"],
  ['few open files', { openFiles: 256 }, 'shop.service may open 256 files'],
  [
    'other limits than blue has',
    { openFiles: Number.MAX_SAFE_INTEGER },
    'open files: 4096 in blue, unlimited in green',
  ],
  ['an sshd that does not forward', { tcpForwarding: 'no' }, 'AllowTcpForwarding no'],
  ['a port that somebody has', { port: 'somebody' }, 'only root can tell'],
  ['fewer processors than blue', { processors: 2 }, 'blue has 4 processors, green has 2'],
  [
    'less memory than blue',
    { memoryBytes: 4e9, memoryFreeBytes: 3e9 },
    'blue has 8000 MB of memory, green has 4000 MB',
  ],
  [
    'another C library',
    { platform: { ...healthy.platform, glibc: '2.31' } },
    'glibc: 2.36 in blue, 2.31 in green',
  ],
  ['another systemd', { systemd: '247' }, 'systemd: 252 in blue, 247 in green'],
])('notes %s', (_, change, words) => {
  const diagnosis = diagnose(serviceWith('installed'), [examined('blue'), examined('green', change)]);
  expect(diagnosis.complaints).toEqual([]);
  expect(diagnosis.notes.join('\n')).toContain(words);
});

test('says nothing of limits that nobody tells', () => {
  const { openFiles: _untold, ...facts } = healthy;
  const all = (['blue', 'green'] as const).map((color): ExaminedServer => ({
    kind: 'examined',
    server: ServerName(`${color}-1`),
    color,
    facts,
  }));
  expect(diagnose(serviceWith('installed'), all)).toEqual({ complaints: [], notes: [] });
});

test('notes that sudo makes the key root, and does not complain of what it lets it do', () => {
  const all = [examined('blue', { rights: ['(ALL) NOPASSWD: ALL'] }), examined('green')];
  const { complaints, notes } = diagnose(serviceWith('sudo'), all);
  expect(complaints).toEqual([]);
  expect(notes).toHaveLength(2);
  expect(notes.join()).toContain('as good as root');
});

test('complains of a server that was not examined, and does not compare without it', () => {
  const { complaints, notes } = diagnose(serviceWith('installed'), [
    examined('blue', { processors: 1 }),
    {
      kind: 'not examined',
      server: ServerName('green-1'),
      color: 'green',
      message: 'Cannot examine "green-1"',
    },
  ]);
  expect(complaints).toEqual(['Cannot examine "green-1"']);
  expect(notes).toEqual([]);
});

test('knows the rule that is installed', () => {
  expect(helperRule).toBe(`(root) NOPASSWD: ${helperPlace.path}`);
});
