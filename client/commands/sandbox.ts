import type { Command } from 'commander';
import { teach } from './options.js';

/** What `sandbox up` is told. */
export interface SandboxOptions {
  /** Where it keeps its state; a temporary place when left out. */
  readonly directory?: string;
}

interface SandboxModule {
  /** Resolves once it was stopped. */
  readonly sandboxUp: (options: SandboxOptions) => Promise<void>;
}

export function define(command: Command): void {
  const up = command
    .description(
      'A small OVHcloud on this machine: API, load balancer, servers, Temporal and a worker. No account, no root.',
    )
    .command('up')
    .description('Starts it and keeps it running until Ctrl-C.')
    .option('--directory <path>', 'where it keeps its state (default: a temporary place)');
  teach(
    up,
    'verdigris sandbox up',
    'It prints where everything is and a configuration to deploy with: try verdigris deploy, approve, rollback, and break things.',
  );
}

export async function run(options: SandboxOptions): Promise<number> {
  const { sandboxUp } = (await import(new URL('../../sandbox/up.js', import.meta.url).href)) as SandboxModule;
  await sandboxUp(options);
  return 0;
}
