import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection, Runtime, Worker, type NativeConnectionOptions } from '@temporalio/worker';
import { pino } from 'pino';
import { Failure } from '../domain/failures.js';
import { createActivities } from '../activities/index.js';
import { defaultTaskQueue } from '../workflows/messages.js';
import { bundlePath, bundleWorkflows } from './bundle.js';
import { createAgents } from './agents.js';
import { readWorkerConfiguration } from './configuration.js';
import { WorkerDrivers } from './drivers.js';
import { temporalLogger } from './log.js';
import { createSecrets } from './secrets.js';

/** What the command line says; what it leaves out comes from the environment and from Temporal's own profile file. */
export interface WorkerOptions {
  /** Path of `worker.yaml`. */
  readonly config: string;
  readonly taskQueue?: string;
  readonly address?: string;
  readonly namespace?: string;
  readonly tls?: boolean;
  readonly apiKeyFile?: string;
  readonly profile?: string;
}

/** Long enough for a step to reach a safe point; a container's stop timeout has to be above `force`. */
const shutdown = { grace: '30s', force: '60s' } as const;

/** Runs a worker until it is told to stop (SIGTERM, SIGINT), then ends politely: steps in flight reach a safe point. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const configuration = readWorkerConfiguration(options.config);
  const log = pino({ name: 'verdigris-worker' }, pino.destination(2));
  Runtime.install({ logger: temporalLogger(log), shutdownSignals: ['SIGTERM', 'SIGINT'] });
  const drivers = new WorkerDrivers(
    configuration,
    createSecrets(configuration.secrets, options.config),
    createAgents(configuration.agents, options.config),
    log,
  );
  const { connection, namespace, address } = await connect(options);
  try {
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue: options.taskQueue ?? process.env['VERDIGRIS_TASK_QUEUE'] ?? defaultTaskQueue,
      identity: `verdigris-worker@${hostname()} (${process.pid})`,
      activities: createActivities(drivers),
      // A checkout that was not built bundles for itself.
      workflowBundle: existsSync(bundlePath)
        ? { codePath: bundlePath }
        : await bundleWorkflows(Runtime.instance().logger),
      shutdownGraceTime: shutdown.grace,
      shutdownForceTime: shutdown.force,
      // A worker that dies shall cost seconds: the next one goes on after these.
      stickyQueueScheduleToStartTimeout: '2s',
      maxHeartbeatThrottleInterval: '500ms',
      defaultHeartbeatThrottleInterval: '500ms',
      maxConcurrentActivityTaskExecutions: configuration.slots.activities,
    }).catch((cause: unknown) => {
      throw unusable(namespace, address, cause);
    });
    log.info({ taskQueue: worker.options.taskQueue, namespace }, 'worker is ready');
    await worker.run();
    log.info('worker has stopped');
  } finally {
    drivers.close();
    await connection.close();
  }
}

interface Connected {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly address: string;
}

async function connect(options: WorkerOptions): Promise<Connected> {
  const { address, namespace, tls, apiKeyFile, profile } = options;
  const known = readAs('the Temporal profile', () =>
    loadClientConnectConfig(profile === undefined ? {} : { profile }),
  );
  const apiKey =
    apiKeyFile === undefined
      ? {}
      : { apiKey: readAs(`the API key "${apiKeyFile}"`, () => readFileSync(apiKeyFile, 'utf8').trim()) };
  const connectionOptions = {
    ...known.connectionOptions,
    ...(address === undefined ? {} : { address }),
    ...apiKey,
    ...(tls === undefined ? {} : { tls }),
  } as NativeConnectionOptions;
  const where = connectionOptions.address ?? 'localhost:7233';
  try {
    return {
      connection: await NativeConnection.connect(connectionOptions),
      namespace: namespace ?? known.namespace ?? 'default',
      address: where,
    };
  } catch (cause) {
    throw new Failure(
      'TemporalUnreachable',
      `Cannot reach Temporal at ${where}: ${whyUnreached((cause as Error).message)}, needs a server that answers\n  start one: docker compose up -d; or name another: TEMPORAL_ADDRESS=host:port`,
      { cause },
    );
  }
}

/** The native client words it for those who wrote it. */
const whyUnreached = (message: string): string =>
  /ConnectionRefused/.test(message)
    ? 'it refuses connections'
    : /dns error/.test(message)
      ? 'there is no such host'
      : /InvalidContentType/.test(message)
        ? 'it speaks no TLS, which --tls and API keys ask for'
        : message;

/** A worker asks for its namespace when it is made. */
function unusable(namespace: string, address: string, cause: unknown): unknown {
  const { message } = cause as Error;
  const why = /code: (NotFound|PermissionDenied|Unauthenticated)/.exec(message)?.[1];
  if (why === undefined) return cause;
  const words =
    why === 'NotFound'
      ? `there is none of that name, needs one (--namespace NAME)\n  which there are: temporal operator namespace list`
      : `it may not be used, needs a key that may\n  name one: --api-key-file FILE, or TEMPORAL_API_KEY`;
  return new Failure('RequestInvalid', `Cannot use namespace "${namespace}" at ${address}: ${words}`, {
    cause,
  });
}

/** What cannot be read is bad input, and no fault of ours. */
function readAs<Value>(what: string, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    throw new Failure('RequestInvalid', `Cannot read ${what}: ${(cause as Error).message}`, { cause });
  }
}
