import { InvalidArgumentError, Option, type Command } from 'commander';
import type { SandboxUpOptions } from '../../sandbox/up.js';
import { teach } from './options.js';

export function define(command: Command): void {
  const up = command
    .description(
      'A small OVHcloud on this machine: API, load balancer, servers, Temporal and a worker. No account, no root.',
    )
    .command('up')
    .description('Starts it and keeps it running until Ctrl-C.')
    .option('--directory <path>', 'where it keeps its state (default: a temporary place)')
    .addOption(
      new Option('--product <driver>', 'which load balancer carries the traffic')
        .choices(['ovh-iplb', 'ovh-public-cloud'])
        .default('ovh-iplb'),
    )
    .addOption(
      new Option('--instances <number>', 'how many processes the load balancer has, which change one by one')
        .argParser(instancesArgument)
        .default(1, 'one'),
    );
  teach(
    up,
    'verdigris sandbox up',
    'It prints where everything is and a configuration to deploy with: try verdigris deploy, approve, rollback, and break things.',
  );
}

function instancesArgument(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 16)
    throw new InvalidArgumentError('Needs a whole number, 1 to 16.');
  return count;
}

export async function run(options: SandboxUpOptions): Promise<number> {
  const { sandboxUp } = await import('../../sandbox/up.js');
  await sandboxUp(options);
  return 0;
}
