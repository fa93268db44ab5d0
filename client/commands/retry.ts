import type { Command } from 'commander';
import { define as defineMessage, run as runMessage, type MessageOptions } from './message.js';

export const define = (command: Command): void =>
  defineMessage(command, {
    description: 'Tries again what waits for a person.',
    example: 'verdigris retry --reason "green-2 has a disk again" --wait',
    next: 'The step that could not succeed is taken again, at once. If it fails again, a person is asked again.',
  });

export const run = (options: MessageOptions): Promise<number> => runMessage('retry', options);
