import type { Command } from 'commander';
import type { Call } from '../command-table.js';
import { defineDoctor, examine, type DoctorOptions } from './server/doctor.js';
import { defineSetup, setUp, type SetupOptions } from './server/setup.js';

export function define(command: Command): void {
  command.description('Servers: setting them up as an administrator, and examining them.');
  defineSetup(command.command('setup'));
  defineDoctor(command.command('doctor'));
}

export const run = (options: SetupOptions & DoctorOptions, { name, words }: Call): Promise<number> =>
  name === 'doctor' ? examine(options) : setUp(options, words);
