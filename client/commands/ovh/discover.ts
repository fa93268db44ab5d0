import type { Command } from 'commander';
import {
  discover as discoverAll,
  proposalFor,
  type Discovered,
} from '../../../drivers/load-balancers/ovh-iplb/discovery.js';
import { discoverRights } from '../../../ovh/rights.js';
import { createOutput } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { columns } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { calling, foundCredential, withCredential, type CredentialOptions } from './credential.js';
import { serviceIfAny } from './purpose.js';
import { sectionOf } from './section.js';

export interface DiscoverOptions extends ConfigurationOptions, CredentialOptions {
  readonly loadBalancer?: string;
}

export function defineDiscover(command: Command): void {
  withConfiguration(command)
    .description(
      'Finds load balancers, frontends, farms and servers, and proposes the section loadBalancer: of verdigris.yaml. Changes nothing.',
    )
    .option('--load-balancer <name>', 'this one only (default: every one that the credential may see)')
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh discover --env-file keys.env',
    'Farms are told apart by the servers in them where there is a verdigris.yaml that names them, else by blue and green in their names. What is missing is said: verdigris ovh provision creates it.',
  );
}

export async function discover(options: DiscoverOptions): Promise<number> {
  const output = createOutput(options.json === true);
  const service = serviceIfAny(options.config, options.destination);
  const credential = foundCredential(options, service);
  const keys = await credential.keys();
  const task = {
    action: 'look for load balancers',
    purpose: 'discover',
    rights: discoverRights(options.loadBalancer),
  } as const;
  return calling(credential, keys, options, task, async (api) => {
    const found = await discoverAll(api, options.loadBalancer);
    if (found.length === 0) {
      throw new Refusal(
        `Cannot find a load balancer: ${api.host} shows none to this credential, needs one that was ordered, and the right to see it`,
      );
    }
    const proposals = found.map((one) => proposalFor(one, service));
    for (const [index, one] of found.entries()) {
      const proposal = proposals[index];
      if (!proposal) continue;
      output.say([
        ...shown(one),
        '',
        ...proposal.open.map((why) => `# ${why}`),
        ...sectionOf(proposal, credential.endpoint),
        '',
      ]);
    }
    output.document(
      found.map(({ configuration: _stored, ...one }, index) => ({ ...one, proposal: proposals[index] })),
    );
    return 0;
  });
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
