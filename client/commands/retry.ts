import type { Command } from 'commander';
import { define as defineMessage, run as runMessage, type MessageOptions } from './message.js';

export function define(command: Command): void {
  command.option('--force', 'cut the connections that linger on what has to be stopped, from now on');
  defineMessage(command, {
    description: 'Tries again what waits for a person.',
    example: 'verdigris retry --reason "green-2 has a disk again" --wait',
    next: 'The step that could not succeed is taken again, at once. If it fails again, a person is asked again.',
  });
}

export const run = (options: MessageOptions & { readonly force?: boolean }): Promise<number> =>
  runMessage('retry', options, options.force === true ? { force: true } : {});
