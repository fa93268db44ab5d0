import type { Command } from 'commander';
import { durationArgument } from './options.js';
import { define as defineMessage, run as runMessage, type MessageOptions } from './message.js';

interface ExtendOptions extends MessageOptions {
  readonly for: number;
}

export function define(command: Command): void {
  command.requiredOption('--for <duration>', 'how much longer', durationArgument);
  defineMessage(command, {
    description: 'Makes the bake longer.',
    example: 'verdigris extend --for 30m --reason "the evening peak is still to come"',
    next: 'The new environment is watched for that much longer, with the way back armed.',
  });
}

export const run = (options: ExtendOptions): Promise<number> =>
  runMessage('extend', options, { byMs: options.for });
