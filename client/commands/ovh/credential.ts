import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import type { Command } from 'commander';
import { credentialLacks, type CredentialKind } from '../../../domain/credential-lacks.js';
import { Failure } from '../../../domain/failures.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhApiSettings, Service } from '../../../domain/service.js';
import { createOvhApi, type OvhCall, type OvhClient } from '../../../ovh/api.js';
import { ovhEndpoint } from '../../../ovh/endpoint.js';
import { missingRules } from '../../../ovh/credential.js';
import { OvhError } from '../../../ovh/error.js';
import { oddLengths, type OvhKeys } from '../../../ovh/keys.js';
import type { Right } from '../../../ovh/rights.js';
import type { Rate } from '../../../ovh/rate-limit.js';
import { ovhFailure } from '../../../drivers/load-balancers/ovh-failure.js';
import type { Secrets } from '../../../drivers/secrets.js';
import { readWorkerConfiguration } from '../../../worker/configuration.js';
import { ovhKeys } from '../../../worker/ovh-keys.js';
import { createSecrets, pathFrom } from '../../../worker/secrets.js';
import { Refusal } from '../../refusal.js';
import { callJournal } from './call-journal.js';
import type { Purpose } from './purpose.js';

/** Where the keys come from, and what stands beside them. */
export interface CredentialOptions {
  readonly workerConfig?: string;
  readonly keysFile?: string;
  readonly endpoint?: string;
  readonly trust?: string;
  readonly journal?: string;
}

export const withCredential = (command: Command): Command =>
  command
    .optionsGroup('OVHcloud (keys: --worker-config, --keys-file, else OVH_* variables, else ./worker.yaml):')
    .option('--worker-config <file>', "a worker's worker.yaml: the service's secrets as that worker has them")
    // Not --env-file: Node takes that for its own, wherever it stands.
    .option('--keys-file <file>', 'file of OVH_APPLICATION_KEY=... and so on, one a line')
    .option(
      '--endpoint <name>',
      'ovh-eu, ovh-ca, ovh-us or a URL (default: as the configuration has it, OVH_ENDPOINT)',
    )
    .option('--trust <file>', 'PEM certificates to trust beside the public ones')
    .option('--journal <file>', 'write down every call there, as JSON lines without secrets')
    .optionsGroup('Options:');

/** A credential as far as it is known: an application may not have its consumer key yet. */
export interface FoundCredential {
  readonly endpoint: string;
  readonly tokenUrl?: string;
  /** Resolved when it is needed, so that what is not used need not be there. */
  readonly keys: () => Promise<OvhKeys>;
  readonly application: () => Promise<{
    readonly applicationKey: Secret;
    readonly applicationSecret: Secret;
  }>;
  /** Where the worker reads its consumer key from, when that is a file. */
  readonly consumerKeyFile?: string;
  readonly caFile?: string;
  readonly rate?: Rate;
}

/** Finds out which credential is meant. Throws a `Refusal` that names every way to give one, or says what of it cannot be used. */
export function foundCredential(options: CredentialOptions, service: Service | undefined): FoundCredential {
  const found = credentialFrom(options, service);
  checkEndpoint(found);
  if (found.caFile !== undefined) checkTrust(found.caFile);
  return found;
}

function checkEndpoint({ endpoint, tokenUrl }: FoundCredential): void {
  try {
    ovhEndpoint(endpoint, tokenUrl);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Refusal(error.message, { cause: error });
  }
}

function checkTrust(file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Refusal(
      `Cannot trust "${file}": it cannot be read (${code}), needs a file of PEM certificates`,
      {
        cause: error,
      },
    );
  }
}

function credentialFrom(options: CredentialOptions, service: Service | undefined): FoundCredential {
  const fromFile = options.keysFile === undefined ? undefined : variablesIn(options.keysFile);
  const variables = fromFile ?? process.env;
  const isInEnvironment = fromFile !== undefined || names.some((name) => Boolean(process.env[name]));
  const workerConfig =
    options.workerConfig ?? (!isInEnvironment && existsSync('worker.yaml') ? 'worker.yaml' : undefined);
  if (workerConfig !== undefined && options.keysFile === undefined) {
    return ofWorker(workerConfig, options, service);
  }
  if (isInEnvironment) return ofVariables(variables, options, service);
  throw new Refusal(
    `Cannot call OVHcloud: there are no keys, needs one of\n  --worker-config FILE, a worker's worker.yaml\n  --keys-file FILE with OVH_APPLICATION_KEY, OVH_APPLICATION_SECRET, OVH_CONSUMER_KEY\n  the same as variables, or OVH_CLIENT_ID and OVH_CLIENT_SECRET`,
  );
}

const names = ['OVH_APPLICATION_KEY', 'OVH_CLIENT_ID'];

function ofWorker(path: string, options: CredentialOptions, service: Service | undefined): FoundCredential {
  const api = apiOf(service);
  if (!service || !api) {
    throw new Refusal(
      `Cannot use the keys of ${path}: it gives them to services, needs a configuration (--config FILE), or the keys from elsewhere (--keys-file FILE)`,
    );
  }
  const configuration = readWorkerConfiguration(path);
  const secrets: Secrets = createSecrets(configuration.secrets, path);
  const settings: OvhApiSettings = { ...api, endpoint: options.endpoint ?? api.endpoint };
  const caFile = options.trust ?? configuration.trust;
  const consumerKey =
    'consumerKey' in settings ? configuration.secrets[settings.consumerKey.secret] : undefined;
  return {
    endpoint: settings.endpoint,
    ...('tokenUrl' in settings && settings.tokenUrl !== undefined ? { tokenUrl: settings.tokenUrl } : {}),
    keys: () => ovhKeys(settings, service.id, secrets),
    application: async () => {
      if (!('applicationKey' in settings)) throw noApplication();
      const use = { service: service.id, host: ovhEndpoint(settings.endpoint).host };
      const [applicationKey, applicationSecret] = await Promise.all([
        secrets.resolve(settings.applicationKey, use),
        secrets.resolve(settings.applicationSecret, use),
      ]);
      return { applicationKey, applicationSecret };
    },
    ...(consumerKey?.file === undefined ? {} : { consumerKeyFile: pathFrom(consumerKey.file, path) }),
    ...(caFile === undefined ? {} : { caFile }),
    rate: { perSecond: configuration.ovh.requestsPerSecond, burst: configuration.ovh.burst },
  };
}

function ofVariables(
  variables: Readonly<Record<string, string | undefined>>,
  options: CredentialOptions,
  service: Service | undefined,
): FoundCredential {
  const api = apiOf(service);
  const secret = (name: string): Secret => {
    const value = variables[name];
    if (value === undefined || value === '') {
      const where = options.keysFile ?? 'the environment';
      throw new Refusal(`Cannot call OVHcloud: ${where} has no ${name}, needs it beside the others`);
    }
    return new Secret(value);
  };
  const isAccount = Boolean(variables['OVH_CLIENT_ID']);
  return {
    endpoint: options.endpoint ?? variables['OVH_ENDPOINT'] ?? api?.endpoint ?? 'ovh-eu',
    ...(api && 'tokenUrl' in api && api.tokenUrl !== undefined ? { tokenUrl: api.tokenUrl } : {}),
    keys: async () =>
      isAccount
        ? { clientId: secret('OVH_CLIENT_ID'), clientSecret: secret('OVH_CLIENT_SECRET') }
        : {
            applicationKey: secret('OVH_APPLICATION_KEY'),
            applicationSecret: secret('OVH_APPLICATION_SECRET'),
            consumerKey: secret('OVH_CONSUMER_KEY'),
          },
    application: async () => {
      if (isAccount) throw noApplication();
      return {
        applicationKey: secret('OVH_APPLICATION_KEY'),
        applicationSecret: secret('OVH_APPLICATION_SECRET'),
      };
    },
    ...(options.trust === undefined ? {} : { caFile: options.trust }),
  };
}

const noApplication = (): Refusal =>
  new Refusal(
    'Cannot ask for a consumer key: the credential is a service account, which has none, needs an application key\n  what a service account must be allowed: verdigris ovh rules --policy',
  );

const apiOf = (service: Service | undefined): OvhApiSettings | undefined =>
  service && service.loadBalancer.driver !== 'in-memory' ? service.loadBalancer.api : undefined;

function variablesIn(path: string): Readonly<Record<string, string | undefined>> {
  try {
    return parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Refusal(`Cannot read "${path}": ${(error as Error).message}, needs a file of variables`, {
      cause: error,
    });
  }
}

/** What is done with the API, and what that needs, where it is known. */
export interface Task {
  /** Completes "Cannot ...". */
  readonly action: string;
  readonly purpose?: Purpose;
  readonly rights?: readonly Right[];
}

/** Calls the API with `keys` for as long as `work` lasts. What the API refuses is told in words. */
export async function calling<Result>(
  found: FoundCredential,
  keys: OvhKeys,
  options: CredentialOptions,
  task: Task,
  work: (api: OvhClient) => Promise<Result>,
): Promise<Result> {
  const caller = openCaller(found, keys, options);
  try {
    return await caller.carryOut(task, work);
  } finally {
    caller.close();
  }
}

/** Calls the API for several tasks, one after the other, until it is closed. */
export interface Caller {
  readonly kind: CredentialKind;
  /** What the API refuses is told in words. */
  carryOut<Result>(task: Task, work: (api: OvhClient) => Promise<Result>): Promise<Result>;
  close(): void;
}

export function openCaller(found: FoundCredential, keys: OvhKeys, options: CredentialOptions): Caller {
  const journal = callJournal(options.journal);
  const api = createOvhApi({
    endpoint: found.endpoint,
    keys,
    onCall: (call: OvhCall) => journal.write(call),
    ...(found.tokenUrl === undefined ? {} : { tokenUrl: found.tokenUrl }),
    ...(found.caFile === undefined ? {} : { caFile: found.caFile }),
    ...(found.rate === undefined ? {} : { rate: found.rate }),
  });
  return {
    kind: 'clientId' in keys ? 'service account' : 'consumer key',
    async carryOut(task, work) {
      try {
        return await work(api);
      } catch (error) {
        if (!(error instanceof OvhError)) throw error;
        throw (
          (await lackingFailure(api, keys, task, error)) ??
          withOddLengths(ovhFailure(error, task.action), error, keys)
        );
      }
    },
    close() {
      api.close();
      journal.close();
    },
  };
}

/** A key that lost a sign when it was copied is refused as a wrong signature, or as unknown. */
function withOddLengths(failure: Failure, { errorCode, message }: OvhError, keys: OvhKeys): Failure {
  const isAboutKeys =
    ['INVALID_SIGNATURE', 'INVALID_KEY', 'NOT_CREDENTIAL'].includes(errorCode ?? '') ||
    /invalid signature|key is invalid|credential does not exist/i.test(message);
  const odd = isAboutKeys ? oddLengths(keys) : [];
  if (odd.length === 0) return failure;
  return new Failure(failure.failure, [failure.message, ...odd.map((line) => `  look: ${line}`)].join('\n'), {
    cause: failure.cause,
    ambiguous: failure.ambiguous,
  });
}

/** All that a consumer key lacks for the task, where that is why it was refused: not one rule after the other. */
async function lackingFailure(
  api: OvhClient,
  keys: OvhKeys,
  { action, purpose = 'deploy', rights }: Task,
  error: OvhError,
): Promise<Refusal | undefined> {
  if (error.status !== 403 || rights === undefined || 'clientId' in keys) return undefined;
  const lacking = await missingRules(api, rights);
  if (lacking === undefined || lacking.length === 0) return undefined;
  return new Refusal(credentialLacks(action, 'consumer key', lacking, ` --for ${purpose}`), { cause: error });
}
