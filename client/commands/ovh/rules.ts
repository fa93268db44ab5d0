import { InvalidArgumentError, type Command } from 'commander';
import { loadBalancersOf, productsOf, type Service } from '../../../domain/service.js';
import { ovhEndpoint } from '../../../ovh/endpoint.js';
import { actionsOf, balancerResourceOf, describeRight, resourceOf, selfRights } from '../../../ovh/rights.js';
import { createOutput } from '../../output.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { purposeOption, rightsFor, serviceFor, type Purpose } from './purpose.js';

export interface RulesOptions extends ConfigurationOptions {
  readonly for: Purpose;
  readonly policy?: boolean;
  readonly identity?: string;
}

export function defineRules(command: Command): void {
  withConfiguration(command)
    .description(
      'Prints what a credential must be allowed, as access rules or as an IAM policy. Calls nothing.',
    )
    .addOption(purposeOption())
    .option('--policy', 'an IAM policy for a service account instead of access rules')
    .option('--identity <urn>', 'whom the policy is for (default: to be filled in)', urn)
    .addOption(jsonOption());
  teach(
    command,
    'verdigris ovh rules --policy > policy.json',
    'Access rules are what verdigris ovh login asks for. A policy is given to OVHcloud with POST /v2/iam/policy, or in the control panel under IAM.',
  );
}

/** A URN with a slip in it is refused by the API with a 400 that names nothing. */
function urn(text: string): string {
  if (!/^urn:v1:(eu|ca|us):[A-Za-z]+(:[A-Za-z0-9._@/-]+)+$/.test(text))
    throw new InvalidArgumentError(
      'Needs a URN such as urn:v1:eu:identity:credential:ab1234-ovh/oauth2-0123.',
    );
  return text;
}

export function rules(options: RulesOptions): Promise<number> {
  const service = serviceFor(options.for, options);
  const needed = rightsFor(options.for, service);
  const output = createOutput(options.json === true);
  const settings = service?.loadBalancer;
  if (options.policy === true) {
    const isOurs = settings !== undefined && settings.driver !== 'in-memory';
    const { region } = ovhEndpoint(isOurs ? settings.api.endpoint : 'ovh-eu');
    const name =
      service === undefined ? 'verdigris-discover' : `verdigris-${service.name}-${service.destination}`;
    const resources = resourcesFor(options.for, service);
    const machines = options.for === 'deploy' ? productsOf(service) : [];
    const policy = {
      name,
      description: `What Verdigris calls to ${options.for}${service === undefined ? '' : ` ${service.id}`}`,
      identities: [options.identity ?? `urn:v1:${region}:identity:credential:ACCOUNT/oauth2-CLIENT_ID`],
      resources: [...new Set([...resources, ...machines.map(resourceOf)])].map((resource) => ({
        urn: `urn:v1:${region}:resource:${resource}`,
      })),
      permissions: { allow: actionsOf(needed).map((action) => ({ action })) },
    };
    // JSON is what a policy is given as, so people see the same.
    output.say(JSON.stringify(policy, undefined, 2));
    output.document(policy);
    return Promise.resolve(0);
  }
  const all = [...selfRights, ...needed];
  output.say(all.map(describeRight));
  output.document(all.map(({ method, path }) => ({ method, path })));
  return Promise.resolve(0);
}

/** The load balancers of a service as IAM names them; for a look around every one of their kind. */
function resourcesFor(purpose: Purpose, service: Service | undefined): readonly string[] {
  const all = (service ? loadBalancersOf(service) : [])
    .filter((settings) => settings.driver !== 'in-memory')
    .map(balancerResourceOf);
  const kinds = all.map((resource) => resource.replace(/:.*/, ':*'));
  return all.length === 0 ? ['loadbalancer:*'] : purpose === 'discover' ? kinds : all;
}
