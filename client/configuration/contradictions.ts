import { describeDuration } from '../../configuration/quantities.js';
import { colors, type Color } from '../../domain/color.js';
import { atLeast, atMost } from '../../domain/fleet.js';
import { isPlaceholder } from '../../domain/template.js';
import type { ConfigurationComplaint } from '../../configuration/complaints.js';
import type { KeyPath } from '../../configuration/documents.js';
import type { KnownHosts } from './known-hosts.js';
import { hostKeyContradictions, keyContradictions } from './reaching.js';
import type { Configuration, RegionSection, ServerEntry } from './schema.js';

/** A server that could be read, and where it stands. */
export interface PlacedServer {
  readonly color: Color;
  readonly index: number;
  readonly entry: ServerEntry;
}

/** What could be read so far: a key with a complaint of its own is missing here. */
export interface ReadableParts {
  readonly sections: { readonly [Section in keyof Configuration]?: Readable<Configuration[Section]> };
  readonly servers: readonly PlacedServer[];
  /** What `ssh.knownHosts` names, where it could be read. */
  readonly knownHosts: KnownHosts | undefined;
}

/** Of a map of one kind or another, each kind by itself. */
type Readable<Value> =
  Value extends Readonly<Record<string, unknown>> ? { readonly [Key in keyof Value]?: Value[Key] } : Value;
type Sections = ReadableParts['sections'];

/** What each key allows but the keys together do not. */
export const contradictionsIn = (parts: ReadableParts): readonly ConfigurationComplaint[] => [
  ...amongServers(parts),
  ...incompleteServers(parts),
  ...keyContradictions(parts),
  ...hostKeyContradictions(parts),
  ...inConfiguration(parts),
  ...entrancesIn(parts.sections).flatMap(({ path, loadBalancer, publicAddress }) => [
    ...inLoadBalancer([...path, 'loadBalancer'], loadBalancer, parts.servers),
    ...inOvhApi([...path, 'loadBalancer', 'api'], loadBalancer?.api),
    ...inPublicAddress([...path, 'publicAddress', 'url'], publicAddress?.url),
  ]),
  ...inRegions(parts),
  ...inVerify(parts.sections),
  ...inFleet(parts),
  ...betweenBakeAndProber(parts.sections),
];

export const complain = (path: KeyPath, message: string): ConfigurationComplaint => ({
  path,
  at: 'value',
  message,
});

export const pathOf = ({ color, index }: PlacedServer, ...keys: string[]): KeyPath => [
  'environments',
  color,
  index,
  ...keys,
];

/** A load balancer and the way in to it, and where they stand. */
interface PlacedEntrance extends Pick<Sections, 'loadBalancer' | 'publicAddress'> {
  readonly path: KeyPath;
}

const entrancesIn = ({ regions, ...top }: Sections): readonly PlacedEntrance[] => [
  { path: [], ...top },
  ...(regions ?? []).map((region, index) => ({ path: ['regions', index], ...region })),
];

/** Each region is one, and can carry either environment; no server is left to nobody. */
function inRegions({ sections: { regions }, servers }: ReadableParts): readonly ConfigurationComplaint[] {
  if (!regions || servers.length === 0) return [];
  const all = servers.map(({ entry }) => entry.name);
  const reached = new Set(regions.flatMap((region) => region.servers ?? all));
  const twice = (
    of: (region: RegionSection) => string,
    keys: (region: RegionSection) => readonly string[],
    what: string,
  ) =>
    regions.flatMap((region, index) =>
      regions.slice(0, index).some((earlier) => of(earlier) === of(region))
        ? [complain(['regions', index, ...keys(region)], `is ${of(region)} again, needs ${what} of its own`)]
        : [],
    );
  return [
    ...twice(
      ({ name }) => name,
      () => ['name'],
      'a name',
    ),
    ...twice(
      ({ loadBalancer }) => (loadBalancer.driver === 'ovh-iplb' ? loadBalancer.serviceName : loadBalancer.id),
      ({ loadBalancer }) => ['loadBalancer', loadBalancer.driver === 'ovh-iplb' ? 'serviceName' : 'id'],
      'a load balancer',
    ),
    ...regions.flatMap((region, index) => {
      const path = ['regions', index, 'servers'];
      const named = region.servers ?? all;
      const unknown = named.filter((name) => !all.includes(name));
      if (unknown.length > 0) return [complain(path, `names ${unknown.join(', ')}, needs names of servers`)];
      return colors
        .filter((color) => !servers.some((each) => each.color === color && named.includes(each.entry.name)))
        .map((color) => complain(path, `has no server of ${color}, needs one at least`));
    }),
    ...servers
      .filter(({ entry }) => !reached.has(entry.name))
      .map((server) => complain(pathOf(server, 'name'), 'is in no region, needs to be in one at least')),
    ...amongRegions(regions),
  ];
}

/** What a deployment asks of all its load balancers in one change, each of them has to know. */
function amongRegions(regions: readonly RegionSection[]): readonly ConfigurationComplaint[] {
  const alike = (key: 'fallback' | 'testers', of: (region: RegionSection) => string) =>
    regions.flatMap((region, index) => {
      const [first, its] = [regions[0] && of(regions[0]), of(region)];
      return its === first
        ? []
        : [
            complain(
              ['regions', index, 'loadBalancer', key],
              `is ${its}, and ${first} in regions[0], needs the same in every region`,
            ),
          ];
    });
  return [
    ...alike('fallback', ({ loadBalancer }) =>
      loadBalancer.driver === 'ovh-iplb' ? loadBalancer.fallback : 'none',
    ),
    ...alike('testers', ({ loadBalancer }) => testersWords(loadBalancer)),
  ];
}

function testersWords(loadBalancer: RegionSection['loadBalancer']): string {
  const testers = loadBalancer.driver === 'ovh-iplb' ? loadBalancer.testers : undefined;
  const marks = (['header', 'cookie'] as const).flatMap((kind) => {
    const mark = testers?.[kind];
    return mark ? [`${kind} ${mark.name}: ${mark.value}`] : [];
  });
  const source = testers?.source === undefined ? [] : [`source ${testers.source}`];
  return [...marks, ...source].join(' and ') || 'nobody';
}

/** What no two servers may share. A server that lacks it is complained of elsewhere. */
function amongServers({
  sections: { program, service, ssh },
  servers,
}: ReadableParts): readonly ConfigurationComplaint[] {
  const machineOf = ({ entry }: PlacedServer) =>
    `${entry.ssh?.host ?? entry.address}:${entry.ssh?.port ?? ssh?.port ?? 22}`;
  const portOf = ({ entry }: PlacedServer) => entry.port ?? program?.port;
  const unitOf = ({ entry }: PlacedServer) =>
    entry.unit ?? program?.unit ?? (service && `${service}.service`);
  const directoryOf = ({ entry }: PlacedServer) =>
    entry.directory ?? program?.directory ?? (service && `/opt/${service}`);
  const onItsMachine = (of: (server: PlacedServer) => string | undefined) => (server: PlacedServer) =>
    of(server) && `${machineOf(server)} ${of(server)}`;

  return [
    ...copiedProducts(servers, machineOf),
    ...repeated(
      servers,
      ({ entry }) => entry.name,
      (server, first) =>
        complain(
          pathOf(server, 'name'),
          `is "${server.entry.name}", which ${first} has already, needs a name of its own`,
        ),
    ),
    ...repeated(
      servers,
      (server) => portOf(server) && `${server.entry.address}:${portOf(server)}`,
      (server, first) =>
        complain(
          pathOf(server, 'address'),
          `is ${server.entry.address} with port ${portOf(server)}, which ${first} has already, needs an address or a port of its own`,
        ),
    ),
    ...repeated(servers, onItsMachine(unitOf), (server, first) =>
      complain(
        pathOf(server, 'unit'),
        `is ${unitOf(server)}, which ${first} has already on the same machine, needs a unit of its own`,
      ),
    ),
    ...repeated(servers, onItsMachine(directoryOf), (server, first) =>
      complain(
        pathOf(server, 'directory'),
        `is ${directoryOf(server)}, which ${first} has already on the same machine, needs a directory of its own`,
      ),
    ),
  ];
}

function repeated(
  servers: readonly PlacedServer[],
  identity: (server: PlacedServer) => string | undefined | 0,
  complaint: (server: PlacedServer, first: string) => ConfigurationComplaint,
): readonly ConfigurationComplaint[] {
  const firsts = new Map<string, PlacedServer>();
  return servers.flatMap((server) => {
    const its = identity(server);
    if (!its) return [];
    const first = firsts.get(its);
    if (first) return [complaint(server, `${first.color}[${first.index}]`)];
    firsts.set(its, server);
    return [];
  });
}

/** A product is one machine: at another one, its name was copied and not changed. */
function copiedProducts(
  servers: readonly PlacedServer[],
  machineOf: (server: PlacedServer) => string,
): readonly ConfigurationComplaint[] {
  const firsts = new Map<string, PlacedServer>();
  return servers.flatMap((server) => {
    if (!server.entry.ovh) return [];
    const product = JSON.stringify(server.entry.ovh);
    const first = firsts.get(product) ?? server;
    firsts.set(product, first);
    return machineOf(first) === machineOf(server)
      ? []
      : [
          complain(
            pathOf(server, 'ovh'),
            `names the machine that ${first.color}[${first.index}] is, but SSH reaches another one, needs the product of its own machine`,
          ),
        ];
  });
}

/** What a server may leave out only where a default stands for it. */
function incompleteServers({ sections, servers }: ReadableParts): readonly ConfigurationComplaint[] {
  const { program, ssh } = sections;
  return servers.flatMap((server) => {
    const { entry } = server;
    const missing: ConfigurationComplaint[] = [];
    if (program && !('port' in program) && entry.port === undefined) {
      missing.push(complain(pathOf(server, 'port'), 'is missing, needs a port here or as program.port'));
    }
    for (const key of ['user', 'key'] as const) {
      if (ssh && !(key in ssh) && entry.ssh?.[key] === undefined) {
        missing.push(complain(pathOf(server, 'ssh', key), `is missing, needs to be here or as ssh.${key}`));
      }
    }
    return missing;
  });
}

/** One credential: an application key with its consumer key, or a service account. */
function inOvhApi(path: KeyPath, api: LoadBalancerSection['api']): readonly ConfigurationComplaint[] {
  if (!api) return [];
  const has = (key: keyof typeof api): boolean => key in api;
  const account = (['clientId', 'clientSecret', 'tokenUrl'] as const).filter(has);
  const [first] = account;
  if (first === undefined) return [];
  const missing = (['clientId', 'clientSecret'] as const).filter((key) => !has(key));
  const keys = (['applicationKey', 'applicationSecret', 'consumerKey'] as const).filter(has);
  return [
    ...missing.map((key) =>
      complain([...path, key], `is missing, needs to stand beside ${first}: a service account has both`),
    ),
    ...keys.map((key) =>
      complain(
        [...path, key],
        `is given beside ${first}, needs one of the two: an application key with its consumer key, or a service account`,
      ),
    ),
  ];
}

/** Names that are taken, and files that are something else already. */
function inConfiguration({
  sections: { configuration, program, service },
  servers,
}: ReadableParts): readonly ConfigurationComplaint[] {
  if (!configuration) return [];
  const layers: readonly (readonly [KeyPath, Readonly<Record<string, unknown>> | undefined])[] = [
    [['configuration', 'values'], configuration.values],
    [['configuration', 'blue', 'values'], configuration.blue?.values],
    [['configuration', 'green', 'values'], configuration.green?.values],
    ...servers.map((server) => [pathOf(server, 'values'), server.entry.values] as const),
  ];
  const taken = layers.flatMap(([path, values]) =>
    Object.keys(values ?? {})
      .filter(isPlaceholder)
      .map((name) => ({
        path: [...path, name],
        at: 'key' as const,
        message: `is filled in by itself ({{${name}}}), needs another name`,
      })),
  );
  const unit = program?.unit ?? (service && `${service}.service`);
  const special = [
    program?.executable ?? `bin/${service}`,
    program?.unitFile ?? `lib/systemd/system/${unit}`,
  ];
  const { files = [] } = configuration;
  const odd = files.flatMap((file, index) => {
    const path = ['configuration', 'files', index];
    if (files.indexOf(file) !== index) return [complain(path, `is ${file} again, needs each once`)];
    if (special.includes(file))
      return [complain(path, `is ${file}, the program or its unit, needs another file`)];
    return [];
  });
  return [...taken, ...odd];
}

function inLoadBalancer(
  path: KeyPath,
  loadBalancer: Sections['loadBalancer'],
  servers: readonly PlacedServer[],
): readonly ConfigurationComplaint[] {
  if (!loadBalancer) return [];
  if (isPublicCloud(loadBalancer)) return inPublicCloud(path, loadBalancer, servers);
  const { also = [], ...first } = loadBalancer;
  const entries: readonly (readonly [KeyPath, EntrySection])[] = [
    [path, first],
    ...also.map((entry, index) => [[...path, 'also', index], entry] as const),
  ];
  return [
    ...entries.flatMap(([at, entry]) => inEntry(at, entry)),
    ...acrossEntries(entries),
    ...also.flatMap(({ port }, index) => inFurtherPort([...path, 'also', index, 'port'], port, servers)),
    ...inTesters([...path, 'testers'], loadBalancer),
  ];
}

/** Servers that share an address listen on a port each. */
function inFurtherPort(
  path: KeyPath,
  port: NonNullable<LoadBalancerSection['also']>[number]['port'],
  servers: readonly PlacedServer[],
): readonly ConfigurationComplaint[] {
  if (port === undefined) return [];
  const placeOf = ({ color, entry }: PlacedServer): string =>
    `${entry.address}:${typeof port === 'number' ? port : port[color]}`;
  const twice = repeated(servers, placeOf, (server, first) =>
    complain(
      path,
      `makes ${server.entry.name} ${placeOf(server)}, which ${first} is already, needs a port for each environment, or servers with addresses of their own`,
    ),
  );
  return twice.slice(0, 1);
}

type PublicCloudSection = Readable<Extract<Configuration['loadBalancer'], { driver: 'ovh-public-cloud' }>>;
type LoadBalancerSection = Exclude<NonNullable<Sections['loadBalancer']>, PublicCloudSection>;
type EntrySection = Pick<
  LoadBalancerSection,
  'protocol' | 'frontends' | 'stagingFrontend' | 'farms' | 'mixed'
>;

const isPublicCloud = (
  loadBalancer: NonNullable<Sections['loadBalancer']>,
): loadBalancer is PublicCloudSection => loadBalancer.driver === 'ovh-public-cloud';

/** Each object is one thing. */
function inEntry(
  path: KeyPath,
  { frontends = [], stagingFrontend, farms, mixed }: EntrySection,
): readonly ConfigurationComplaint[] {
  const complaints: ConfigurationComplaint[] = [];
  if (farms && farms.blue === farms.green) {
    complaints.push(
      complain([...path, 'farms', 'green'], `is ${farms.green} as blue's is, needs a farm of its own`),
    );
  }
  if (mixed && farms && Object.values(farms).includes(mixed.farm)) {
    complaints.push(
      complain(
        [...path, 'mixed', 'farm'],
        `is ${mixed.farm}, the farm of one environment, needs a farm of its own`,
      ),
    );
  }
  if (stagingFrontend !== undefined && frontends.includes(stagingFrontend)) {
    complaints.push(
      complain(
        [...path, 'stagingFrontend'],
        `is ${stagingFrontend}, which is one of frontends, needs a frontend without traffic`,
      ),
    );
  }
  if (mixed && [...frontends, stagingFrontend].includes(mixed.stagingFrontend)) {
    complaints.push(
      complain(
        [...path, 'mixed', 'stagingFrontend'],
        `is ${mixed.stagingFrontend} again, needs a frontend of its own without traffic`,
      ),
    );
  }
  for (const [index, frontend] of frontends.entries()) {
    if (frontends.indexOf(frontend) !== index) {
      complaints.push(complain([...path, 'frontends', index], `is ${frontend} again, needs each once`));
    }
  }
  return complaints;
}

function acrossEntries(
  entries: readonly (readonly [KeyPath, EntrySection])[],
): readonly ConfigurationComplaint[] {
  const [first, ...further] = entries;
  return further.flatMap(([path, entry], index) => {
    const { protocol, mixed } = entry;
    const earlier = entries
      .slice(0, index + 1)
      .flatMap(([, other]) => (other.protocol === protocol ? frontendsOf(other) : []))
      .map(([, frontend]) => frontend);
    const isMixedElsewhere = first?.[1].mixed !== undefined;
    return [
      ...frontendsOf(entry)
        .filter(([, frontend]) => earlier.includes(frontend))
        .map(([keys, frontend]) => complain([...path, ...keys], `is ${frontend} again, needs each once`)),
      ...((mixed !== undefined) === isMixedElsewhere
        ? []
        : [
            complain(
              [...path, 'mixed'],
              `${mixed ? 'is given here and not' : 'is missing here and given'} in loadBalancer.mixed, needs both or none: traffic is divided alike everywhere`,
            ),
          ]),
    ];
  });
}

/** Every frontend of an entry, and where it stands: none can point at two farms. */
const frontendsOf = ({ frontends = [], stagingFrontend, mixed }: EntrySection) => [
  ...frontends.map((frontend) => [['frontends'], frontend] as const),
  ...(stagingFrontend === undefined ? [] : [[['stagingFrontend'], stagingFrontend] as const]),
  ...(mixed ? [[['mixed', 'stagingFrontend'], mixed.stagingFrontend] as const] : []),
];

function inTesters(
  path: KeyPath,
  { testers, protocol }: LoadBalancerSection,
): readonly ConfigurationComplaint[] {
  if (!testers) return [];
  const given = (['header', 'cookie', 'source'] as const).filter((key) => key in testers);
  if (given.length !== 1) {
    const found = given.length === 0 ? 'says not who testers are' : `has ${given.join(' and ')}`;
    return [complain(path, `${found}, needs one of header, cookie and source`)];
  }
  return protocol === 'tcp' && given[0] !== 'source'
    ? [
        complain(
          [...path, given[0] ?? ''],
          'is given with protocol tcp, needs source: connections have no more',
        ),
      ]
    : [];
}

function inPublicCloud(
  section: KeyPath,
  { listeners, stagingListener, pools, mixed, weights = {} }: PublicCloudSection,
  servers: readonly PlacedServer[],
): readonly ConfigurationComplaint[] {
  const at = (...keys: readonly (string | number)[]): KeyPath => [...section, ...keys];
  const again = (path: readonly string[], ids: readonly string[]): readonly ConfigurationComplaint[] =>
    ids.flatMap((id, index) =>
      ids.indexOf(id) === index ? [] : [complain(at(...path, index), `is ${id} again, needs each once`)],
    );
  const taken = (id: string): boolean => id === pools?.blue || id === pools?.green;
  const isServer = (name: string): boolean => servers.some(({ entry }) => entry.name === name);
  return [
    ...Object.keys(weights)
      .filter((name) => servers.length > 0 && !isServer(name))
      .map((name) => ({
        path: at('weights', name),
        at: 'key' as const,
        message: 'is the name of no server, needs one of environments',
      })),
    ...again(['listeners'], listeners ?? []),
    ...again(['mixed', 'pools'], mixed?.pools ?? []),
    ...(stagingListener !== undefined && listeners?.includes(stagingListener)
      ? [
          complain(
            at('stagingListener'),
            `is ${stagingListener}, which is one of listeners, needs a listener without traffic`,
          ),
        ]
      : []),
    ...(pools && pools.blue === pools.green
      ? [complain(at('pools', 'green'), `is ${pools.green} as blue's is, needs a pool of its own`)]
      : []),
    ...(mixed?.pools ?? []).flatMap((id, index) =>
      taken(id)
        ? [complain(at('mixed', 'pools', index), `is ${id} as one environment's is, needs a pool of its own`)]
        : [],
    ),
  ];
}

function inVerify({ verify, health }: Sections): readonly ConfigurationComplaint[] {
  if (verify?.deadline === undefined) return [];
  const { minimum, passes, every, deadline } = verify;
  const most = `verify.deadline (${describeDuration(deadline)})`;
  const complaints: ConfigurationComplaint[] = [];
  if (minimum !== undefined && minimum > deadline) {
    complaints.push(
      complain(['verify', 'minimum'], `is ${describeDuration(minimum)}, needs at most ${most}`),
    );
  }
  if (passes !== undefined && every !== undefined && passes * every > deadline) {
    complaints.push(
      complain(
        ['verify', 'passes'],
        `is ${passes}, which takes ${describeDuration(passes * every)} at one every ${describeDuration(every)}, needs to fit into ${most}`,
      ),
    );
  }
  if (health?.timeout !== undefined && health.timeout > deadline) {
    complaints.push(
      complain(['health', 'timeout'], `is ${describeDuration(health.timeout)}, needs at most ${most}`),
    );
  }
  return complaints;
}

/** What may fail and what has to be left cannot both be had: the stricter one would win in silence. Told once, not for each color. */
function inFleet({ sections: { fleet, environments } }: ReadableParts): readonly ConfigurationComplaint[] {
  const { mayFail, minCapacity } = fleet ?? {};
  if (mayFail === undefined || minCapacity === undefined) return [];
  const complaints = colors.flatMap((color) => {
    const all = environments?.[color]?.length;
    if (all === undefined) return [];
    const needed = atLeast(minCapacity, all);
    if (needed > all) {
      return [
        complain(['fleet', 'minCapacity'], `is ${needed}, needs at most the ${all} servers of ${color}`),
      ];
    }
    const failing = atMost(mayFail, all);
    if (failing <= all - needed) return [];
    return [
      complain(
        ['fleet', 'mayFail'],
        `lets ${failing} of the ${all} servers of ${color} fail, needs at most ${all - needed}: fleet.minCapacity keeps ${needed}`,
      ),
    ];
  });
  return complaints.slice(0, 1);
}

/** A bake that cannot see enough requests would always end without a verdict. */
function betweenBakeAndProber({ bake, prober }: Sections): readonly ConfigurationComplaint[] {
  const { duration, minRequests } = bake ?? {};
  const rate = prober?.requestsPerSecond;
  if (duration === undefined || minRequests === undefined || rate === undefined) return [];
  const most = Math.floor((rate * duration) / 1_000);
  if (minRequests <= most) return [];
  return [
    complain(
      ['bake', 'minRequests'],
      `is ${minRequests}, but the prober sends ${most} in ${describeDuration(duration)} (${rate} per second), needs ${most} at most, a longer bake.duration or a higher prober.requestsPerSecond`,
    ),
  ];
}

function inPublicAddress(path: KeyPath, url: string | undefined): readonly ConfigurationComplaint[] {
  if (url === undefined) return [];
  const { pathname } = new URL(url);
  return pathname === '/'
    ? []
    : [
        complain(
          path,
          `ends in the path ${pathname}, needs none: what is asked there is prober.path and publicAddress.identify.path`,
        ),
      ];
}
