import type { ConfigurationComplaint } from '../../../configuration/complaints.js';
import type { KeyPath } from '../../../configuration/documents.js';
import { complain, type PlacedServer, type Sections } from '../readable-parts.js';
import { repeated } from './servers.js';
import { inPublicCloud, type PublicCloudSection } from './public-cloud.js';

export function inLoadBalancer(
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

/** One credential: an application key with its consumer key, or a service account. */
export function inOvhApi(path: KeyPath, api: LoadBalancerSection['api']): readonly ConfigurationComplaint[] {
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
