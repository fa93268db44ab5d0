import { Option, type Command } from 'commander';
import { loadBalancersOf, type Service } from '../../../domain/service.js';
import {
  discover as discoverAll,
  proposalFor,
  type Discovered,
  type Proposal,
} from '../../../drivers/load-balancers/ovh-iplb/discovery.js';
import {
  balancerProposal,
  discoverBalancers,
  type BalancerProposal,
  type FoundBalancer,
} from '../../../drivers/load-balancers/ovh-public-cloud/discovery.js';
import { discoverRights, publicCloudDiscoverRights } from '../../../ovh/rights.js';
import { isUnnamed } from '../../configuration/unnamed.js';
import { edited, sectionIn, type Edit } from '../../configuration/writing.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { columns } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { entrancesOf, type OvhSettings } from './entrance.js';
import { calling, foundCredential, withCredential, type CredentialOptions } from './credential.js';
import { serviceIfAny } from './purpose.js';
import { publicCloudSectionOf, sectionOf } from './section.js';

export interface DiscoverOptions extends ConfigurationOptions, CredentialOptions {
  readonly loadBalancer?: string;
  readonly driver?: 'ovh-iplb' | 'ovh-public-cloud';
}

export function defineDiscover(command: Command): void {
  withConfiguration(command)
    .description(
      'Finds load balancers and what is in them, and proposes the section loadBalancer: of verdigris.yaml. Changes nothing.',
    )
    .option('--load-balancer <name>', 'this one only (default: every one that the credential may see)')
    .addOption(
      new Option(
        '--driver <driver>',
        'which kind of load balancer (default: every kind that the configuration has, else ovh-iplb)',
      ).choices(['ovh-iplb', 'ovh-public-cloud']),
    )
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh discover --keys-file keys.env',
    'Farms and pools are told apart by the servers in them where there is a verdigris.yaml that names them, else by blue and green in their names. What is missing is said: verdigris ovh provision creates it.',
  );
}

export async function discover(options: DiscoverOptions): Promise<number> {
  const service = serviceIfAny(options.config, options.destination);
  const output = createOutput(options.json === true);
  const drivers = options.driver === undefined ? driversOf(service) : [options.driver];
  const found: unknown[] = [];
  const hosts: string[] = [];
  for (const driver of drivers) {
    const look = driver === 'ovh-iplb' ? discoverIplbs : discoverPublicClouds;
    const seen = await look(options, output, service && withBalancerOf(service, driver));
    found.push(...seen.found);
    hosts.push(seen.host);
  }
  if (found.length === 0) throw noneFound([...new Set(hosts)].join(' and '));
  output.document(found);
  return 0;
}

type OvhDriver = 'ovh-iplb' | 'ovh-public-cloud';

/** Every kind that the configuration has. */
function driversOf(service: Service | undefined): readonly OvhDriver[] {
  const known = (service ? loadBalancersOf(service) : []).map(({ driver }) => driver);
  const drivers = (['ovh-iplb', 'ovh-public-cloud'] as const).filter((driver) => known.includes(driver));
  return drivers.length === 0 ? ['ovh-iplb'] : drivers;
}

/** The service, reached as its first load balancer of a kind is, where it has one. */
const withBalancerOf = (service: Service, driver: OvhDriver): Service => ({
  ...service,
  loadBalancer: loadBalancersOf(service).find((one) => one.driver === driver) ?? service.loadBalancer,
});

/** What there is, for machines, and where. */
interface Seen {
  readonly host: string;
  readonly found: readonly unknown[];
}

type Look = (options: DiscoverOptions, output: Output, service: Service | undefined) => Promise<Seen>;

const discoverIplbs: Look = async (options, output, service) => {
  const credential = foundCredential(options, service);
  const keys = await credential.keys();
  const task = {
    action: 'look for load balancers',
    purpose: 'discover',
    rights: discoverRights(options.loadBalancer),
  } as const;
  return calling(credential, keys, options, task, async (api) => {
    const found = await discoverAll(api, options.loadBalancer);
    const proposals = found.map((one) => proposalFor(one, service));
    for (const [index, one] of found.entries()) {
      const proposal = proposals[index];
      if (!proposal) continue;
      const section = sectionOf(proposal, credential.endpoint);
      output.say([
        ...shown(one),
        ...proposed(proposal.open, filledIn(options, service, proposal) ?? section),
      ]);
    }
    const documents = found.map(({ configuration: _stored, ...one }, index) => ({
      ...one,
      proposal: proposals[index],
    }));
    return { host: api.host, found: documents };
  });
};

const discoverPublicClouds: Look = async (options, output, service) => {
  const credential = foundCredential(options, service);
  const keys = await credential.keys();
  const projects = (service ? loadBalancersOf(service) : []).flatMap((settings) =>
    settings.driver === 'ovh-public-cloud' ? [settings.project] : [],
  );
  const wanted: readonly (string | undefined)[] =
    projects.length === 0 ? [undefined] : [...new Set(projects)];
  const task = {
    action: 'look for load balancers',
    purpose: 'discover',
    rights: wanted.flatMap((project) => publicCloudDiscoverRights(project)),
  } as const;
  const id = options.loadBalancer === undefined ? {} : { id: options.loadBalancer };
  return calling(credential, keys, options, task, async (api) => {
    const found: FoundBalancer[] = [];
    for (const project of wanted)
      found.push(...(await discoverBalancers(api, { ...(project === undefined ? {} : { project }), ...id })));
    const proposals = found.map((one) => balancerProposal(one, service));
    for (const [index, one] of found.entries()) {
      const proposal = proposals[index];
      if (!proposal) continue;
      const section = publicCloudSectionOf(proposal, credential.endpoint);
      output.say([
        ...shownBalancer(one),
        ...proposed(proposal.open, filledIn(options, service, proposal) ?? section),
      ]);
    }
    return { host: api.host, found: found.map((one, index) => ({ ...one, proposal: proposals[index] })) };
  });
};

/** What the configuration says of this very load balancer already, with what was found for the objects that it does not name. */
function filledIn(
  { config, destination }: DiscoverOptions,
  service: Service | undefined,
  proposal: Proposal | BalancerProposal,
): readonly string[] | undefined {
  const entrance = (service ? entrancesOf(service) : []).find(({ settings }) =>
    'serviceName' in proposal
      ? settings.driver === 'ovh-iplb' && settings.serviceName === proposal.serviceName
      : settings.driver === 'ovh-public-cloud' && settings.id === proposal.id,
  );
  if (!entrance) return undefined;
  const { settings, path } = entrance;
  const edits = keysOf(settings, proposal).map(([key, value]): Edit => ({
    path: [...path, 'loadBalancer', ...key],
    value,
  }));
  const files = edited(config, destination, edits);
  if (files.size === 0) return ['# the configuration names all of it already'];
  return [...files].flatMap(([file, text]) => [
    `# in ${file}:`,
    ...(sectionIn(text, path.length === 0 ? 'loadBalancer' : 'regions') ?? text).split('\n'),
  ]);
}

type Id = Edit['value'];

/** Keys of one section that are not named yet and were found. */
function keysOf(
  settings: OvhSettings,
  proposal: Proposal | BalancerProposal,
): readonly (readonly [readonly string[], Id])[] {
  const known = flattened(settings);
  const isNamed = (id: Id): boolean => !isUnnamed(typeof id === 'object' ? (id[0] ?? 0) : id);
  const isNew = ![...known.values()].every(isNamed);
  return [...flattened(proposal)]
    .filter(([key]) => {
      const id = known.get(key);
      // Whoever has named everything else has left it out on purpose.
      return id === undefined ? isNew && key === 'stagingListener' : !isNamed(id);
    })
    .map(([key, id]) => [key.split('.'), id]);
}

/** Ids of one load balancer by their keys: `farms.blue`. */
function flattened(settings: object, prefix = ''): ReadonlyMap<string, Id> {
  return new Map(
    Object.entries(settings).flatMap(([key, value]: [string, unknown]): (readonly [string, Id])[] => {
      if (typeof value === 'number' || typeof value === 'string') return [[`${prefix}${key}`, value]];
      if (typeof value !== 'object' || value === null) return [];
      if (!Array.isArray(value)) return [...flattened(value, `${prefix}${key}.`)];
      return value.every((one) => ['number', 'string'].includes(typeof one))
        ? [[`${prefix}${key}`, value as Id]]
        : [];
    }),
  );
}

const proposed = (open: readonly string[], section: readonly string[]): readonly string[] => [
  '',
  ...open.map((why) => `# ${why}`),
  ...section,
  '',
];

const noneFound = (host: string): Refusal =>
  new Refusal(
    `Cannot find a load balancer: ${host} shows none to this credential, needs one that was ordered, and the right to see it`,
  );

function shownBalancer(found: FoundBalancer): readonly string[] {
  const { project, region, id, name, provisioningStatus, address, listeners, pools } = found;
  const rows: readonly (readonly [string, string])[] = [
    ...listeners.map((one): [string, string] => [
      `listener/${one.id}`,
      `port ${one.port} -> ${one.defaultPoolId ? `pool ${one.defaultPoolId}` : 'no pool'}${named(one.name)}`,
    ]),
    ...pools.flatMap((pool): [string, string][] => [
      [`pool/${pool.id}`, `${pool.protocol}, ${pool.algorithm}${named(pool.name)}`],
      ...pool.members.map((member): [string, string] => [
        `  member/${member.id}`,
        `${member.address}:${member.protocolPort} weight ${member.weight ?? 1}`,
      ]),
    ]),
  ];
  return [
    `${id}${named(name)}: ${[provisioningStatus, address, `project ${project}`, region].filter(Boolean).join(', ')}`,
    ...columns(rows).map((line) => `  ${line}`),
  ];
}

function shown({
  serviceName,
  displayName,
  state,
  zones,
  address,
  configuration,
}: Discovered): readonly string[] {
  const { frontends, farms, servers, routes } = configuration;
  const rows: readonly (readonly [string, string])[] = [
    ...[...frontends].map(([name, { port, defaultFarmId, displayName: words }]): [string, string] => [
      name,
      `port ${String(port)} -> ${defaultFarmId ? `farm ${defaultFarmId}` : 'no farm'}${named(words)}`,
    ]),
    ...[...farms].flatMap(([name, { displayName: words, port }]): [string, string][] => [
      [name, `port ${port ?? 'of its frontend'}${named(words)}`],
      ...[...servers]
        .filter(([server]) => server.startsWith(`${name}/server/`))
        .map(([server, { address: at, port: own, status }]): [string, string] => [
          `  ${server.slice(name.length + 1)}`,
          `${at}:${own ?? port ?? '?'} ${status}`,
        ]),
    ]),
    ...[...routes].map(([name, { action, frontendId }]): [string, string] => [
      name,
      `${action.type} of frontend ${frontendId ?? 'none'}`,
    ]),
  ];
  return [
    `${serviceName}${named(displayName)}: ${[state, address, `zones ${zones.join(', ')}`].filter(Boolean).join(', ')}`,
    ...columns(rows).map((line) => `  ${line}`),
  ];
}

const named = (words: unknown): string => (typeof words === 'string' && words !== '' ? ` "${words}"` : '');
