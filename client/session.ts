import type { Service } from '../domain/service.js';
import { workflowIdOf, type DeploymentId } from '../domain/names.js';
import { defaultConfigurationFile, defaultDestination, readService } from './configuration/configuration.js';
import { createOutput, type Output } from './output.js';
import type { Pointers } from './report.js';
import { connectTemporal, type Temporal, type TemporalOptions } from './temporal.js';

/** What every command about one service is given. */
export interface ServiceOptions extends TemporalOptions {
  readonly config: string;
  readonly destination: string;
  readonly json?: boolean;
}

/** One command at work: which service, over which Temporal, and where its words go. */
export interface Session {
  readonly service: Service;
  readonly temporal: Temporal;
  readonly output: Output;
  /** A command with the options that reach this service from here. */
  readonly command: (words: string) => string;
  readonly pointers: (id?: DeploymentId) => Pointers;
}

/** Reads the configuration, connects, works, and leaves nothing open. The result is the exit code. */
export async function inSession(
  options: ServiceOptions,
  work: (session: Session) => Promise<number>,
): Promise<number> {
  const service = readService(options.config, options.destination);
  const temporal = await connectTemporal(options);
  const where = whereabouts(options);
  const command = commandWith(where);
  try {
    return await work({
      service,
      temporal,
      output: createOutput(options.json === true),
      command,
      pointers: (id) => {
        const link = temporal.linkTo(workflowIdOf(service.id), id);
        return { service: service.id, command, whereabouts: where, ...(link === undefined ? {} : { link }) };
      },
    });
  } finally {
    await temporal.close();
  }
}

/** A command with these options behind its words. */
export const commandWith = (where: string) => (words: string) =>
  [`verdigris ${words}`, where].filter(Boolean).join(' ');

/** The options that were given and that the next command needs too. */
export const whereabouts = (options: ServiceOptions): string =>
  [
    ...(options.config === defaultConfigurationFile ? [] : [`--config ${options.config}`]),
    ...(options.destination === defaultDestination ? [] : [`--destination ${options.destination}`]),
    ...(options.address === undefined ? [] : [`--address ${options.address}`]),
    ...(options.namespace === undefined ? [] : [`--namespace ${options.namespace}`]),
    ...(options.tls === true ? ['--tls'] : []),
    ...(options.apiKeyFile === undefined ? [] : [`--api-key-file ${options.apiKeyFile}`]),
    ...(options.profile === undefined ? [] : [`--profile ${options.profile}`]),
    ...(options.taskQueue === undefined ? [] : [`--task-queue ${options.taskQueue}`]),
  ].join(' ');
