import { Option, type Command } from 'commander';
import { colors } from '../../../domain/color.js';
import { exitCodes } from '../../../domain/deployment.js';
import type { OvhIplbSettings, Service } from '../../../domain/service.js';
import {
  Provisioner,
  type Provisioned,
  type Survey,
} from '../../../drivers/load-balancers/ovh-iplb/provisioning.js';
import { describeStep, type Wish } from '../../../drivers/load-balancers/ovh-iplb/provisioning-plan.js';
import { provisionRights } from '../../../ovh/rights.js';
import { noIds, readServiceWithoutIds } from '../../configuration/configuration.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { count } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { calling, foundCredential, withCredential, type CredentialOptions } from './credential.js';
import { sectionOf } from './section.js';

export interface ProvisionOptions extends ConfigurationOptions, CredentialOptions {
  readonly plan?: boolean;
  readonly apply?: boolean;
  readonly publishStaged?: boolean;
  readonly stagingPort?: number;
  readonly stagingSource?: readonly string[];
}

/** Nobody: probes do not come through it. */
const nobody = ['127.0.0.1/32'];

export function defineProvision(command: Command): void {
  withConfiguration(command)
    .description(
      'Creates what blue-green needs on a load balancer that exists: two farms with their servers, a frontend that references the idle one, and what the configuration asks for beside that (mixed, fallback, testers). Never edits, renames or deletes.',
    )
    .addOption(
      new Option('--plan', 'show what would be created, and create nothing (the default)').conflicts('apply'),
    )
    .option('--apply', 'show it, create it, and publish it with one refresh')
    .option('--publish-staged', 'publish edits that were stored before, too')
    .addOption(
      new Option(
        '--staging-port <port>',
        'where the staging frontend listens (default: the first free one from 8888)',
      ).argParser(Number),
    )
    .option('--staging-source <cidr...>', 'who may reach the staging frontend (default: nobody)')
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh provision --plan',
    'Objects are recognised by their display name (verdigris:greeter@production:blue), so that it can be run again. Afterwards it prints the section loadBalancer: for verdigris.yaml.',
  );
}

export async function provision(options: ProvisionOptions): Promise<number> {
  const output = createOutput(options.json === true);
  const service = readServiceWithoutIds(options.config, options.destination);
  const settings = iplbOf(service);
  const wish = wishFor(service, settings, options);
  const found = foundCredential(options, service);
  const keys = await found.keys();
  const task = {
    action: `provision "${settings.serviceName}"`,
    purpose: 'provision',
    rights: provisionRights(settings),
  } as const;
  return calling(found, keys, options, task, async (api) => {
    const provisioner = new Provisioner(api, wish);
    const survey = await provisioner.survey();
    output.say(shown(survey, settings));
    const { steps, notes, refusals } = survey.plan;
    if (refusals.length > 0 || options.apply !== true) {
      output.document({ steps: steps.map(describeStep), notes, refusals });
      return refusals.length > 0 ? exitCodes.refused : 0;
    }
    const provisioned = await provisioner.apply(survey, options.publishStaged === true, (what) =>
      progress(output, what),
    );
    output.say(closing(provisioned, settings));
    output.document({ ...provisioned, notes, refusals });
    return 0;
  });
}

const progress = (output: Output, what: string): void => {
  if (output.interactive) output.notice(`  ${what}`);
};

function iplbOf({ loadBalancer, regions }: Service): OvhIplbSettings {
  if (regions)
    throw new Refusal(
      `Cannot provision: the service has ${count(regions.length, 'region')}, needs one load balancer\n  give each region a file of its own, with its loadBalancer and its servers, and one after the other: verdigris ovh provision --config FILE`,
    );
  if (loadBalancer.driver === 'ovh-iplb') return loadBalancer;
  throw new Refusal(
    `Cannot provision: the load balancer is ${loadBalancer.driver}, needs ovh-iplb\n  what a Public Cloud Load Balancer needs is in docs/public-cloud-load-balancer.md`,
  );
}

function wishFor(service: Service, settings: OvhIplbSettings, options: ProvisionOptions): Wish {
  const { stagingPort, stagingSource = nobody } = options;
  if (
    stagingPort !== undefined &&
    !(Number.isInteger(stagingPort) && stagingPort >= 1 && stagingPort <= 49_151)
  ) {
    throw new Refusal('Cannot use this --staging-port: needs a whole number, 1 to 49151');
  }
  return {
    service,
    settings,
    missing: {
      farms: colors.filter((color) => settings.farms[color] === noIds[color]),
      stagingFrontend: settings.stagingFrontend === noIds.stagingFrontend,
      mixedFarm: settings.mixed?.farm === noIds.mixedFarm,
      mixedStagingFrontend: settings.mixed?.stagingFrontend === noIds.mixedStagingFrontend,
      testersRoute: settings.testers?.route === noIds.testersRoute,
    },
    stagingPort,
    stagingSources: stagingSource,
  };
}

function shown(
  { plan: { steps, notes, refusals }, pending }: Survey,
  { serviceName }: OvhIplbSettings,
): readonly string[] {
  const told = [
    ...notes.map((note) => `  note: ${note}`),
    ...(pending.length === 0
      ? []
      : ['  note: edits of somebody, or of an earlier run, are stored and not published']),
  ];
  if (refusals.length > 0) {
    return [`Cannot provision "${serviceName}":`, ...refusals.map((refusal) => `  ${refusal}`), ...told];
  }
  if (steps.length === 0) return [`Everything is there on ${serviceName}: nothing to create.`, ...told];
  return [
    `${count(steps.length, 'object')} to create on ${serviceName}, published with one refresh:`,
    ...steps.map((step) => `  ${describeStep(step)}`),
    ...told,
  ];
}

const closing = (
  { created, farms, stagingFrontend, mixed, testersRoute }: Provisioned,
  settings: OvhIplbSettings,
): readonly string[] => [
  '',
  created.length === 0 ? 'Nothing was created.' : `Created and published: ${created.join(', ')}.`,
  'In verdigris.yaml:',
  '',
  ...sectionOf(
    {
      ...settings,
      farms,
      stagingFrontend,
      ...(mixed ? { mixed } : {}),
      ...(settings.testers && testersRoute !== undefined
        ? { testers: { ...settings.testers, route: testersRoute } }
        : {}),
    },
    settings.api.endpoint,
  ),
];
