import type { Command } from 'commander';
import { exitCodes } from '../../../domain/deployment.js';
import { credentialLacks } from '../../../domain/credential-lacks.js';
import { loadBalancersOf, productsOf, type Service } from '../../../domain/service.js';
import type { OvhApi } from '../../../ovh/api.js';
import { credentialDetails, currentCredential } from '../../../ovh/credential.js';
import { balancerResourceOf, deployRights, machineRights, resourceOf } from '../../../ovh/rights.js';
import { createOutput } from '../../output.js';
import { columns, count } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { calling, foundCredential, withCredential, type CredentialOptions } from './credential.js';
import { lackingOf, urnOf, type Need } from './need.js';
import { serviceIfAny } from './purpose.js';

export interface WhoamiOptions extends ConfigurationOptions, CredentialOptions {}

export function defineWhoami(command: Command): void {
  withConfiguration(command)
    .description('Tells whose credential it is, how long it is good for, and what it lacks. Changes nothing.')
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh whoami --worker-config /etc/verdigris/worker.yaml',
    'Exit code 0: it can do all that the configuration needs; 2: it cannot, and everything that is missing is named.',
  );
}

interface Identity {
  readonly host: string;
  readonly account: string;
  readonly kind: 'consumer key' | 'service account';
  readonly expiresAt?: string;
  readonly allowedIps?: readonly string[];
  readonly rules?: number;
  readonly identity?: string;
  /** This machine's clock minus the API's, in seconds. */
  readonly clockAheadS: number;
}

/** Signatures go by the API's own clock, so that more is no fault of theirs; everything else of this machine suffers. */
const tolerableS = 10;

const clockNotice = (aheadS: number): string =>
  `This machine's clock is ${Math.abs(aheadS)} s ${aheadS > 0 ? 'ahead of' : 'behind'} the API's: calls are signed by the API's clock, but certificates, records and deadlines go by this one\n  compare: timedatectl`;

export async function whoami(options: WhoamiOptions): Promise<number> {
  const output = createOutput(options.json === true);
  const service = serviceIfAny(options.config, options.destination);
  const found = foundCredential(options, service);
  const keys = await found.keys();
  const isAccount = 'clientId' in keys;
  return calling(found, keys, options, { action: 'tell whose credential it is' }, async (api) => {
    const who = await identityOf(api, isAccount);
    const lacking = await lackingOf(api, balancerNeeds(service), isAccount);
    const unseen = (await lackingOf(api, machineNeeds(service), isAccount)) ?? [];
    output.say(shown(who));
    if (Math.abs(who.clockAheadS) > tolerableS) output.notice(clockNotice(who.clockAheadS));
    if (service && lacking) {
      output.say(
        lacking.length === 0
          ? `It can do all that ${service.id} needs.`
          : credentialLacks(`deploy "${service.id}"`, who.kind, lacking),
      );
    } else
      output.say('What it lacks is not known: there is no configuration to compare with, or it may not ask.');
    if (unseen.length > 0) output.notice(unseenNotice(unseen));
    output.document({ ...who, lacking: lacking ?? null, machinesLacking: unseen });
    return lacking === undefined || lacking.length === 0 ? 0 : exitCodes.refused;
  });
}

async function identityOf(api: OvhApi, isAccount: boolean): Promise<Identity> {
  const details = await credentialDetails(api);
  const clockAheadS = Math.round((Date.now() - (await api.time())) / 1_000);
  const who = { host: api.host, account: details.account ?? 'unknown', clockAheadS };
  if (isAccount) {
    const [identity] = details.identities ?? [];
    return { ...who, kind: 'service account', ...(identity === undefined ? {} : { identity }) };
  }
  const { expiration, rules, allowedIPs } = await currentCredential(api);
  return {
    ...who,
    kind: 'consumer key',
    rules: rules.length,
    ...(expiration ? { expiresAt: expiration } : {}),
    ...(allowedIPs ? { allowedIps: allowedIPs } : {}),
  };
}

const balancersOf = (service: Service | undefined) =>
  (service ? loadBalancersOf(service) : []).filter((settings) => settings.driver !== 'in-memory');

const balancerNeeds = (service: Service | undefined): readonly Need[] =>
  balancersOf(service).map((settings) => ({
    rights: deployRights(settings),
    urn: urnOf(settings, balancerResourceOf(settings)),
  }));

/** Machines are looked at with the credential of the load balancer. */
const machineNeeds = (service: Service | undefined): readonly Need[] =>
  balancersOf(service)
    .slice(0, 1)
    .flatMap((settings) =>
      productsOf(service).map((product) => ({
        rights: machineRights(product),
        urn: urnOf(settings, resourceOf(product)),
      })),
    );

/** A deployment goes on without: it says what it could not see. */
const unseenNotice = (lacking: readonly string[]): string =>
  [
    'Of the machines it cannot see everything, which keeps no deployment from starting; it lacks',
    ...lacking,
  ].join('\n  ');

const shown = (who: Identity): readonly string[] =>
  columns([
    ['account', who.account],
    ['endpoint', who.host],
    ['credential', who.kind],
    ...(who.identity === undefined ? [] : [['identity', who.identity] as const]),
    ...(who.rules === undefined ? [] : [['may', `${count(who.rules, 'access rule')}`] as const]),
    ...(who.kind === 'consumer key' ? [['expires', who.expiresAt ?? 'never'] as const] : []),
    ...(who.allowedIps === undefined ? [] : [['only from', who.allowedIps.join(', ')] as const]),
  ]);
