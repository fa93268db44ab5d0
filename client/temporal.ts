import { readFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import {
  Client,
  Connection,
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { defaultTaskQueue, searchAttributeNames } from '../workflows/messages.js';
import { Refusal } from './refusal.js';

/** What the command line says about Temporal. What it leaves out comes from the environment and the profile. */
export interface TemporalOptions {
  readonly address?: string;
  readonly namespace?: string;
  readonly tls?: boolean;
  readonly apiKeyFile?: string;
  readonly profile?: string;
  readonly taskQueue?: string;
  /** Base URL of the Temporal UI, for links. */
  readonly ui?: string;
}

/** A connection on which every call has a deadline and every failure is in words. */
export interface Temporal {
  readonly client: Client;
  readonly address: string;
  readonly namespace: string;
  readonly taskQueue: string;
  /** Runs calls that together may take `deadlineMs`, 10 s by default. */
  call<Result>(work: () => Promise<Result>, deadlineMs?: number): Promise<Result>;
  /** Whether runs may write the search attributes; false too where it may not be asked. */
  searchable(): Promise<boolean>;
  /** Whether a worker asks for work; `undefined` when it cannot be told. */
  hasWorker(): Promise<boolean | undefined>;
  /** The page of a run, where there is a UI. */
  linkTo(workflowId: string, runId?: string): string | undefined;
  close(): Promise<void>;
}

/** Temporal does not answer, for now or at all. */
export class TemporalUnreachable extends Refusal {}

/** Temporal took the call and gave no answer in time: it, or a worker that has to answer, is slow or gone. */
export class TemporalSilent extends TemporalUnreachable {}

const callMs = 10_000;
/** On one machine or network an answer takes milliseconds; over the internet, TLS and a cold start take longer. */
const plainConnectMs = 3_000;
const tlsConnectMs = 10_000;

/** Status codes of gRPC that are met here, by name. */
const grpc = {
  invalidArgument: 3,
  notFound: 5,
  permissionDenied: 7,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
};

export async function connectTemporal(options: TemporalOptions = {}): Promise<Temporal> {
  const { connectionOptions, namespace = 'default' } = settingsOf(options);
  const address = connectionOptions.address ?? 'localhost:7233';
  const encrypted = Boolean(connectionOptions.tls) || connectionOptions.apiKey !== undefined;
  const connection = await Connection.connect({
    ...connectionOptions,
    connectTimeout: encrypted ? tlsConnectMs : plainConnectMs,
  }).catch(async (error: unknown) => {
    throw await unreachable(address, encrypted, error);
  });
  const client = new Client({ connection, namespace });
  const taskQueue = options.taskQueue ?? process.env['VERDIGRIS_TASK_QUEUE'] ?? defaultTaskQueue;
  const ui = options.ui ?? process.env['VERDIGRIS_UI'] ?? usualUi(address);

  const call = async <Result>(work: () => Promise<Result>, deadlineMs = callMs): Promise<Result> => {
    try {
      return await connection.withDeadline(Date.now() + deadlineMs, work);
    } catch (error) {
      throw inWords(error, address, namespace);
    }
  };

  return {
    client,
    address,
    namespace,
    taskQueue,
    call,
    searchable: () => call(() => searchAttributesRegistered(connection, namespace)),
    hasWorker: () => call(() => workersPolling(connection, namespace, taskQueue)),
    linkTo: (workflowId, runId) =>
      ui === undefined
        ? undefined
        : [
            ui.replace(/\/$/, ''),
            'namespaces',
            namespace,
            'workflows',
            ...[workflowId, runId].filter(isText).map(encodeURIComponent),
          ].join('/'),
    close: () => connection.close(),
  };
}

/**
 * Why nobody listens at Temporal's address, where that shows at once: gRPC waits for somebody to come, which costs seconds.
 * A proxy may reach what is not reached from here, so that nothing is said then.
 */
export async function refusalAt(options: TemporalOptions): Promise<TemporalUnreachable | undefined> {
  if (['grpc_proxy', 'https_proxy', 'http_proxy'].some((name) => process.env[name])) return undefined;
  const { connectionOptions } = settingsOf(options);
  const address = connectionOptions.address ?? 'localhost:7233';
  const why = await whySilent(address);
  return why === socketErrors['ECONNREFUSED']
    ? new TemporalUnreachable(unreachableMessage(address, why))
    : undefined;
}

function settingsOf(options: TemporalOptions): ReturnType<typeof loadClientConnectConfig> {
  const flags: Readonly<Record<string, string | undefined>> = {
    TEMPORAL_ADDRESS: options.address,
    TEMPORAL_NAMESPACE: options.namespace,
    TEMPORAL_TLS: options.tls === true ? 'true' : undefined,
    TEMPORAL_API_KEY: options.apiKeyFile === undefined ? undefined : readKey(options.apiKeyFile),
  };
  const variables = Object.entries({ ...process.env, ...definedIn(flags) }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  try {
    return loadClientConnectConfig({
      overrideEnvVars: Object.fromEntries(variables),
      ...(options.profile === undefined ? {} : { profile: options.profile }),
    });
  } catch (error) {
    throw new Refusal(`Cannot read the Temporal profile: ${messageOf(error)}`, { cause: error });
  }
}

const definedIn = (members: Readonly<Record<string, string | undefined>>) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

function readKey(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new Refusal(`Cannot read the API key "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/** The dev server serves its UI 1000 ports above, Temporal Cloud at one place; others have to be told. */
function usualUi(address: string): string | undefined {
  const [, host = '', port = '7233'] = /^(.*?)(?::(\d+))?$/.exec(address) ?? [];
  if (['localhost', '127.0.0.1', '[::1]'].includes(host)) return `http://${host}:${Number(port) + 1_000}`;
  return /\.(tmprl\.cloud|api\.temporal\.io)$/.test(host) ? 'https://cloud.temporal.io' : undefined;
}

async function searchAttributesRegistered(connection: Connection, namespace: string): Promise<boolean> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    return Object.values(searchAttributeNames).every((name) => customAttributes[name] !== undefined);
  } catch (error) {
    // Temporal Cloud does not let a namespace's users ask.
    const refused = [grpc.permissionDenied, grpc.unimplemented, grpc.unauthenticated, grpc.invalidArgument];
    if (refused.includes(grpcCodeOf(error) ?? -1)) return false;
    throw error;
  }
}

async function workersPolling(
  connection: Connection,
  namespace: string,
  taskQueue: string,
): Promise<boolean | undefined> {
  try {
    const { pollers } = await connection.workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name: taskQueue },
      taskQueueType: 1, // workflow tasks
    });
    // A worker polls for a minute at most before it asks again.
    const since = Date.now() - 75_000;
    return pollers.some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000 > since);
  } catch (error) {
    if (grpcCodeOf(error) === grpc.unavailable || isGrpcDeadlineError(error)) throw error;
    return undefined;
  }
}

/** Failures of the connection become refusals in words; anything else passes. */
function inWords(error: unknown, address: string, namespace: string): unknown {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || isGrpcDeadlineError(error)) {
    return new TemporalSilent(`Cannot get an answer from Temporal at ${address}: it took too long`, {
      cause: error,
    });
  }
  const text = grpcDetailsOf(error);
  switch (grpcCodeOf(error)) {
    case grpc.unavailable:
      return new TemporalUnreachable(unreachableMessage(address, text), { cause: error });
    case grpc.permissionDenied:
    case grpc.unauthenticated:
      return new Refusal(
        `Cannot use namespace "${namespace}" at ${address}: ${text}, needs a key that may\n  name one: --api-key-file FILE, or TEMPORAL_API_KEY`,
        { cause: error },
      );
    case grpc.notFound:
      return /namespace/i.test(text) ? noNamespace(address, namespace, error) : error;
    default:
      return error instanceof NamespaceNotFoundError ? noNamespace(address, namespace, error) : error;
  }
}

const noNamespace = (address: string, namespace: string, cause: unknown): Refusal =>
  new Refusal(
    `Cannot use namespace "${namespace}" at ${address}: there is none of that name, needs one (--namespace NAME)\n  which there are: temporal operator namespace list`,
    { cause },
  );

async function unreachable(address: string, encrypted: boolean, error: unknown): Promise<Refusal> {
  const refused = inWords(error, address, '');
  if (refused instanceof Refusal && !(refused instanceof TemporalUnreachable)) return refused;
  return new TemporalUnreachable(unreachableMessage(address, await whySilent(address, encrypted)), {
    cause: error,
  });
}

const unreachableMessage = (address: string, why: string): string =>
  `Cannot reach Temporal at ${address}: ${why}, needs a running server\n  start one: docker compose up -d, or verdigris sandbox up; another address: --address HOST:PORT`;

/** gRPC only says that it took too long; a plain connection says why. */
function whySilent(address: string, encrypted = false): Promise<string> {
  const [, host = 'localhost', port = '7233'] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(address) ?? [];
  return new Promise((resolve) => {
    const socket = connectSocket({ host, port: Number(port), timeout: 2_000 });
    const answer = (why: string) => {
      socket.destroy();
      resolve(why);
    };
    const mismatch = encrypted ? 'it speaks no TLS, or not for us' : 'it expects TLS (--tls)';
    socket.once('connect', () => answer(`something else answers there, or ${mismatch}`));
    socket.once('timeout', () => answer('nothing answers'));
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      answer(socketErrors[code ?? ''] ?? `it fails with ${code ?? 'an error'}`),
    );
  });
}

const socketErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'it refuses connections',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host name cannot be resolved',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
};

/** The gRPC status of an error or of what caused it. */
export function grpcCodeOf(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  return error instanceof Error && error.cause !== undefined ? grpcCodeOf(error.cause) : undefined;
}

function grpcDetailsOf(error: unknown): string {
  if (isGrpcServiceError(error)) return error.details || error.message;
  return error instanceof Error && error.cause !== undefined ? grpcDetailsOf(error.cause) : messageOf(error);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const isText = (value: string | undefined): value is string => value !== undefined;
