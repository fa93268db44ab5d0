import { existsSync } from 'node:fs';
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { exitCodes } from '../../../domain/deployment.js';
import { Secret } from '../../../domain/secret.js';
import { ovhFailure } from '../../../drivers/load-balancers/ovh-failure.js';
import type { OvhApi } from '../../../ovh/api.js';
import { requestConsumerKey, type RequestedKey } from '../../../ovh/consumer-key.js';
import { currentCredential } from '../../../ovh/credential.js';
import { OvhError } from '../../../ovh/error.js';
import { describeRight, selfRights, type Right } from '../../../ovh/rights.js';
import { describeDuration } from '../../../configuration/quantities.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { count } from '../../words.js';
import {
  durationArgument,
  jsonOption,
  teach,
  withConfiguration,
  type ConfigurationOptions,
} from '../options.js';
import {
  calling,
  foundCredential,
  withCredential,
  type CredentialOptions,
  type FoundCredential,
} from './credential.js';
import { purposeOption, rightsFor, serviceFor, type Purpose } from './purpose.js';

export interface LoginOptions extends ConfigurationOptions, CredentialOptions {
  readonly for: Purpose;
  readonly to?: string;
  readonly replace?: boolean;
  readonly show?: boolean;
  readonly allowedIp?: readonly string[];
  readonly timeout: number;
}

export function defineLogin(command: Command): void {
  withConfiguration(command)
    .description(
      'Asks OVHcloud for a consumer key that may do what the configuration needs and nothing else, waits until somebody has agreed, and writes it to a file.',
    )
    .addOption(purposeOption())
    .option(
      '--to <file>',
      "where the key is written, for its owner's eyes only (default: where the worker reads it)",
    )
    .option('--replace', 'replace a file that is there')
    .addOption(new Option('--show', 'print the key instead of writing it').conflicts('to'))
    .option('--allowed-ip <cidr...>', 'from where alone the key may be used')
    .addOption(
      new Option('--timeout <duration>', 'how long to wait for somebody')
        .argParser(durationArgument)
        .default(durationArgument('15m'), '15m'),
    )
    .addOption(jsonOption());
  teach(
    withCredential(command),
    'verdigris ovh login --worker-config /etc/verdigris/worker.yaml',
    'It prints a link. Whoever owns the OVHcloud account opens it, logs in, chooses how long the key is good for, and agrees. The key never passes through the terminal.',
  );
}

export async function login(options: LoginOptions): Promise<number> {
  const output = createOutput(options.json === true);
  const service = serviceFor(options.for, options);
  const found = foundCredential(options, service);
  const rights = [...selfRights, ...rightsFor(options.for, service)];
  const file = options.show === true ? undefined : await placeFor(options, found);
  const application = await found.application();
  const requested = await asked(found, application.applicationKey, rights, options);

  output.say(invitation(requested, rights));
  output.documentLine({
    state: 'pendingValidation',
    validationUrl: requested.validationUrl,
    rules: rights.map(describeRight),
  });
  const consumerKey = new Secret(requested.consumerKey);
  const task = { action: 'ask whether somebody has agreed' };
  const credential = await calling(found, { ...application, consumerKey }, options, task, (api) =>
    agreed(api, options, output),
  );
  if (file === undefined) output.say(requested.consumerKey);
  else await writeSecret(file, requested.consumerKey);
  const until = credential.expiration ? `until ${credential.expiration}` : 'for ever';
  output.say(`Validated: the key is good ${until}${file === undefined ? '' : `, and stands in ${file}`}.`);
  output.documentLine({
    state: 'validated',
    expiration: credential.expiration ?? null,
    ...(file === undefined ? { consumerKey: requested.consumerKey } : { file }),
  });
  return 0;
}

/** Looked for before anybody is asked to agree. */
async function placeFor(options: LoginOptions, { consumerKeyFile }: FoundCredential): Promise<string> {
  const file = options.to ?? consumerKeyFile;
  if (file === undefined) {
    throw new Refusal(
      'Cannot ask for a key: there is no place to write it to, needs --to FILE, or --show to print it',
    );
  }
  if (existsSync(file) && options.replace !== true) {
    throw new Refusal(
      `Cannot write "${file}": it is there already, needs --replace to give way to the new key`,
    );
  }
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  return file;
}

async function asked(
  { endpoint, caFile }: FoundCredential,
  applicationKey: Secret,
  rights: readonly Right[],
  { allowedIp }: LoginOptions,
): Promise<RequestedKey> {
  try {
    return await requestConsumerKey({
      endpoint,
      applicationKey,
      rights,
      ...(allowedIp === undefined ? {} : { allowedIps: allowedIp }),
      ...(caFile === undefined ? {} : { caFile }),
    });
  } catch (error) {
    throw error instanceof OvhError ? ovhFailure(error, 'ask for a consumer key') : error;
  }
}

const invitation = ({ validationUrl }: RequestedKey, rights: readonly Right[]): readonly string[] => [
  `The key will have ${count(rights.length, 'access rule')}:`,
  ...rights.map((right) => `  ${describeRight(right)}`),
  '',
  'Open this link, log in and agree:',
  `  ${validationUrl}`,
];

const firstPollMs = 1_000;
const longestPollMs = 5_000;

/** Waits until the key works. One that nobody has agreed to is told like one that was refused, so only time tells. */
async function agreed(api: OvhApi, { timeout }: LoginOptions, output: Output) {
  const endMs = Date.now() + timeout;
  for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 1.5, longestPollMs)) {
    try {
      return await currentCredential(api);
    } catch (error) {
      if (!(error instanceof OvhError) || !(isPending(error) || error.passing)) throw error;
      if (error.passing) output.notice(`Still waiting: ${error.message}`);
    }
    if (Date.now() + pollMs > endMs) {
      throw new Refusal(
        `Cannot wait longer for the consumer key: nobody has agreed within ${describeDuration(timeout)}, or somebody has refused, needs somebody who opens the link\n  nothing was written; ask again: verdigris ovh login`,
        { exitCode: exitCodes['waited too long'] },
      );
    }
    await sleep(pollMs);
  }
}

/** The API has several words for a key that waits. */
const isPending = ({ status, errorCode, message }: OvhError): boolean =>
  errorCode === 'INVALID_CREDENTIAL' ||
  errorCode === 'NOT_CREDENTIAL' ||
  errorCode === 'INVALID_SIGNATURE' ||
  (status === 403 && /credential is not valid|credential does not exist/i.test(message)) ||
  (status === 400 && /invalid signature/i.test(message));

/** Written aside and renamed, so that there is never half a key, and never one that others can read. */
async function writeSecret(file: string, value: string): Promise<void> {
  const aside = `${file}.${process.pid}.new`;
  try {
    const handle = await open(aside, 'wx', 0o600);
    try {
      await handle.writeFile(`${value}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await chmod(aside, 0o600);
    await rename(aside, file);
  } finally {
    await rm(aside, { force: true });
  }
}
