import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { ConfigurationError, readService } from '../../../client/configuration/configuration.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'verdigris-configuration-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const hostKey = `SHA256:${'A'.repeat(43)}`;

/** As little as will do. */
const least = `service: greeter
program: { port: 8080 }
ssh: { user: deploy, key: secret:ssh-key }
environments:
  blue:
    - { name: blue-1, address: 10.0.0.1, hostKey: "${hostKey}" }
  green:
    - { name: green-1, address: 10.0.0.2, hostKey: "${hostKey}" }
loadBalancer:
  driver: ovh-iplb
  serviceName: loadbalancer-0123456789abcdef
  frontends: [70089]
  stagingFrontend: 70090
  farms: { blue: 77212, green: 77213 }
publicAddress:
  url: http://203.0.113.10
  identify: { header: X-Greeter-Version }
`;

function write(text: string, name = 'verdigris.yaml'): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** `least` with a key set, as a person would edit it. */
function edited(path: readonly (string | number)[], value: unknown, text = least): string {
  const document = parseDocument(text);
  document.setIn(path, value);
  return String(document);
}

function complaintsAbout(text: string, destination?: string): readonly string[] {
  const path = write(text);
  try {
    readService(path, destination);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.complaints.map((complaint) => complaint.replaceAll(`${folder}/`, ''));
  }
  return [];
}

test('a short configuration is completed with defaults', () => {
  expect(readService(write(least))).toEqual({
    id: 'greeter@production',
    name: 'greeter',
    destination: 'production',
    program: {
      executable: 'bin/greeter',
      unitFile: 'lib/systemd/system/greeter.service',
      user: 'greeter',
    },
    configuration: { files: [], shared: [], values: noLayers, limits: noLayers },
    environments: { blue: [serverOf('blue', '10.0.0.1')], green: [serverOf('green', '10.0.0.2')] },
    loadBalancer: {
      driver: 'ovh-iplb',
      serviceName: 'loadbalancer-0123456789abcdef',
      protocol: 'http',
      frontends: [70089],
      stagingFrontend: 70090,
      farms: { blue: 77212, green: 77213 },
      refreshDeadlineMs: 600_000,
      api: {
        endpoint: 'ovh-eu',
        applicationKey: { secret: 'ovh-application-key' },
        applicationSecret: { secret: 'ovh-application-secret' },
        consumerKey: { secret: 'ovh-consumer-key' },
      },
    },
    publicAddress: { url: 'http://203.0.113.10', identify: { path: '/', header: 'X-Greeter-Version' } },
    artifact: { headers: {}, maxBytes: 500e6, timeoutMs: 300_000 },
    health: { path: '/health', status: 200, timeoutMs: 2_000 },
    verify: {
      passes: 5,
      everyMs: 1_000,
      minimumMs: 10_000,
      deadlineMs: 120_000,
      loadBalancerDeadlineMs: 300_000,
    },
    fleet: { mayFail: 0, minCapacity: 1, serverDeadlineMs: 600_000, progressDeadlineMs: 600_000 },
    approve: { timeoutMs: 72 * 3_600_000, onTimeout: 'reject', watchEveryMs: 30_000 },
    prober: { path: '/', requestsPerSecond: 20, timeoutMs: 5_000 },
    bake: {
      durationMs: 600_000,
      maxErrorRate: 0.001,
      maxLatencyRatio: 2,
      latencyFloorMs: 50,
      minRequests: 200,
      watchEveryMs: 5_000,
    },
    retire: { old: 'keep running' },
    machines: { unhealthy: 'warn', unequal: 'warn' },
    drain: { atLeastMs: 0, atMostMs: 30_000, lingering: 'refuse' },
    install: { keepFreeBytes: 100e6 },
    keepReleases: 5,
  });
});

const noLayers = { all: {}, blue: {}, green: {}, servers: {} };

describe('what differs between places', () => {
  const withConfiguration = (configuration: object, server: object = {}) =>
    edited(
      ['configuration'],
      configuration,
      edited(['environments', 'green', 0], {
        name: 'green-1',
        address: '10.0.0.2',
        hostKey,
        ...server,
      }),
    );

  test('is read for all servers, an environment and one server; a destination lies over it', () => {
    const path = write(
      withConfiguration(
        {
          files: ['etc/greeter.conf'],
          shared: ['data'],
          values: {
            greeting: 'Hello',
            threads: 4,
            tracing: true,
            password: 'secret:database',
            version: '1.10',
          },
          limits: { MemoryMax: '512M', LimitNOFILE: 65536, Nice: -5 },
          green: { values: { threads: 8 }, limits: { MemoryMax: '1G' } },
          fingerprintKey: 'secret:fingerprints',
        },
        { values: { name: 'the second' }, limits: { CPUQuota: '50%' } },
      ),
    );
    write('configuration: { values: { greeting: "Hello from staging" } }\n', 'verdigris.staging.yaml');
    const expected = {
      files: ['etc/greeter.conf'],
      shared: ['data'],
      values: {
        all: {
          greeting: 'Hello',
          threads: '4',
          tracing: 'true',
          password: { secret: 'database' },
          version: '1.10',
        },
        blue: {},
        green: { threads: '8' },
        servers: { 'green-1': { name: 'the second' } },
      },
      limits: {
        all: { MemoryMax: '512M', LimitNOFILE: '65536', Nice: '-5' },
        blue: {},
        green: { MemoryMax: '1G' },
        servers: { 'green-1': { CPUQuota: '50%' } },
      },
      fingerprintKey: { secret: 'fingerprints' },
    };
    expect(readService(path).configuration).toEqual(expected);
    expect(readService(path, 'staging').configuration.values.all).toEqual({
      ...expected.values.all,
      greeting: 'Hello from staging',
    });
  });

  test('is complained of where it cannot be, and never repeats what may be a secret', () => {
    const found = complaintsAbout(
      withConfiguration(
        {
          files: ['../x'],
          shared: ['data/x'],
          values: { 'a b': 'x', ratio: 0.5, odd: 'secret:Hunter2!', list: [1] },
          limits: { MemoryMaximum: '1G', LimitNOFILE: 'many files', User: 'root' },
        },
        {},
      ),
    ).join('\n');
    for (const words of [
      'configuration.files[0]: is "../x", needs a path relative to the root of the artifact',
      'configuration.shared[0]: is "data/x", needs a name without slashes',
      'configuration.values.a b: cannot name a value',
      'configuration.values.ratio: is 0.5, needs text, a whole number, true, false or "secret:<name>"; other numbers in quotes',
      'configuration.values.odd: is no text that can be filled in, needs',
      'configuration.values.list: is a list, needs',
      'configuration.limits.MemoryMaximum: is not a known key, did you mean "MemoryMax"?',
      'configuration.limits.LimitNOFILE: is "many files", needs a value as systemd writes it',
      'configuration.limits.User: is not a known key, needs one of MemoryMin, ',
    ]) {
      expect(found).toContain(words);
    }
    expect(found).not.toContain('Hunter2');
  });

  test('is complained of where names are taken', () => {
    const configuration = { files: ['etc/a.conf', 'etc/a.conf', 'bin/greeter'], values: { port: 1 } };
    const found = complaintsAbout(withConfiguration(configuration, { values: { server: 'x' } }));
    expect(found.map((line) => line.replace(/^\S+ /, ''))).toEqual([
      'environments.green[0].values.server: is filled in by itself ({{server}}), needs another name',
      'configuration.files[1]: is etc/a.conf again, needs each once',
      'configuration.files[2]: is bin/greeter, the program or its unit, needs another file',
      'configuration.values.port: is filled in by itself ({{port}}), needs another name',
    ]);
  });
});

const serverOf = (color: 'blue' | 'green', address: string) => ({
  name: `${color}-1`,
  color,
  address,
  port: 8080,
  unit: 'greeter.service',
  directory: '/opt/greeter',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: {
    driver: 'ssh',
    host: address,
    port: 22,
    user: 'deploy',
    key: { secret: 'ssh-key' },
    hostKeys: [hostKey],
    bastions: [],
    limits: { connectTimeoutMs: 10_000, loginTimeoutMs: 30_000, keepAliveMs: 10_000, idleMs: 30_000 },
    privilege: 'sudo',
  },
});

test('one machine carries both environments, with a unit, a directory and a port of its own for each', () => {
  const text = `${least.slice(0, least.indexOf('environments'))}environments:
  blue:
    - { name: blue-1, address: 10.0.0.1, hostKey: "${hostKey}", unit: b.service, directory: /srv/b, port: 8081 }
  green:
    - { name: green-1, address: 10.0.0.1, hostKey: "${hostKey}", unit: g.service, directory: /srv/g, port: 8082, probe: { port: 9082 } }
${least.slice(least.indexOf('loadBalancer'))}`;
  const [green] = readService(write(text)).environments.green;
  expect(green).toMatchObject({
    unit: 'g.service',
    directory: '/srv/g',
    port: 8082,
    probe: { address: '127.0.0.1', port: 9082 },
  });
});

test('what a server says of SSH goes before the defaults', () => {
  const text = edited(['environments', 'blue', 0, 'ssh'], {
    host: 'bastion.example.com',
    port: 2222,
    user: 'root',
    key: 'secret:blue-key',
    privilege: 'none',
  });
  expect(readService(write(text)).environments.blue[0]?.connection).toMatchObject({
    host: 'bastion.example.com',
    port: 2222,
    user: 'root',
    key: { secret: 'blue-key' },
    privilege: 'none',
  });
});

describe('a destination', () => {
  test('lies over the configuration: maps are merged, lists are replaced', () => {
    const path = write(least);
    write(
      `bake: { duration: 1m }
program: { unit: staging.service }
environments:
  blue:
    - { name: only, address: 10.1.0.1, hostKey: "${hostKey}" }
`,
      'verdigris.staging.yaml',
    );
    const service = readService(path, 'staging');
    expect(service.id).toBe('greeter@staging');
    expect(service.bake).toMatchObject({ durationMs: 60_000, minRequests: 200 });
    expect(service.environments.blue.map(({ name, port, unit }) => [name, port, unit])).toEqual([
      ['only', 8080, 'staging.service'],
    ]);
    expect(service.environments.green).toHaveLength(1);
  });

  test('is complained of where it stands, in the file that says it', () => {
    write('bake:\n  minRequests: 1000000\n', 'verdigris.staging.yaml');
    expect(complaintsAbout(least, 'staging')).toEqual([
      'verdigris.staging.yaml:2:16: bake.minRequests: is 1000000, but the prober sends 12000 in 10 m (20 per second), needs 12000 at most, a longer bake.duration or a higher prober.requestsPerSecond',
    ]);
  });

  test('needs a file of its own, unless it is the default', () => {
    expect(() => readService(write(least), 'staging')).toThrow(
      /^Cannot use destination "staging": there is no .*verdigris\.staging\.yaml, needs one that says what differs/,
    );
  });

  test('may be written for production too', () => {
    const path = write(least);
    write('keepReleases: 9\n', 'verdigris.production.yaml');
    expect(readService(path).keepReleases).toBe(9);
  });

  test('has a name with rules', () => {
    expect(() => readService(write(least), '../etc')).toThrow(/^Cannot use destination "\.\.\/etc": needs/);
  });
});

describe('the complaint names the place, what is and what is needed', () => {
  test.each<[what: string, path: (string | number)[], value: unknown, complaint: string | RegExp]>([
    [
      'an upper-case name',
      ['service'],
      'Greeter',
      'service: is "Greeter", needs a name: lower-case letters, digits and dashes, starting with a letter, 63 at most',
    ],
    [
      'a number without a unit',
      ['bake', 'duration'],
      10,
      'bake.duration: is 10, needs a duration such as 500ms, 10s, 2m or 72h, at least 100 ms',
    ],
    [
      'a unit nobody knows',
      ['verify', 'every'],
      '10 sec',
      /^.*verify\.every: is "10 sec", needs a duration such as/,
    ],
    [
      'a time too short',
      ['loadBalancer', 'refreshDeadline'],
      '5ms',
      /refreshDeadline: is "5ms", needs a duration such as .*, at least 1 s/,
    ],
    [
      'a size without a unit',
      ['artifact', 'maxSize'],
      200,
      'artifact.maxSize: is 200, needs a size above 0 such as 200 MB or 1 GiB',
    ],
    [
      'a share for a percentage',
      ['bake', 'maxErrorRate'],
      0.1,
      'bake.maxErrorRate: is 0.1, needs a percentage such as "0.1 %", 100 % at most',
    ],
    [
      'too many percent',
      ['bake', 'maxErrorRate'],
      '101 %',
      /bake\.maxErrorRate: is "101 %", needs a percentage/,
    ],
    [
      'half a server that may fail',
      ['fleet', 'mayFail'],
      0.5,
      'fleet.mayFail: is 0.5, needs a number of servers such as 1, 0 at least, or a percentage such as "10 %"',
    ],
    [
      'a share without its sign',
      ['fleet', 'minCapacity'],
      '75',
      'fleet.minCapacity: is "75", needs a number of servers such as 2, 1 at least, or a percentage such as "10 %"',
    ],
    [
      'a ratio below one',
      ['bake', 'maxLatencyRatio'],
      0.5,
      'bake.maxLatencyRatio: is 0.5, needs a number, 1 at least',
    ],
    [
      'half a request',
      ['bake', 'minRequests'],
      0.5,
      'bake.minRequests: is 0.5, needs a whole number above 0',
    ],
    ['a port out of range', ['program', 'port'], 70_000, 'program.port: is 70000, needs a port, 1 to 65535'],
    ['a port in quotes', ['program', 'port'], '80', 'program.port: is "80", needs a port, 1 to 65535'],
    [
      'an address that is none',
      ['environments', 'blue', 0, 'address'],
      '10.0.0.300',
      'environments.blue[0].address: is "10.0.0.300", needs an IPv4 address such as 203.0.113.12',
    ],
    [
      'an IPv6 address',
      ['environments', 'blue', 0, 'address'],
      '::1',
      /address: is "::1", needs an IPv4 address/,
    ],
    [
      'a host key that is none',
      ['environments', 'green', 0, 'hostKey'],
      'MD5:00',
      /environments\.green\[0\]\.hostKey: is "MD5:00", needs the fingerprint/,
    ],
    [
      'a relative directory',
      ['program', 'directory'],
      'opt/greeter',
      /program\.directory: is "opt\/greeter", needs an absolute path/,
    ],
    [
      'a directory that climbs',
      ['program', 'directory'],
      '/opt/../etc',
      /program\.directory: is "\/opt\/\.\.\/etc", needs an absolute path/,
    ],
    [
      'an absolute executable',
      ['program', 'executable'],
      '/bin/greeter',
      /program\.executable: is "\/bin\/greeter", needs a path relative to the root of the artifact/,
    ],
    [
      'a unit without its ending',
      ['program', 'unit'],
      'greeter',
      /program\.unit: is "greeter", needs the name of a systemd unit/,
    ],
    [
      'a template as unit',
      ['program', 'unit'],
      'greeter@.service',
      /program\.unit: is "greeter@.service", needs the name of a systemd unit/,
    ],
    [
      'a path without its slash',
      ['health', 'path'],
      'health',
      'health.path: is "health", needs a path such as /health',
    ],
    [
      'a status out of range',
      ['health', 'status'],
      99,
      'health.status: is 99, needs an HTTP status, 100 to 599',
    ],
    [
      'an unknown way out',
      ['approve', 'onTimeout'],
      'promote',
      'approve.onTimeout: is "promote", needs reject or keep waiting',
    ],
    [
      'an unknown driver',
      ['loadBalancer', 'driver'],
      'haproxy',
      'loadBalancer.driver: is "haproxy", needs ovh-iplb or ovh-public-cloud',
    ],
    [
      'another kind of load balancer',
      ['loadBalancer', 'protocol'],
      'udp',
      'loadBalancer.protocol: is "udp", needs http or tcp',
    ],
    ['a list where a map belongs', ['bake'], [], 'bake: is an empty list, needs a map'],
    [
      'an environment without servers',
      ['environments', 'blue'],
      [],
      'environments.blue: is an empty list, needs at least one server',
    ],
    [
      'a server that is no map',
      ['environments', 'blue', 0],
      'blue-1',
      'environments.blue[0]: is "blue-1", needs a map',
    ],
    [
      'a header name with a blank',
      ['publicAddress', 'identify', 'header'],
      'X Y',
      'publicAddress.identify.header: is "X Y", needs the name of a header',
    ],
    [
      'an endpoint of another cloud',
      ['loadBalancer', 'api', 'endpoint'],
      'aws',
      /api\.endpoint: is "aws", needs ovh-eu, ovh-ca, ovh-us or an https URL without credentials/,
    ],
    [
      'a URL with a query',
      ['publicAddress', 'url'],
      'http://x/?a=1',
      /publicAddress\.url: is "http:\/\/x\/\?a=1", needs a URL such as/,
    ],
    [
      'a URL with a path',
      ['publicAddress', 'url'],
      'http://x/app',
      /publicAddress\.url: ends in the path \/app, needs none/,
    ],
    [
      'an unknown key',
      ['bake', 'minRequest'],
      1,
      'bake.minRequest: is not a known key, did you mean "minRequests"?',
    ],
    ['an unknown section', ['healthcheck'], {}, 'healthcheck: is not a known key, did you mean "health"?'],
    [
      'a key in another style',
      ['bake', 'max-error-rate'],
      1,
      'bake.max-error-rate: is not a known key, did you mean "maxErrorRate"?',
    ],
    [
      'a key like no other',
      ['drain', 'zzzzzz'],
      1,
      'drain.zzzzzz: is not a known key, needs one of atLeast, atMost, then',
    ],
    [
      'a bad header name',
      ['artifact', 'headers', 'Private Token'],
      'secret:x',
      /artifact\.headers\.Private Token: is not the name of a header/,
    ],
    [
      'a product of another machine',
      ['environments'],
      {
        blue: [{ name: 'blue-1', address: '10.0.0.1', hostKey, ovh: { vps: 'vps-1' } }],
        green: [{ name: 'green-1', address: '10.0.0.2', hostKey, ovh: { vps: 'vps-1' } }],
      },
      /green\[0\]\.ovh: names the machine that blue\[0\] is, but SSH reaches another one/,
    ],
    [
      'a machine that is no product',
      ['environments', 'green', 0, 'ovh'],
      {},
      'environments.green[0].ovh: names no product, needs one of dedicatedServer, vps or instance',
    ],
    [
      'a machine that is two products',
      ['environments', 'green', 0, 'ovh'],
      { vps: 'vps-1.vps.ovh.net', dedicatedServer: 'ns1.ip-192-0-2.eu' },
      /ovh: names (vps and dedicatedServer|dedicatedServer and vps), needs one of/,
    ],
    [
      'a product with a path in its name',
      ['environments', 'green', 0, 'ovh'],
      { vps: '../me' },
      /ovh\.vps: is "\.\.\/me", needs the name of a VPS/,
    ],
    [
      'a project that is none',
      ['environments', 'green', 0, 'ovh', 'instance'],
      { project: 'x', id: '01234567-89ab-cdef-0123-456789abcdef' },
      /instance\.project: is "x", needs the id of a Public Cloud project/,
    ],
    [
      'a verdict of another kind',
      ['machines', 'unequal'],
      'ignore',
      'machines.unequal: is "ignore", needs warn or refuse',
    ],
    [
      'servers of one name',
      ['environments', 'green', 0, 'name'],
      'blue-1',
      'environments.green[0].name: is "blue-1", which blue[0] has already, needs a name of its own',
    ],
    [
      'one frontend twice',
      ['loadBalancer', 'frontends'],
      [1, 1],
      'loadBalancer.frontends[1]: is 1 again, needs each once',
    ],
    [
      'staging under traffic',
      ['loadBalancer', 'stagingFrontend'],
      70089,
      'loadBalancer.stagingFrontend: is 70089, which is one of frontends, needs a frontend without traffic',
    ],
    [
      'one farm for both',
      ['loadBalancer', 'farms', 'green'],
      77212,
      "loadBalancer.farms.green: is 77212 as blue's is, needs a farm of its own",
    ],
    [
      "a mixed farm that is blue's",
      ['loadBalancer', 'mixed'],
      { farm: 77212, stagingFrontend: 70091 },
      'loadBalancer.mixed.farm: is 77212, the farm of one environment, needs a farm of its own',
    ],
    [
      'a frontend that probes both',
      ['loadBalancer', 'mixed'],
      { farm: 77214, stagingFrontend: 70090 },
      'loadBalancer.mixed.stagingFrontend: is 70090 again, needs a frontend of its own without traffic',
    ],
    [
      'a frontend of two entries',
      ['loadBalancer', 'also'],
      [{ frontends: [70089], stagingFrontend: 1, farms: { blue: 1, green: 2 } }],
      'loadBalancer.also[0].frontends: is 70089 again, needs each once',
    ],
    [
      'a production frontend that is to be for probes in another entry',
      ['loadBalancer', 'also'],
      [{ frontends: [70095], stagingFrontend: 70089, farms: { blue: 1, green: 2 } }],
      'loadBalancer.also[0].stagingFrontend: is 70089 again, needs each once',
    ],
    [
      'traffic that is divided in one place only',
      ['loadBalancer', 'also'],
      [
        {
          protocol: 'tcp',
          frontends: [70095],
          stagingFrontend: 70096,
          farms: { blue: 1, green: 2 },
          mixed: { farm: 3, stagingFrontend: 70097 },
        },
      ],
      'loadBalancer.also[0].mixed: is given here and not in loadBalancer.mixed, needs both or none: traffic is divided alike everywhere',
    ],
    [
      'testers without a mark',
      ['loadBalancer', 'testers'],
      { route: 1 },
      'loadBalancer.testers: says not who testers are, needs one of header, cookie and source',
    ],
    [
      'testers with two marks',
      ['loadBalancer', 'testers'],
      { route: 1, source: '192.0.2.1', cookie: { name: 'a', value: 'b' } },
      'loadBalancer.testers: has cookie and source, needs one of header, cookie and source',
    ],
    [
      'testers from nowhere',
      ['loadBalancer', 'testers'],
      { route: 1, source: '192.0.2.0/33' },
      'loadBalancer.testers.source: is "192.0.2.0/33", needs an IPv4 address or CIDR block such as 192.0.2.0/24',
    ],
    [
      'a minimum beyond the deadline',
      ['verify', 'minimum'],
      '3m',
      'verify.minimum: is 3 m, needs at most verify.deadline (2 m)',
    ],
    [
      'passes that do not fit',
      ['verify', 'passes'],
      500,
      'verify.passes: is 500, which takes 8 m 20 s at one every 1 s, needs to fit into verify.deadline (2 m)',
    ],
    [
      'a health timeout beyond the deadline',
      ['health', 'timeout'],
      '3m',
      'health.timeout: is 3 m, needs at most verify.deadline (2 m)',
    ],
    [
      'more servers that may fail than are left over',
      ['fleet', 'mayFail'],
      1,
      'fleet.mayFail: lets 1 of the 1 servers of blue fail, needs at most 0: fleet.minCapacity keeps 1',
    ],
    [
      'more capacity than there are servers',
      ['fleet', 'minCapacity'],
      2,
      'fleet.minCapacity: is 2, needs at most the 1 servers of blue',
    ],
    [
      'a bake that sees too little',
      ['bake', 'duration'],
      '5s',
      /bake\.minRequests: is 200, but the prober sends 100 in 5 s/,
    ],
  ])('%s', (_what, path, value, complaint) => {
    const complaints = complaintsAbout(edited(path, value)).map((text) =>
      text.replace(/^verdigris\.yaml:\d+:\d+: /, ''),
    );
    expect(complaints).toEqual([
      typeof complaint === 'string' ? complaint : expect.stringMatching(complaint),
    ]);
  });

  test('servers that share a machine cannot share the port of a further way in', () => {
    const shared = least.replace(
      'address: 10.0.0.2',
      'address: 10.0.0.1, port: 8081, unit: g.service, directory: /g',
    );
    const entry = {
      protocol: 'tcp',
      frontends: [70095],
      stagingFrontend: 70096,
      farms: { blue: 1, green: 2 },
    };
    const at = ['loadBalancer', 'also'];
    expect(complaintsAbout(edited(at, [{ ...entry, port: 9090 }], shared))).toEqual([
      expect.stringContaining(
        'loadBalancer.also[0].port: makes green-1 10.0.0.1:9090, which blue[0] is already, needs a port for each environment',
      ),
    ]);
    expect(complaintsAbout(edited(at, [{ ...entry, port: { blue: 9090, green: 9091 } }], shared))).toEqual(
      [],
    );
    expect(complaintsAbout(edited(at, [{ ...entry, port: [9090] }]))).toEqual([
      expect.stringContaining(
        'loadBalancer.also[0].port: is a list, needs a port, 1 to 65535, or a map with one for blue',
      ),
    ]);
  });

  test.each([
    ['the name', /^service:.*\n/m, 'service: is missing, needs a name'],
    ['the load balancer', /^loadBalancer:\n( .*\n)+/m, 'loadBalancer: is missing, needs a map'],
    [
      'the green environment',
      /^ {2}green:\n.*\n/m,
      'environments.green: is missing, needs a list of servers',
    ],
    [
      'every port',
      /^program:.*\n/m,
      'environments.blue[0].port: is missing, needs a port here or as program.port',
    ],
    [
      'every login',
      /^ssh:.*\n/m,
      'environments.blue[0].ssh.user: is missing, needs to be here or as ssh.user',
    ],
  ])('%s is missing', (_what, pattern, complaint) => {
    expect(complaintsAbout(least.replace(pattern, '')).join('\n')).toContain(complaint);
  });

  test.each([
    ['a server in both environments', ['address', 'unit', 'directory'], { address: '10.0.0.1' }],
    ['one machine with one unit for both', ['unit'], { address: '10.0.0.1', port: 1, directory: '/srv/g' }],
    [
      'one machine with one directory for both',
      ['directory'],
      { address: '10.0.0.1', port: 1, unit: 'g.service' },
    ],
    ['one machine behind two addresses', ['unit', 'directory'], { ssh: { host: '10.0.0.1' } }],
  ])('%s', (_what, keys, changes) => {
    const text = edited(['environments', 'green', 0], {
      name: 'green-1',
      address: '10.0.0.2',
      hostKey,
      ...changes,
    });
    const blamed = complaintsAbout(text).map((complaint) => /green\[0\]\.(\w+): is/.exec(complaint)?.[1]);
    expect(new Set(blamed)).toEqual(new Set(keys));
  });
});

describe('several load balancers', () => {
  const entrance = (number: number, more: object = {}) => ({
    name: `region-${number}`,
    loadBalancer: {
      driver: 'ovh-iplb',
      serviceName: `loadbalancer-${number}`,
      frontends: [1],
      stagingFrontend: 2,
      farms: { blue: 1, green: 2 },
    },
    publicAddress: { url: `http://203.0.113.${number}/`, identify: { header: 'X-Greeter-Version' } },
    ...more,
  });
  const regional = (...regions: readonly object[]): string => {
    const document = parseDocument(least);
    document.delete('loadBalancer');
    document.delete('publicAddress');
    document.set('regions', regions);
    return String(document);
  };

  test('stand in regions, the first of which stands for all', () => {
    const service = readService(write(regional(entrance(1), entrance(2))));
    expect(service.regions).toMatchObject([
      { name: 'region-1', publicAddress: { url: 'http://203.0.113.1' }, servers: ['blue-1', 'green-1'] },
      { name: 'region-2', loadBalancer: { serviceName: 'loadbalancer-2' } },
    ]);
    expect(service.loadBalancer).toEqual(service.regions?.[0]?.loadBalancer);
    expect(service.publicAddress).toEqual(service.regions?.[0]?.publicAddress);
  });

  test.each([
    [
      'beside one at the top',
      edited(['regions'], [entrance(1), entrance(2)]),
      ['loadBalancer: is given beside regions', 'publicAddress: is given beside regions'],
    ],
    ['that are one', regional(entrance(1)), ['regions: is a list, needs two regions at least']],
    [
      'of one name and one load balancer',
      regional(entrance(1), entrance(1)),
      ['regions[1].name: is region-1 again', 'regions[1].loadBalancer.serviceName: is loadbalancer-1 again'],
    ],
    [
      'with a server that is none',
      regional(entrance(1), entrance(2, { servers: ['blue-1', 'green-9'] })),
      ['regions[1].servers: names green-9'],
    ],
    [
      'without a server of an environment',
      regional(entrance(1), entrance(2, { servers: ['blue-1'] })),
      ['regions[1].servers: has no server of green'],
    ],
    [
      'that leave a server to nobody',
      regional(entrance(1, { servers: ['blue-1'] }), entrance(2, { servers: ['blue-1'] })),
      [
        'regions[0].servers: has no server of green',
        'regions[1].servers: has no server of green',
        'environments.green[0].name: is in no region',
      ],
    ],
    [
      'with contradictions of their own',
      regional(
        entrance(1),
        entrance(2, {
          loadBalancer: { ...entrance(2).loadBalancer, farms: { blue: 1, green: 1 } },
          publicAddress: { ...entrance(2).publicAddress, url: 'http://203.0.113.2/shop' },
        }),
      ),
      ['regions[1].loadBalancer.farms.green: is 1', 'regions[1].publicAddress.url: ends in the path /shop'],
    ],
    [
      'of which one has a fallback and testers that the other has not',
      regional(
        entrance(1, {
          loadBalancer: {
            ...entrance(1).loadBalancer,
            fallback: 'old-environment',
            testers: { route: 5, header: { name: 'X-Preview', value: 'yes' } },
          },
        }),
        entrance(2),
      ),
      [
        'regions[1].loadBalancer.fallback: is none, and old-environment in regions[0], needs the same in every region',
        'regions[1].loadBalancer.testers: is nobody, and header X-Preview: yes in regions[0], needs the same',
      ],
    ],
  ])('%s are refused', (_what, text, expected) => {
    const complaints = complaintsAbout(text).map((each) => each.replace(/^verdigris\.yaml:\d+:\d+: /, ''));
    expect(complaints.toSorted()).toEqual(expected.toSorted().map((words) => expect.stringContaining(words)));
  });
});

test('the place is the line and column in the file', () => {
  const text = least.replace('port: 8080', 'port: 0').replace('farms:', 'frams:');
  expect(complaintsAbout(text)).toEqual([
    'verdigris.yaml:2:18: program.port: is 0, needs a port, 1 to 65535',
    'verdigris.yaml:9:1: loadBalancer.farms: is missing, needs a map',
    'verdigris.yaml:14:3: loadBalancer.frams: is not a known key, did you mean "farms"?',
  ]);
});

test('everything is told at once, contradictions beside mistakes', () => {
  const complaints = complaintsAbout(`service: Greeter
bake: { duration: 10 }
bake: {}
ssh: { user: deploy, key: secret:k }
environments:
  blue: [{ name: a, address: 10.0.0.1, hostKey: x }, { name: b, address: 10.0.0.2, hostKey: "${hostKey}" }]
  green: [{ name: b, adress: 1, address: 10.0.0.3, hostKey: "${hostKey}" }, { name: b, address: 10.0.0.4, hostKey: "${hostKey}" }]
loadBalancer: { driver: ovh-iplb, serviceName: "?", frontends: [1], stagingFrontend: 1, farms: { blue: 7, green: 7 } }
`);
  for (const part of [
    ':1:10: service: is "Greeter"',
    ':3:1: bake: is written twice, needs one',
    'environments.blue[0].hostKey: is "x"',
    'environments.green[0].adress: is not a known key, did you mean "address"?',
    'environments.green[1].name: is "b", which blue[1] has already',
    'loadBalancer.serviceName: is "?"',
    'loadBalancer.stagingFrontend: is 1',
    'loadBalancer.farms.green: is 7',
    'publicAddress: is missing',
  ]) {
    expect(complaints.join('\n')).toContain(part);
  }
});

test.each([
  ['an unclosed list', 'service: [', /verdigris\.yaml:\d+:\d+: is not YAML/],
  ['an unknown alias', 'service: *nobody', /verdigris\.yaml:1:\d+: .*nobody/],
  ['an empty file', '', /service: is missing/],
  ['a list', '- a', /verdigris\.yaml:1:1: is a list, needs a map/],
])('%s is refused', (_what, text, pattern) => {
  expect(complaintsAbout(text).join('\n')).toMatch(pattern);
});

test('a file that is not there is refused with the option that names another', () => {
  expect(() => readService(join(folder, 'nowhere.yaml'))).toThrow(
    /^Cannot read ".*nowhere\.yaml": there is no such file, needs a configuration \(--config FILE\)$/,
  );
});

describe('a service account', () => {
  const account = { clientId: 'secret:id', clientSecret: 'secret:password' };

  test('stands instead of the three keys', () => {
    expect(readService(write(edited(['loadBalancer', 'api'], account))).loadBalancer).toMatchObject({
      api: { endpoint: 'ovh-eu', clientId: { secret: 'id' }, clientSecret: { secret: 'password' } },
    });
  });

  test.each([
    [
      'without its secret',
      { clientId: 'secret:id' },
      /clientSecret: is missing, needs to stand beside clientId/,
    ],
    [
      'without its id',
      { clientSecret: 'secret:x' },
      /clientId: is missing, needs to stand beside clientSecret/,
    ],
    [
      'beside a key',
      { ...account, consumerKey: 'secret:x' },
      /consumerKey: is given beside clientId, needs one of the two/,
    ],
    [
      'with a token URL alone',
      { tokenUrl: 'https://x/token' },
      /clientId: is missing, needs to stand beside tokenUrl/,
    ],
    [
      'with a plain token URL',
      { ...account, tokenUrl: 'http://x/token' },
      /tokenUrl: is "http.*needs an https URL/,
    ],
  ])('%s is refused', (_what, api, complaint) => {
    expect(complaintsAbout(edited(['loadBalancer', 'api'], api)).join('\n')).toMatch(complaint);
  });
});

test('anchors and merge keys work', () => {
  const text = least
    .replace('{ port: 8080 }', '&program { port: 8080 }')
    .replace('service: greeter', 'service: greeter\nhealth: { path: &path /ready }\nprober: { path: *path }');
  expect(readService(write(text))).toMatchObject({ health: { path: '/ready' }, prober: { path: '/ready' } });
});

describe('what may be a secret is never repeated', () => {
  test.each([
    ['a key', ['ssh', 'key'], 'hunter2-marker'],
    ['an API key', ['loadBalancer', 'api', 'applicationKey'], 'hunter2-marker'],
    ['a header', ['artifact', 'headers', 'PRIVATE-TOKEN'], 'hunter2-marker'],
    ['a URL', ['publicAddress', 'url'], 'https://me:hunter2-marker@example.com'],
    ['an endpoint', ['loadBalancer', 'api', 'endpoint'], 'https://me:hunter2-marker@example.com'],
  ])('%s', (_what, path, value) => {
    const complaints = complaintsAbout(edited(path, value)).join('\n');
    expect(complaints).not.toBe('');
    expect(complaints).not.toContain('hunter2-marker');
  });
});
