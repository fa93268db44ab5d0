import { userInfo } from 'node:os';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { defaultConfigurationFile, defaultDestination } from '../configuration/configuration.js';
import { parseDuration } from '../../configuration/quantities.js';
import { Refusal } from '../refusal.js';

/** Options that several commands share, so that each reads the same everywhere. */

export const withService = (command: Command): Command => withTemporal(withConfiguration(command));

/** What the options of `withConfiguration` say. */
export interface ConfigurationOptions {
  readonly config: string;
  readonly destination: string;
  readonly json?: boolean;
}

export const withConfiguration = (command: Command): Command =>
  command
    .option('-c, --config <file>', 'the configuration', defaultConfigurationFile)
    .option(
      '-d, --destination <name>',
      'where to: verdigris.<name>.yaml lies over the configuration',
      defaultDestination,
    );

export const withTemporal = (command: Command): Command =>
  command
    .optionsGroup('Temporal (default: environment and profile, as the temporal CLI reads them):')
    .option('--address <host:port>', 'Temporal server')
    .option('--namespace <name>', 'namespace')
    .option('--tls', 'connect with TLS')
    .option('--api-key-file <file>', 'file that holds the API key')
    .option('--profile <name>', 'profile of temporal.toml')
    .option('--task-queue <name>', 'where workers ask for work (VERDIGRIS_TASK_QUEUE)')
    .option('--ui <url>', 'Temporal UI, for links (VERDIGRIS_UI)')
    .optionsGroup('Options:');

export const jsonOption = () => new Option('--json', 'for machines: JSON on stdout and nothing else');

export const byOption = () =>
  new Option('--by <name>', 'who asks, for people to read (default: the user of CI or of the system)');

export const reasonOption = () => new Option('--reason <text>', 'why, for people to read');

export const againOption = () =>
  new Option(
    '--again <reason>',
    'deploy an artifact once more that was taken back as unfit; why, for people to read',
  ).argParser((text: string) => {
    if (text.trim() === '') throw new InvalidArgumentError('Needs a reason.');
    return text.trim();
  });

export const deploymentOption = () =>
  new Option('--deployment <id>', 'only if it is this one; its last eight digits are enough').argParser(
    (text: string) => {
      if (!/^[0-9a-f-]{8,36}$/.test(text))
        throw new InvalidArgumentError('Needs eight hexadecimal digits or more.');
      return text;
    },
  );

export function durationArgument(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0)
    throw new InvalidArgumentError('Needs a duration such as 90s, 30m or 1h.');
  return ms;
}

/** Whoever limits the following means that it is followed. Throws where nobody has asked for that. */
export function requireFollowed(timeout: number | undefined, isFollowed: boolean, needs: string): void {
  if (timeout === undefined || isFollowed) return;
  throw new Refusal(`Cannot use --timeout here: it limits how long the run is followed, needs ${needs}`);
}

/** How long a look may take. The default is given as people write it, and help shows it so. */
export const lookingTimeoutOption = (usual: string) =>
  new Option('--timeout <duration>', 'give up looking after this long')
    .argParser(durationArgument)
    .default(durationArgument(usual), usual);

/** Who asks: the person behind a CI job where CI tells, else the user of the system. */
export function whoAsks(by: string | undefined): string {
  const { GITLAB_USER_LOGIN, GITHUB_ACTOR, BUILD_USER } = process.env;
  return [by, GITLAB_USER_LOGIN, GITHUB_ACTOR, BUILD_USER].find(Boolean) ?? userInfo().username;
}

/** Help that teaches: an example, and what happens next. */
export const teach = (command: Command, example: string, next: string): Command =>
  command.addHelpText('after', `\nExample:\n  $ ${example}\n\nWhat happens next:\n${wrapped(next)}`);

function wrapped(text: string): string {
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1) ?? '';
    if (line.length + word.length > 90) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => `  ${line}`).join('\n');
}
