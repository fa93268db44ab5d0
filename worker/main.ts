import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection, Runtime, Worker, type NativeConnectionOptions } from '@temporalio/worker';
import { pino } from 'pino';
import { createActivities } from '../activities/index.js';
import { defaultTaskQueue } from '../workflows/messages.js';
import { bundlePath, workflowsPath } from './bundle.js';
import { readWorkerConfiguration } from './configuration.js';
import { WorkerDrivers } from './drivers.js';
import { temporalLogger } from './log.js';
import { createSecrets } from './secrets.js';

export interface WorkerOptions {
  /** Path of `worker.yaml`. */
  readonly config: string;
  readonly taskQueue?: string;
  /** What flags say; the environment and Temporal's own profile file say the rest. */
  readonly temporal?: {
    readonly address?: string;
    readonly namespace?: string;
    readonly tls?: boolean;
    readonly apiKey?: string;
  };
}

/** Long enough for a step to reach a safe point; a container's stop timeout has to be above `force`. */
const shutdown = { grace: '30s', force: '60s' } as const;

/** Runs a worker until it is told to stop (SIGTERM, SIGINT), then ends politely: steps in flight reach a safe point. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const configuration = readWorkerConfiguration(options.config);
  const log = pino({ name: 'verdigris-worker' }, pino.destination(2));
  Runtime.install({ logger: temporalLogger(log), shutdownSignals: ['SIGTERM', 'SIGINT'] });
  const drivers = new WorkerDrivers(configuration, createSecrets(configuration.secrets, options.config), log);
  const { connection, namespace } = await connect(options);
  try {
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue: options.taskQueue ?? defaultTaskQueue,
      identity: `verdigris-worker@${hostname()} (${process.pid})`,
      activities: createActivities(drivers),
      // A checkout that was not built bundles for itself.
      ...(existsSync(bundlePath) ? { workflowBundle: { codePath: bundlePath } } : { workflowsPath }),
      shutdownGraceTime: shutdown.grace,
      shutdownForceTime: shutdown.force,
      // A worker that dies shall cost seconds: the next one goes on after these.
      stickyQueueScheduleToStartTimeout: '2s',
      maxHeartbeatThrottleInterval: '500ms',
      defaultHeartbeatThrottleInterval: '500ms',
      maxConcurrentActivityTaskExecutions: configuration.slots.activities,
    });
    log.info({ taskQueue: worker.options.taskQueue, namespace }, 'worker is ready');
    await worker.run();
    log.info('worker has stopped');
  } finally {
    drivers.close();
    await connection.close();
  }
}

async function connect({
  temporal = {},
}: WorkerOptions): Promise<{ connection: NativeConnection; namespace: string }> {
  const profile = loadClientConnectConfig();
  const connectionOptions: NativeConnectionOptions = {
    ...profile.connectionOptions,
    ...(temporal.address === undefined ? {} : { address: temporal.address }),
    ...(temporal.apiKey === undefined ? {} : { apiKey: temporal.apiKey }),
    ...(temporal.tls === undefined ? {} : { tls: temporal.tls }),
  } as NativeConnectionOptions;
  const address = connectionOptions.address ?? 'localhost:7233';
  try {
    return {
      connection: await NativeConnection.connect(connectionOptions),
      namespace: temporal.namespace ?? profile.namespace ?? 'default',
    };
  } catch (cause) {
    throw new Error(
      `Cannot reach Temporal at ${address}: ${(cause as Error).message}\n  start one: docker compose up -d; or name another: TEMPORAL_ADDRESS=host:port`,
      { cause },
    );
  }
}
