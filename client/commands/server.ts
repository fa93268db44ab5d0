import type { Command } from 'commander';
import type { Call } from '../command-table.js';
import { defineSetup, setUp, type SetupOptions } from './server/setup.js';

export function define(command: Command): void {
  command.description('What an administrator does on servers, over SSH with a login of their own.');
  defineSetup(command.command('setup'));
}

export const run = (options: SetupOptions, { words }: Call): Promise<number> => setUp(options, words);
