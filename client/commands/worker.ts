import type { Command } from 'commander';
import type { WorkerOptions } from '../../worker/main.js';
import { teach, withTemporal } from './options.js';

export function define(command: Command): void {
  command
    .description('Runs a worker: takes up deployments and carries out their steps until it is stopped.')
    .option(
      '-c, --config <file>',
      'names of secrets and what they resolve to, caches, limits',
      'worker.yaml',
    );
  teach(
    withTemporal(command),
    'verdigris worker --config /etc/verdigris/worker.yaml',
    'It asks Temporal for work. Any number may run; each must reach the servers by SSH and the API of the load balancer. SIGTERM: it ends its steps or hands them over, then exits 0.',
  );
}

export async function run(options: WorkerOptions): Promise<number> {
  const { runWorker } = await import('../../worker/main.js');
  await runWorker(options);
  return 0;
}
