import type { Command } from 'commander';
import { define as defineMessage, run as runMessage, type MessageOptions } from './message.js';

export const define = (command: Command): void =>
  defineMessage(command, {
    description: 'Ends the bake early.',
    example: 'verdigris advance --reason "the fix is urgent" --wait',
    next: 'The bake ends now and the new release is promoted if nothing that was seen speaks against it.',
  });

export const run = (options: MessageOptions): Promise<number> => runMessage('advance', options);
