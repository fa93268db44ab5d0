import { InvalidArgumentError, Option, type Command } from 'commander';
import { credentialLacks } from '../../../domain/credential-lacks.js';
import { exitCodes } from '../../../domain/deployment.js';
import { Failure } from '../../../domain/failures.js';
import type { Provisioned, Provisioner, Survey } from '../../../drivers/load-balancers/provisioning.js';
import { balancerResourceOf, provisionRights } from '../../../ovh/rights.js';
import { readServiceWithoutIds } from '../../configuration/configuration.js';
import { edited, sectionIn, writeEdits, type Edit } from '../../configuration/writing.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import {
  foundCredential,
  openCaller,
  withCredential,
  type Caller,
  type CredentialOptions,
  type Task,
} from './credential.js';
import { lackingOf, urnOf, type Need } from './need.js';
import { entrancesOf, nameOf, provisionerFor, type Entrance, type StagingOptions } from './entrance.js';

export interface ProvisionOptions extends ConfigurationOptions, CredentialOptions, StagingOptions {
  readonly plan?: boolean;
  readonly apply?: boolean;
  readonly write?: boolean;
  readonly publishStaged?: boolean;
}

export function defineProvision(command: Command): void {
  withConfiguration(command)
    .description(
      'Creates what blue-green needs on load balancers that exist: a farm (pool) with its servers and a probe for each environment, what has the idle one probed, and what the configuration asks for beside that (also, mixed, fallback, testers). Never edits, renames or deletes.',
    )
    .addOption(
      new Option('--plan', 'show what would be created, and create nothing (the default)').conflicts('apply'),
    )
    .option('--apply', 'show it, create it, and publish it with one refresh')
    .option('--write', 'write the ids into the configuration, too')
    .option('--publish-staged', 'publish edits that were stored before, too')
    .addOption(
      new Option(
        '--staging-port <port>',
        'where the staging frontend or listener listens; further ones on the free ports behind it (default: the first free one from 8888)',
      ).argParser(portArgument),
    )
    .option(
      '--staging-source <cidr...>',
      'who may reach the staging frontends or listeners (default: nobody)',
    )
    .option('--no-staging', 'Public Cloud: no staging listener, where pools are probed without one')
    .addOption(
      new Option(
        '--share <percent...>',
        'Public Cloud, mixed.weights: keep: a mixed pool for each of these shares of the new environment',
      ).argParser(shareArgument),
    )
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh provision --plan',
    'Objects are recognised by their name (verdigris:greeter@production:blue), so that it can be run again. Afterwards it prints what verdigris.yaml has to say, or writes it there (--write). Several load balancers (regions) are provisioned one after the other.',
  );
}

function portArgument(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 49_151) return port;
  throw new InvalidArgumentError('Needs a whole number, 1 to 49151.');
}

function shareArgument(text: string, before: readonly number[] | undefined): readonly number[] {
  const share = Number(text.replace(/\s*%$/, ''));
  if (Number.isInteger(share) && share >= 1 && share <= 99) return [...(before ?? []), share];
  throw new InvalidArgumentError('Needs a whole number, 1 to 99.');
}

/** A load balancer, and how it is reached. */
interface Place {
  readonly entrance: Entrance;
  readonly caller: Caller;
  readonly task: Task;
}

type SurveyedPlace = Place & { readonly survey: Survey };

export async function provision(options: ProvisionOptions): Promise<number> {
  const output = createOutput(options.json === true);
  const entrances = entrancesOf(readServiceWithoutIds(options.config, options.destination));
  const places: Place[] = [];
  try {
    for (const entrance of entrances) places.push(await placeOf(entrance, options));
    return await provisionAll(places, options, output);
  } finally {
    for (const { caller } of places) caller.close();
  }
}

async function placeOf(entrance: Entrance, options: ProvisionOptions): Promise<Place> {
  const found = foundCredential(options, entrance.service);
  const task = {
    action: `provision "${nameOf(entrance.settings)}"`,
    purpose: 'provision',
    rights: provisionRights(entrance.settings),
  } as const;
  return { entrance, task, caller: openCaller(found, await found.keys(), options) };
}

/** With the load balancer's provisioner. */
const working = <Result>(
  { entrance, caller, task }: Place,
  options: ProvisionOptions,
  work: (provisioner: Provisioner) => Promise<Result>,
): Promise<Result> => caller.carryOut(task, (api) => work(provisionerFor(entrance, api, options)));

async function provisionAll(
  places: readonly Place[],
  options: ProvisionOptions,
  output: Output,
): Promise<number> {
  const surveyed = await surveyAll(places, options, output);
  const isRefused = surveyed.some(({ survey }) => survey.refusals.length > 0);
  if (isRefused || options.apply !== true) {
    output.document(
      documentOf(surveyed, ({ survey: { steps, notes, refusals } }) => ({ steps, notes, refusals })),
    );
    return isRefused ? exitCodes.refused : 0;
  }
  requireNothingStaged(surveyed, options);
  await requireRights(surveyed);
  const made = new Map<Place, Provisioned>();
  for (const place of surveyed) {
    try {
      const { survey, caller, task } = place;
      const say = (what: string): void => progress(output, place, what);
      made.set(place, await caller.carryOut(task, () => survey.apply(options.publishStaged === true, say)));
    } catch (error) {
      throw stopped(error, surveyed, place);
    }
  }
  output.say(closing(made, options));
  output.document(
    documentOf(surveyed, (place) => {
      const { named, created } = made.get(place) ?? { named: [], created: [] };
      return { ...nested(named), created, notes: place.survey.notes, refusals: [] };
    }),
  );
  return 0;
}

/** Shows what would be done everywhere. What cannot even be looked at is told together with the others. */
async function surveyAll(
  places: readonly Place[],
  options: ProvisionOptions,
  output: Output,
): Promise<readonly SurveyedPlace[]> {
  const surveyed: SurveyedPlace[] = [];
  const troubles: string[] = [];
  for (const place of places) {
    try {
      const survey = await working(place, options, (provisioner) => provisioner.survey());
      surveyed.push({ ...place, survey });
      output.say([...heading(place), ...shown(survey, nameOf(place.entrance.settings))]);
    } catch (error) {
      if (places.length === 1 || !isTold(error)) throw error;
      troubles.push(`${place.entrance.region}: ${error.message}`);
    }
  }
  if (troubles.length > 0) throw new Refusal([...troubles, 'Nothing was created anywhere.'].join('\n'));
  return surveyed;
}

const isTold = (error: unknown): error is Refusal | Failure =>
  error instanceof Refusal || error instanceof Failure;

const heading = ({ entrance: { region } }: Place): readonly string[] =>
  region === undefined ? [] : [`${region}:`];

/** Before anything is created anywhere. */
function requireNothingStaged(places: readonly SurveyedPlace[], { publishStaged }: ProvisionOptions): void {
  const held = places.filter(({ survey }) => survey.staged.length > 0);
  if (held.length === 0 || publishStaged === true) return;
  const names = held.map(({ entrance }) => `"${nameOf(entrance.settings)}"`).join(', ');
  const edits = held.flatMap(({ survey }) => survey.staged).join(', ');
  throw new Refusal(
    `Cannot provision ${names}: edits are stored and not published (${edits}), needs none\n  apply them or take them back in the control panel; where an earlier run was interrupted they are its own: --publish-staged`,
  );
}

/** Asked for, and not tried: a call that is refused in the middle leaves half of it there. */
async function requireRights(places: readonly SurveyedPlace[]): Promise<void> {
  const refusals: string[] = [];
  for (const {
    entrance: { settings },
    caller,
    task,
    survey,
  } of places) {
    if (survey.steps.length === 0) continue;
    const need: Need = {
      rights: provisionRights(settings),
      urn: urnOf(settings, balancerResourceOf(settings)),
    };
    const isAccount = caller.kind === 'service account';
    // Where it may not be told, the calls themselves tell.
    const lacking = (await caller.carryOut(task, (api) => lackingOf(api, [need], isAccount))) ?? [];
    if (lacking.length > 0)
      refusals.push(credentialLacks(task.action, caller.kind, lacking, ' --for provision'));
  }
  if (refusals.length > 0) throw new Refusal(refusals.join('\n'));
}

/** What one could not be given, and what that means for the others. */
function stopped(error: unknown, places: readonly Place[], at: Place): unknown {
  if (!isTold(error) || places.length === 1) return error;
  const nameOfRegion = ({ entrance }: Place): string => entrance.region ?? '';
  const [before, behind] = [places.slice(0, places.indexOf(at)), places.slice(places.indexOf(at) + 1)];
  return new Refusal(
    [
      `${nameOfRegion(at)}: ${error.message}`,
      `  provisioned before: ${before.map(nameOfRegion).join(', ') || 'none'}; not begun: ${behind.map(nameOfRegion).join(', ') || 'none'}`,
      '  once that is settled, go on; what is there is found: verdigris ovh provision --apply',
    ].join('\n'),
    { cause: error },
  );
}

function progress(output: Output, { entrance: { region } }: Place, what: string): void {
  if (output.interactive) output.notice(`  ${region === undefined ? '' : `${region}: `}${what}`);
}

function shown({ title, steps, notes, refusals, staged }: Survey, name: string): readonly string[] {
  const told = [
    ...notes.map((note) => `  note: ${note}`),
    ...(staged.length === 0
      ? []
      : [
          `  note: edits of somebody, or of an earlier run, are stored and not published (${staged.join(', ')})`,
        ]),
  ];
  if (refusals.length > 0)
    return [`Cannot provision "${name}":`, ...refusals.map((refusal) => `  ${refusal}`), ...told];
  if (steps.length === 0) return [`Everything is there on ${name}: nothing to create.`, ...told];
  return [`${title}:`, ...steps.map((step) => `  ${step}`), ...told];
}

/** What was done, and what the configuration has to say. */
function closing(
  made: ReadonlyMap<Place, Provisioned>,
  { config, destination, write }: ProvisionOptions,
): readonly string[] {
  const done = [...made].map(
    ([
      {
        entrance: { region },
      },
      { created },
    ]) => {
      const where = region === undefined ? '' : `${region}: `;
      return `${where}${created.length === 0 ? 'Nothing was created.' : `Created: ${created.join(', ')}.`}`;
    },
  );
  const edits = [...made].flatMap(([{ entrance }, { named }]) => editsOf(entrance, named));
  const files = edited(config, destination, edits);
  if (files.size === 0) return ['', ...done, 'The configuration names all of it already.'];
  if (write === true)
    return ['', ...done, `Written into ${writeEdits(config, destination, edits).join(', ')}.`];
  const key = edits[0]?.path[0] ?? 'loadBalancer';
  return [
    '',
    ...done,
    ...[...files].flatMap(([file, text]) => [
      `In ${file} (--write puts it there):`,
      '',
      sectionIn(text, String(key)) ?? text,
    ]),
  ];
}

const editsOf = ({ path }: Entrance, named: Provisioned['named']): readonly Edit[] =>
  named.map((one) => ({ path: [...path, 'loadBalancer', ...one.path], value: one.id }));

/** One document, or one for each region. */
function documentOf<One extends Place>(
  places: readonly One[],
  of: (place: One) => Readonly<Record<string, unknown>>,
): unknown {
  const [first] = places;
  if (first?.entrance.region === undefined) return first && of(first);
  return { regions: places.map((place) => ({ name: place.entrance.region, ...of(place) })) };
}

/** `farms.blue` as a map in a map, a further entry as one of a list. */
function nested(named: Provisioned['named']): Readonly<Record<string, unknown>> {
  const root: Record<string | number, unknown> = {};
  for (const { path, id } of named) {
    let at = root;
    for (const [index, key] of path.slice(0, -1).entries())
      at = (at[key] ??= typeof path[index + 1] === 'number' ? [] : {}) as typeof root;
    at[path.at(-1) ?? ''] = id;
  }
  return root;
}
