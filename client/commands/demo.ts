import type { Command } from 'commander';
import type { DemoOptions } from '../../sandbox/demo.js';
import { teach } from './options.js';

export function define(command: Command): void {
  command
    .description(
      'Shows the whole pipeline on this machine under load: a C program is built, deployed, approved, switched and taken back.',
    )
    .option('--keep', 'leave the sandbox running afterwards, until Ctrl-C');
  teach(
    command,
    'verdigris demo',
    'It gets Temporal, starts the sandbox, builds the example with CMake and deploys it while requests run; it ends with the tally of the requests and links to the Temporal UI.',
  );
}

export async function run(options: DemoOptions): Promise<number> {
  const { demo } = await import('../../sandbox/demo.js');
  return demo(options);
}
