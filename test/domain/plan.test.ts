import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { colors, otherColor, type Color } from '../../domain/color.js';
import type { ArtifactFacts, DeploymentRequest } from '../../domain/deployment.js';
import { hashOf } from '../../domain/hash.js';
import { ReleaseId, SecretName, ServerName, ServiceId } from '../../domain/names.js';
import type { Binaries } from '../../domain/library-search.js';
import {
  liveColor,
  type Division,
  type Observation,
  type ServerFacts,
  type Traffic,
} from '../../domain/observation.js';
import {
  complaintsAbout,
  complaintsAboutSteps,
  computePlan,
  differences,
  idleOf,
  oursOf,
  releaseIdOf,
  type Plan,
} from '../../domain/plan.js';
import { serverNamed, serversOf, type Server, type Service } from '../../domain/service.js';
import { allTo, type Split } from '../../domain/split.js';
import { aProgram, binariesOf, debian12, tooNew } from '../support/binaries.js';

const earlier = ReleaseId('0123456789ab-01234567');
const someTime = '2026-11-26T23:10:00Z';
const oldProgram = hashOf('the program before');

const serverOf = (color: Color, number: number): Server => ({
  name: ServerName(`${color}-${number}`),
  color,
  address: `10.0.0.${number}`,
  port: 8080,
  unit: 'shop.service',
  directory: '/srv/shop',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: { driver: 'in-memory', world: 'test' },
});

const service: Service = {
  id: ServiceId('shop', 'test'),
  name: 'shop',
  destination: 'test',
  program: { executable: 'bin/shop', unitFile: 'shop.service', user: 'shop' },
  configuration: {
    files: [],
    shared: [],
    values: { all: {}, blue: {}, green: {}, servers: {} },
    limits: { all: {}, blue: {}, green: {}, servers: {} },
  },
  environments: {
    blue: [serverOf('blue', 1), serverOf('blue', 2)],
    green: [serverOf('green', 1), serverOf('green', 2)],
  },
  loadBalancer: { driver: 'in-memory', world: 'test' },
  publicAddress: { url: 'http://203.0.113.10', identify: { path: '/version', header: 'x-version' } },
  artifact: {
    headers: { authorization: { secret: SecretName('artifacts') } },
    maxBytes: 1e9,
    timeoutMs: 1_000,
  },
  health: { path: '/health', status: 200, timeoutMs: 500 },
  verify: { passes: 3, everyMs: 500, minimumMs: 10_000, deadlineMs: 60_000, loadBalancerDeadlineMs: 60_000 },
  fleet: { mayFail: 0, minCapacity: 1, serverDeadlineMs: 60_000, progressDeadlineMs: 60_000 },
  // oxlint-disable-next-line unicorn/no-thenable -- the word of the configuration
  approve: { timeoutMs: 60_000, onTimeout: 'reject', watchEveryMs: 10_000 },
  prober: { path: '/', requestsPerSecond: 10, timeoutMs: 500 },
  bake: {
    durationMs: 60_000,
    maxErrorRate: 0.01,
    maxLatencyRatio: 2,
    latencyFloorMs: 50,
    minRequests: 20,
    watchEveryMs: 5_000,
  },
  retire: { old: 'keep running' },
  machines: { unhealthy: 'warn', unequal: 'warn' },
  drain: { atLeastMs: 0, atMostMs: 30_000, lingering: 'refuse' },
  install: { keepFreeBytes: 0 },
  keepReleases: 3,
};

const request: DeploymentRequest = {
  service,
  artifact: { url: 'https://ci.example/shop.tar.gz', sha256: hashOf('an artifact') },
  requestedBy: 'ann',
  version: 'v2',
  searchAttributes: true,
};

const artifactFacts: ArtifactFacts = {
  sizeBytes: 1_000,
  files: 3,
  entries: 5,
  unpackedBytes: 4_000,
  executable: hashOf('a program'),
  settings: hashOf('a unit file'),
};

const running: ServerFacts = {
  unit: {
    state: 'active',
    subState: 'running',
    pid: 100,
    startedAtUs: 7,
    restarts: 0,
    result: 'success',
    needsDaemonReload: false,
  },
  runningProgram: oldProgram,
  activeRelease: earlier,
  installedReleases: [earlier],
  unfitReleases: {},
  foreign: false,
  connections: 0,
  freeBytes: 1e10,
  token: '',
};

const { runningProgram: _program, activeRelease: _release, ...nothingActive } = running;
const empty: ServerFacts = {
  ...nothingActive,
  unit: { ...running.unit, state: 'not-found', subState: 'dead', pid: 0, startedAtUs: 0 },
  installedReleases: [],
};

interface Seen {
  readonly traffic?: Traffic;
  readonly staged?: readonly string[];
  readonly objects?: Readonly<Record<string, string>>;
  readonly facts?: (server: Server) => ServerFacts | 'unreachable';
}

/** Blue live and green idle, both running the release before, unless said otherwise. */
const observed = ({ traffic, staged = [], objects, facts = () => running }: Seen = {}): Observation => ({
  loadBalancer: {
    traffic: traffic ?? { kind: 'split', split: allTo('blue') },
    targets: [],
    objects: objects ?? { 'farm/blue': 'a', 'farm/green': 'b', 'farm/other': 'c' },
    ours: ['farm/blue', 'farm/green'],
    staged,
    backends: [],
    recentSwitchesMs: [],
  },
  servers: serversOf(service).map((server) => {
    const seen = facts(server);
    const { name, color } = server;
    return seen === 'unreachable'
      ? { kind: 'unreachable', server: name, color, message: `Cannot reach "${name}"` }
      : { kind: 'reached', server: name, color, facts: seen };
  }),
});

const on =
  (color: Color, facts: ServerFacts, others: ServerFacts = running) =>
  (server: Server): ServerFacts =>
    server.color === color ? facts : others;

function planned(observation = observed(), asked = request, facts = artifactFacts): Plan {
  const planning = computePlan(asked, facts, observation);
  if (planning.kind === 'refused') throw new Error(JSON.stringify(planning.complaints));
  return planning.plan;
}

describe('live and idle', () => {
  test.for(colors)('are told by the load balancer alone: all to %s', (live) => {
    const observation = observed({ traffic: { kind: 'split', split: allTo(live) } });
    expect(liveColor(observation.loadBalancer)).toBe(live);
    expect(idleOf(observation)).toBe(otherColor(live));
    expect(planned(observation)).toMatchObject({
      live,
      idle: otherColor(live),
      steps: [allTo(otherColor(live))],
    });
  });

  test('are unclear while traffic is divided, torn or elsewhere: nothing is idle then', () => {
    const unclear = fc.oneof(
      fc
        .integer({ min: 1, max: 99 })
        .map((blue): Traffic => ({ kind: 'split', split: { blue, green: 100 - blue } })),
      fc.constant<Traffic>({ kind: 'torn', detail: 'frontends disagree' }),
      fc.constant<Traffic>({ kind: 'elsewhere', detail: 'farm 9 is neither' }),
    );
    fc.assert(
      fc.property(unclear, (traffic) => {
        const observation = observed({ traffic });
        expect(idleOf(observation)).toBeUndefined();
        expect(liveColor(observation.loadBalancer)).toBeUndefined();
        const planning = computePlan(request, artifactFacts, observation);
        expect(planning.kind === 'refused' && planning.complaints[0]?.failure).toBe('StateUnclear');
      }),
    );
  });
});

describe('a state that no deployment may start from', () => {
  test('is none when all is well', () => {
    expect(complaintsAbout(service, observed())).toEqual([]);
  });

  test('is told with every complaint at once', () => {
    const observation = observed({
      staged: ['an edit of farm/other'],
      facts: ({ name, color }) =>
        name === 'blue-2' ? 'unreachable' : color === 'green' ? { ...running, foreign: true } : running,
    });
    expect(complaintsAbout(service, observation).map(({ failure }) => failure)).toEqual([
      'StagedEditsFound',
      'ServerUnreachable',
      'ForeignRelease',
      'ForeignRelease',
    ]);
  });

  test('names everything that the credential lacks, and how it is granted', () => {
    const { loadBalancer, servers } = observed();
    const lacking = ['PUT /ipLoadbalancing/lb/http/frontend/1', 'POST /ipLoadbalancing/lb/refresh'];
    expect(complaintsAbout(service, { servers, loadBalancer: { ...loadBalancer, lacking } })).toEqual([
      {
        failure: 'CredentialRefused',
        message: [
          `Cannot deploy "${service.id}": the consumer key may not do all of it, needs these 2 access rules`,
          ...lacking,
          'make a consumer key that has them: verdigris ovh login',
        ].join('\n  '),
      },
    ]);
  });

  test('does not blame servers while it is not clear which ones are idle', () => {
    const torn: Traffic = { kind: 'torn', detail: 'frontends 1 and 2 disagree' };
    const observation = observed({ traffic: torn, facts: () => ({ ...running, foreign: true }) });
    const complaints = complaintsAbout(service, observation);
    expect(complaints.map(({ failure }) => failure)).toEqual(['StateUnclear']);
    expect(complaints[0]?.message).toContain('frontends 1 and 2 disagree');
  });

  test('is not a foreign release that is live: it is the way back, by load balancer alone', () => {
    const observation = observed({ facts: on('blue', { ...running, foreign: true }) });
    expect(complaintsAbout(service, observation)).toEqual([]);
    expect(planned(observation).warnings.join()).toContain('never touched');
  });

  test('names what settles it', () => {
    const messages = (seen: Seen) => complaintsAbout(service, observed(seen)).map(({ message }) => message);
    expect(messages({ traffic: { kind: 'split', split: { blue: 50, green: 50 } } }).join()).toContain(
      'verdigris repair',
    );
    expect(messages({ facts: on('green', { ...running, foreign: true }) }).join()).toContain(
      'verdigris adopt',
    );
  });

  test('is that the load balancer does not look at the idle environment', () => {
    const { loadBalancer, ...rest } = observed();
    const unprobed = [
      'frontend 2 -> farm 10 (blue), for probes only, needs farm 11 (green): nobody probes green',
    ];
    expect(complaintsAbout(service, { ...rest, loadBalancer: { ...loadBalancer, unprobed } })).toEqual([
      {
        failure: 'StateUnclear',
        message: `Cannot deploy "${service.id}": ${unprobed[0]}\n  point it there: verdigris repair`,
      },
    ]);
  });

  test('is that blue and green are treated so differently that visitors are not served alike', () => {
    const { loadBalancer, ...rest } = observed();
    const words = 'http/farm/1 (blue) has stickiness none and http/farm/2 (green) cookie';
    const about = (breaks: boolean) => ({
      ...rest,
      loadBalancer: { ...loadBalancer, unequal: [{ words, breaks }] },
    });
    expect(complaintsAbout(service, about(true))).toEqual([
      {
        failure: 'EnvironmentsUnequal',
        message: expect.stringContaining(`Cannot deploy "${service.id}": ${words}, needs the same`),
      },
    ]);
    expect(complaintsAbout(service, about(false))).toEqual([]);
    const planning = computePlan(request, artifactFacts, about(false));
    expect(planning.kind === 'planned' && planning.plan.warnings).toContain(
      `Blue and green are not alike: ${words}`,
    );
  });

  test('is that it may run something else than it tells', () => {
    const { loadBalancer, ...rest } = observed();
    const unsettled = ['the last refresh, task 7, has ended as "error": parts of it may run something else'];
    expect(complaintsAbout(service, { ...rest, loadBalancer: { ...loadBalancer, unsettled } })).toEqual([
      {
        failure: 'StateUnclear',
        message: expect.stringMatching(/task 7, has ended as "error"(.|\n)*verdigris repair/),
      },
    ]);
  });

  test('is told before it begins where the credential may end before it has', () => {
    const { loadBalancer, ...rest } = observed();
    const warned = (inMs: number): string => {
      const credentialEnds = { atMs: Date.UTC(2026, 0, 2), inMs };
      const seen = { ...rest, loadBalancer: { ...loadBalancer, credentialEnds } };
      const planning = computePlan(request, artifactFacts, seen);
      return planning.kind === 'planned' ? planning.plan.warnings.join('\n') : planning.kind;
    };
    const { approve, bake } = service;
    const longestMs = approve.timeoutMs + bake.durationMs;
    expect(warned(longestMs + 1)).not.toMatch(/consumer key/);
    expect(warned(longestMs)).toMatch(/ends at 2026-01-02T00:00:00\.000Z.*verdigris ovh login --replace/);
  });

  test('is told before it begins where the bake ends before the load balancer can have found a server ill', () => {
    const { loadBalancer, ...rest } = observed();
    const warned = (durationMs: number, probeEveryMs?: number): string => {
      const seen = {
        ...rest,
        loadBalancer: { ...loadBalancer, ...(probeEveryMs === undefined ? {} : { probeEveryMs }) },
      };
      const bake = { ...service.bake, durationMs };
      const planning = computePlan({ ...request, service: { ...service, bake } }, artifactFacts, seen);
      return planning.kind === 'planned' ? planning.plan.warnings.join('\n') : planning.kind;
    };
    expect(warned(70_000, 30_000)).not.toContain('bake.duration');
    expect(warned(69_999)).not.toContain('bake.duration');
    expect(warned(60_000, 30_000)).toContain(
      'The bake lasts 60 s, and the load balancer may take 70 s to find a server ill: it looks every 30 s, twice. Make it longer: bake.duration',
    );
  });

  test('gives no plan, whatever it is', () => {
    const spoilers: fc.Arbitrary<Seen> = fc.constantFrom<Seen>(
      { staged: ['an edit'] },
      { facts: () => 'unreachable' },
      { facts: on('green', { ...running, foreign: true }) },
    );
    fc.assert(
      fc.property(spoilers, (seen) => {
        expect(computePlan(request, artifactFacts, observed(seen)).kind).toBe('refused');
      }),
    );
  });
});

describe('a plan', () => {
  test('names the release by its artifact and its settings', () => {
    const { release } = planned();
    expect(release.id).toBe(releaseIdOf(request.artifact.sha256, artifactFacts.settings));
    expect(release.id).toBe(`${request.artifact.sha256.slice(0, 12)}-${artifactFacts.settings.slice(0, 8)}`);
    expect(release).toMatchObject({ version: 'v2', executable: artifactFacts.executable });
  });

  test('has servers of the idle environment only, each with what is put back on it', () => {
    expect(planned().servers).toEqual([
      { server: 'green-1', restores: earlier, settings: [] },
      { server: 'green-2', restores: earlier, settings: [] },
    ]);
  });

  describe('of an artifact that was taken back because it was ill', () => {
    const ill = ReleaseId(`${request.artifact.sha256.slice(0, 12)}-99999999`);
    const because = 'Cannot keep it: 30 % of requests fail\nits last words';
    const marked = observed({
      facts: on('green', { ...running, unfitReleases: { [ill]: { because, at: someTime } } }),
    });

    test('is refused, with the reason and since when', () => {
      expect(computePlan(request, artifactFacts, marked)).toEqual({
        kind: 'refused',
        complaints: [
          {
            failure: 'ReleaseUnfit',
            message: expect.stringMatching(
              /was taken back as unfit on 2026-11-26T23:10:00Z from green-1, green-2: Cannot keep it: 30 % of requests fail\n.*deploy --again/,
            ),
          },
        ],
      });
    });

    test('goes ahead where somebody says why, and everybody is told', () => {
      const planning = planned(marked, { ...request, again: 'the database was slow' });
      expect(planning.warnings).toEqual(
        expect.arrayContaining([
          expect.stringContaining('This artifact was taken back as unfit'),
          'It is deployed again by ann: the database was slow',
        ]),
      );
    });

    test('says nothing about other artifacts', () => {
      const other = { ...request, artifact: { ...request.artifact, sha256: hashOf('a mended one') } };
      expect(planned(marked, other).warnings.join()).not.toContain('unfit');
    });
  });

  test('is refused where an idle server has no room for it, and only there', () => {
    const full = { ...running, freeBytes: 1024, freeInodes: 10 };
    const refused = (observation: Observation) => {
      const planning = computePlan(request, artifactFacts, observation);
      return planning.kind === 'refused'
        ? planning.complaints.map(({ failure, message }) => `${failure}: ${message}`)
        : [];
    };
    const cure =
      '\n  see what fills it: du -xh /srv/shop | sort -h | tail; or keep less free: install.keepFree';
    expect(refused(observed({ facts: on('green', full) }))).toEqual([
      `DiskFull: Cannot deploy to "green-1": below /srv/shop 1 KB are free, needs 1049 KB and 10 inodes are free, needs 55${cure}`,
      `DiskFull: Cannot deploy to "green-2": below /srv/shop 1 KB are free, needs 1049 KB and 10 inodes are free, needs 55${cure}`,
    ]);
    expect(refused(observed({ facts: on('blue', full) }))).toEqual([]);
    const id = releaseIdOf(request.artifact.sha256, artifactFacts.settings);
    const has = { ...full, installedReleases: [earlier, id] };
    expect(refused(observed({ facts: on('green', has) })), 'it is there already').toEqual([]);
  });

  test('goes on without an idle server that has no room, where it may be left behind, and knows what ran there', () => {
    const fleet = { ...service.fleet, mayFail: 1 };
    const full =
      (...names: string[]) =>
      ({ name }: Server): ServerFacts =>
        names.includes(name) ? { ...running, freeBytes: 1024 } : running;
    const bearing = { ...request, service: { ...service, fleet } };
    const { leftBehind, servers, warnings } = planned(observed({ facts: full('green-2') }), bearing);
    expect(leftBehind).toMatchObject([{ server: 'green-2', because: expect.stringContaining('are free') }]);
    expect(servers.map(({ server, restores }) => [server, restores])).toEqual([
      ['green-1', earlier],
      ['green-2', earlier],
    ]);
    expect(warnings.join()).toContain('Left behind: green-2');
    expect(
      computePlan(bearing, artifactFacts, observed({ facts: full('green-1', 'green-2') })),
    ).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'DiskFull' }, { failure: 'DiskFull' }],
    });
    const oneOut = observed({
      facts: (server) => (server.name === 'green-1' ? 'unreachable' : full('green-2')(server)),
    });
    expect(computePlan(bearing, artifactFacts, oneOut)).toMatchObject({ kind: 'refused' });
  });

  test('tells once what is set everywhere, and at a server what is set there', () => {
    const configured: Service = {
      ...service,
      configuration: {
        ...service.configuration,
        files: ['etc/shop.conf'],
        values: {
          ...service.configuration.values,
          all: { greeting: 'Hello', password: { secret: SecretName('database') } },
          servers: { 'green-2': { greeting: 'Hi' }, 'blue-1': { greeting: 'not there' } },
        },
      },
    };
    const { settings, servers } = planned(observed(), { ...request, service: configured });
    expect(settings).toEqual(['fills in etc/shop.conf', 'password = secret:database']);
    expect(servers.map((server) => server.settings)).toEqual([['greeting = "Hello"'], ['greeting = "Hi"']]);
  });

  test('does not put back what is marked unfit', () => {
    const unfit = {
      ...running,
      unfitReleases: { [earlier]: { because: 'the contract broke it', at: someTime } },
    };
    expect(planned(observed({ facts: on('green', unfit) })).servers[0]?.restores).toBe('nothing');
  });

  test('says of a first deployment that there is nothing to go back to', () => {
    const plan = planned(observed({ facts: () => empty }));
    expect(plan.live).toBe('nothing');
    expect(plan.idle).toBe('green');
    expect(plan.liveRuns).toEqual({});
    expect(plan.warnings.join()).toContain('nothing to go back to');
  });

  test('says of an empty idle environment that it is stopped when undone', () => {
    const plan = planned(observed({ facts: on('green', empty) }));
    expect(plan.servers.map(({ restores }) => restores)).toEqual(['nothing', 'nothing']);
    expect(plan.warnings.join()).toContain('no earlier release');
  });

  test.each([
    [['sudo', 'sudo'], 'as good as root on every server'],
    [['sudo', 'installed'], 'as good as root on green-1 '],
    [['installed', 'none'], undefined],
  ] as const)('says of %j whether the deploying key is as good as root', (privileges, words) => {
    const reached = (server: Server, index: number): Server => ({
      ...server,
      connection: {
        driver: 'ssh',
        host: server.address,
        port: 22,
        user: 'deploy',
        key: { secret: SecretName('key') },
        hostKeys: ['SHA256:x'],
        privilege: privileges[index] ?? 'none',
      },
    });
    const green = service.environments.green.map(reached);
    const blue = words?.includes('every')
      ? service.environments.blue.map(reached)
      : service.environments.blue;
    const plan = planned(observed(), { ...request, service: { ...service, environments: { blue, green } } });
    if (words === undefined) expect(plan.warnings.join()).not.toContain('root');
    else expect(plan.warnings.join()).toContain(words);
  });

  test('tells what is known of the program, which its hash covers', () => {
    const here = observed({ facts: () => ({ ...running, platform: debian12 }) });
    const plan = (binaries: Binaries) => {
      const planning = computePlan(request, { ...artifactFacts, binaries }, here);
      if (planning.kind !== 'planned') throw new Error('refused');
      return planning.plan;
    };
    expect(plan(binariesOf()).program).toEqual([
      'bin/greeter: x86-64, needs GLIBC_2.34, build id abababababab, hardened',
    ]);
    expect(plan(binariesOf()).warnings).toEqual([]);
    const bare = plan(binariesOf({ hardening: { ...aProgram.hardening, positionIndependent: false } }));
    expect(bare.warnings).toEqual(['bin/greeter is loaded at a fixed address (-fPIE -pie)']);
    expect(bare.hash).not.toBe(plan(binariesOf()).hash);
  });

  test('refuses a program that does not fit, beside everything else', () => {
    const here = observed({
      facts: () => ({ ...running, platform: debian12 }),
      staged: ['http/farm/1: weight 1 to 2'],
    });
    const planning = computePlan(request, { ...artifactFacts, binaries: tooNew }, here);
    expect(planning).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'StagedEditsFound' }, { failure: 'ProgramIncompatible' }],
    });
  });

  test('is the same for the same request and observation', () => {
    expect(planned()).toEqual(planned(structuredClone(observed()), structuredClone(request)));
  });
});

describe("a plan's hash", () => {
  const hash = planned().hash;
  const withService = (changes: Partial<Service>): DeploymentRequest => ({
    ...request,
    service: { ...service, ...changes },
  });

  test.for<[string, () => Plan]>([
    [
      'the artifact',
      () => planned(observed(), { ...request, artifact: { ...request.artifact, sha256: hashOf('x') } }),
    ],
    ['the program', () => planned(observed(), request, { ...artifactFacts, executable: hashOf('x') })],
    ['the unit file', () => planned(observed(), request, { ...artifactFacts, settings: hashOf('x') })],
    ['who is live', () => planned(observed({ traffic: { kind: 'split', split: allTo('green') } }))],
    [
      'what runs live',
      () => planned(observed({ facts: on('blue', { ...running, runningProgram: hashOf('x') }) })),
    ],
    ['what is put back', () => planned(observed({ facts: on('green', empty) }))],
    ['an object of ours', () => planned(observed({ objects: { 'farm/blue': 'a', 'farm/green': 'edited' } }))],
    ['a removed object of ours', () => planned(observed({ objects: { 'farm/blue': 'a' } }))],
    [
      'the server list',
      () =>
        planned(
          observed(),
          withService({ environments: { ...service.environments, green: [serverOf('green', 1)] } }),
        ),
    ],
    [
      'a port',
      () =>
        planned(
          observed(),
          withService({
            environments: {
              ...service.environments,
              green: service.environments.green.map((each) => ({ ...each, port: 81 })),
            },
          }),
        ),
    ],
    [
      'how health is asked',
      () => planned(observed(), withService({ health: { ...service.health, path: '/other' } })),
    ],
    [
      'how long it is baked',
      () => planned(observed(), withService({ bake: { ...service.bake, durationMs: 1 } })),
    ],
    [
      'the public address',
      () =>
        planned(observed(), withService({ publicAddress: { ...service.publicAddress, url: 'http://x' } })),
    ],
  ])('changes with %s', ([, change]) => {
    expect(change().hash).not.toBe(hash);
  });

  test.for<[string, () => Plan]>([
    ['who asks', () => planned(observed(), { ...request, requestedBy: 'bob' })],
    ['search attributes', () => planned(observed(), { ...request, searchAttributes: false })],
    [
      'objects of others',
      () => planned(observed({ objects: { 'farm/blue': 'a', 'farm/green': 'b', 'farm/other': 'edited' } })),
    ],
    [
      'connections, disk space, and what is installed beside',
      () =>
        planned(
          observed({
            facts: () => ({
              ...running,
              connections: 9,
              freeBytes: 5e9,
              installedReleases: [earlier, ReleaseId('aaaaaaaaaaaa-aaaaaaaa')],
            }),
          }),
        ),
    ],
    [
      'a token that a server has seen',
      () => planned(observed({ facts: () => ({ ...running, token: '000000000000001-000001' }) })),
    ],
    [
      'what the load balancer says of health',
      () => {
        const seen = observed();
        const backends = [{ server: ServerName('green-1'), color: 'green', state: 'down' } as const];
        return planned({
          ...seen,
          loadBalancer: { ...seen.loadBalancer, backends, recentSwitchesMs: [1, 2] },
        });
      },
    ],
  ])('does not change with %s', ([, change]) => {
    expect(change().hash).toBe(hash);
  });

  test('does not change with what the deployment itself does before the switch', () => {
    const release = planned().release.id;
    const installed = observed({
      facts: on('green', { ...running, installedReleases: [earlier, release], token: 'x', connections: 1 }),
    });
    expect(planned(installed).hash).toBe(hash);
  });
});

describe('differences', () => {
  const objects = fc.dictionary(
    fc.constantFrom('farm/1', 'farm/2', 'farm/3', 'frontend'),
    fc.constantFrom('a', 'b'),
  );

  test('are none between equals, and one for each name that differs', () => {
    fc.assert(
      fc.property(objects, objects, (before, now) => {
        expect(differences(before, { ...before })).toEqual([]);
        const names = new Set([...Object.keys(before), ...Object.keys(now)]);
        const expected = [...names].filter((name) => before[name] !== now[name]);
        expect(differences(before, now).length).toBe(expected.length);
      }),
    );
  });

  test('say what happened, in the order of names', () => {
    expect(differences({ b: '1', c: '1' }, { a: '1', b: '2' })).toEqual([
      'a was added',
      'b was changed',
      'c was removed',
    ]);
  });

  test('are looked for among our objects only; one that is gone counts', () => {
    expect(oursOf(observed({ objects: { 'farm/blue': 'a', 'farm/other': 'c' } }))).toEqual({
      'farm/blue': 'a',
      'farm/green': 'absent',
    });
  });
});

test('a server that the service does not have is refused by name', () => {
  expect(serverNamed(service, ServerName('green-2')).name).toBe('green-2');
  expect(() => serverNamed(service, ServerName('green-9'))).toThrow(/green-9.*shop@test/);
});

describe('steps that divide traffic', () => {
  const finest = { kind: 'possible', shares: 'of new clients', smallest: { blue: 1, green: 2.5 } } as const;
  const impossible = { kind: 'impossible', because: 'no mixed farm is configured' } as const;
  const complaints = (steps: readonly Split[], division?: Division): readonly string[] =>
    complaintsAboutSteps(service, steps, division ? { division } : {}).map(({ message }) => message);

  test.each([
    ['no division is needed to move everything', [allTo('blue'), allTo('green')], impossible, []],
    ['a share that the load balancer can carry', [{ blue: 97.5, green: 2.5 }], finest, []],
    ['a load balancer that says nothing of it', [{ blue: 99, green: 1 }], undefined, []],
    [
      'too small a share of the new',
      [
        { blue: 99, green: 1 },
        { blue: 50, green: 50 },
      ],
      finest,
      ['by blue 99 %, green 1 %: the smallest share of green is 2.5 % of new clients, needs'],
    ],
    [
      'too small a share of the old',
      [{ blue: 0.5, green: 99.5 }],
      finest,
      ['the smallest share of blue is 1 % of new clients, needs'],
    ],
    [
      'nothing that divides, at each step',
      [{ blue: 90, green: 10 }, { blue: 50, green: 50 }, allTo('green')],
      impossible,
      ['by blue 90 %, green 10 %: no mixed farm is configured', 'by blue 50 %, green 50 %: no mixed farm'],
    ],
  ] as const)('%s', (_, steps, division, expected) => {
    const told = complaints(steps, division);
    expect(told).toEqual(expected.map((words) => expect.stringContaining(words)));
    for (const message of told)
      expect(message).toMatch(/\n {2}what it can do: verdigris check; .*verdigris ovh provision --plan$/);
  });
});
