import { Option, type Command } from 'commander';
import type { Service } from '../../../domain/service.js';
import {
  discover as discoverAll,
  proposalFor,
  type Discovered,
} from '../../../drivers/load-balancers/ovh-iplb/discovery.js';
import {
  balancerProposal,
  discoverBalancers,
  type FoundBalancer,
} from '../../../drivers/load-balancers/ovh-public-cloud/discovery.js';
import { discoverRights, publicCloudDiscoverRights } from '../../../ovh/rights.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { columns } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
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
        'which kind of load balancer (default: as the configuration has it, else ovh-iplb)',
      ).choices(['ovh-iplb', 'ovh-public-cloud']),
    )
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh discover --keys-file keys.env',
    'Farms are told apart by the servers in them where there is a verdigris.yaml that names them, else by blue and green in their names. What is missing is said: verdigris ovh provision creates it.',
  );
}

export async function discover(options: DiscoverOptions): Promise<number> {
  const service = serviceIfAny(options.config, options.destination);
  const known = service?.loadBalancer.driver;
  const driver = options.driver ?? (known === 'ovh-public-cloud' ? known : 'ovh-iplb');
  const look = driver === 'ovh-iplb' ? discoverIplbs : discoverPublicClouds;
  return look(options, createOutput(options.json === true), service);
}

type Look = (options: DiscoverOptions, output: Output, service: Service | undefined) => Promise<number>;

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
    if (found.length === 0) throw noneFound(api.host);
    const proposals = found.map((one) => proposalFor(one, service));
    for (const [index, one] of found.entries()) {
      const proposal = proposals[index];
      if (!proposal) continue;
      output.say([...shown(one), ...proposed(proposal.open, sectionOf(proposal, credential.endpoint))]);
    }
    output.document(
      found.map(({ configuration: _stored, ...one }, index) => ({ ...one, proposal: proposals[index] })),
    );
    return 0;
  });
};

const discoverPublicClouds: Look = async (options, output, service) => {
  const credential = foundCredential(options, service);
  const keys = await credential.keys();
  const settings = service?.loadBalancer;
  const project = settings?.driver === 'ovh-public-cloud' ? settings.project : undefined;
  const task = {
    action: 'look for load balancers',
    purpose: 'discover',
    rights: publicCloudDiscoverRights(project),
  } as const;
  const only = {
    ...(project === undefined ? {} : { project }),
    ...(options.loadBalancer === undefined ? {} : { id: options.loadBalancer }),
  };
  return calling(credential, keys, options, task, async (api) => {
    const found = await discoverBalancers(api, only);
    if (found.length === 0) throw noneFound(api.host);
    const proposals = found.map((one) => balancerProposal(one, service));
    for (const [index, one] of found.entries()) {
      const proposal = proposals[index];
      if (!proposal) continue;
      const section = publicCloudSectionOf(proposal, credential.endpoint);
      output.say([...shownBalancer(one), ...proposed(proposal.open, section)]);
    }
    output.document(found.map((one, index) => ({ ...one, proposal: proposals[index] })));
    return 0;
  });
};

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
