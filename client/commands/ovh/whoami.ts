import type { Command } from 'commander';
import { exitCodes } from '../../../domain/deployment.js';
import { credentialLacks } from '../../../domain/credential-lacks.js';
import { Failure } from '../../../domain/failures.js';
import { productsOf, type OvhProduct, type Service } from '../../../domain/service.js';
import type { OvhApi } from '../../../ovh/api.js';
import { credentialDetails, currentCredential } from '../../../ovh/credential.js';
import { balancerResourceOf, deployRights, machineRights, resourceOf } from '../../../ovh/rights.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { columns, count } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { calling, foundCredential, withCredential, type CredentialOptions } from './credential.js';
import type { OvhSettings } from './entrance.js';
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

/** One credential, and what it is for. */
interface Use {
  /** Empty where the service has one load balancer, or there is none to know of. */
  readonly regions: readonly string[];
  readonly service: Service | undefined;
  readonly balancers: readonly OvhSettings[];
  readonly machines: readonly OvhProduct[];
}

interface Told extends Identity {
  /** Missing where it may not even be told. */
  readonly lacking: readonly string[] | null;
  readonly machinesLacking: readonly string[];
}

export async function whoami(options: WhoamiOptions): Promise<number> {
  const output = createOutput(options.json === true);
  const uses = usesOf(serviceIfAny(options.config, options.destination));
  const told = new Map<Use, Told>();
  const troubles: string[] = [];
  for (const use of uses) {
    try {
      const one = await ask(use, options);
      told.set(use, one);
      tell(output, use, one);
    } catch (error) {
      if (uses.length === 1 || !(error instanceof Refusal || error instanceof Failure)) throw error;
      troubles.push(`${use.regions.join(', ')}: ${error.message}`);
    }
  }
  if (troubles.length > 0) throw new Refusal(troubles.join('\n'));
  const all = [...told].map(([{ regions }, one]) => ({ regions, ...one }));
  output.document(uses.length === 1 ? told.get(uses[0]) : { credentials: all });
  return all.every(({ lacking }) => lacking === null || lacking.length === 0) ? 0 : exitCodes.refused;
}

/** Each credential once: regions may have one of their own. Machines are looked at with that of the first load balancer. */
function usesOf(service: Service | undefined): readonly [Use, ...Use[]] {
  const uses = new Map<string, Use>();
  for (const { name, settings } of service ? balancersOf(service) : []) {
    const credential = JSON.stringify(settings.api);
    const same = uses.get(credential);
    uses.set(credential, {
      regions: [...(same?.regions ?? []), ...(name === undefined ? [] : [name])],
      service: same?.service ?? (service && { ...service, loadBalancer: settings }),
      balancers: [...(same?.balancers ?? []), settings],
      machines: same?.machines ?? (uses.size === 0 ? productsOf(service) : []),
    });
  }
  const [first = { regions: [], service, balancers: [], machines: [] }, ...others] = uses.values();
  return [first, ...others];
}

const balancersOf = ({ regions, loadBalancer }: Service) =>
  (regions ?? [{ name: undefined, loadBalancer }]).flatMap(({ name, loadBalancer: settings }) =>
    settings.driver === 'in-memory' ? [] : [{ name, settings }],
  );

async function ask({ service, balancers, machines }: Use, options: WhoamiOptions): Promise<Told> {
  const found = foundCredential(options, service);
  const keys = await found.keys();
  const isAccount = 'clientId' in keys;
  return calling(found, keys, options, { action: 'tell whose credential it is' }, async (api) => ({
    ...(await identityOf(api, isAccount)),
    lacking: (await lackingOf(api, balancers.map(needOf), isAccount)) ?? null,
    machinesLacking: (await lackingOf(api, machineNeeds(balancers, machines), isAccount)) ?? [],
  }));
}

function tell(output: Output, { regions, service }: Use, told: Told): void {
  const { lacking, machinesLacking } = told;
  output.say([...(regions.length === 0 ? [] : [`${regions.join(', ')}:`]), ...shown(told)]);
  if (Math.abs(told.clockAheadS) > tolerableS) output.notice(clockNotice(told.clockAheadS));
  if (service && lacking) {
    const what = `${service.id}${regions.length === 0 ? '' : ` in ${regions.join(', ')}`}`;
    output.say(
      lacking.length === 0
        ? `It can do all that ${what} needs.`
        : credentialLacks(`deploy "${what}"`, told.kind, lacking),
    );
  } else
    output.say('What it lacks is not known: there is no configuration to compare with, or it may not ask.');
  if (machinesLacking.length > 0) output.notice(unseenNotice(machinesLacking));
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

const needOf = (settings: OvhSettings): Need => ({
  rights: deployRights(settings),
  urn: urnOf(settings, balancerResourceOf(settings)),
});

const machineNeeds = (
  [settings]: readonly OvhSettings[],
  machines: readonly OvhProduct[],
): readonly Need[] =>
  settings
    ? machines.map((product) => ({
        rights: machineRights(product),
        urn: urnOf(settings, resourceOf(product)),
      }))
    : [];

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
