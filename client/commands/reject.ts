import type { Command } from 'commander';
import { define as defineMessage, run as runMessage, type MessageOptions } from './message.js';

export const define = (command: Command): void =>
  defineMessage(command, {
    description: 'Says no to what waits for an approval: everything is put back.',
    example: 'verdigris reject --reason "the migration is not ready"',
    next: 'What was installed is taken back and the idle environment gets its previous release again. The live environment is not touched. A deployment that is past its approval is stopped with verdigris rollback.',
  });

export const run = (options: MessageOptions): Promise<number> => runMessage('reject', options);
