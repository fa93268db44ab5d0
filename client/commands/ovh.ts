import type { Command } from 'commander';
import type { Call } from '../command-table.js';
import { defineDiscover, discover } from './ovh/discover.js';
import { defineLogin, login } from './ovh/login.js';
import { defineProvision, provision } from './ovh/provision.js';
import { defineRules, rules } from './ovh/rules.js';
import { defineWhoami, whoami } from './ovh/whoami.js';

export function define(command: Command): void {
  command.description(
    'Credentials and objects at OVHcloud. Talks to its API from here, with the keys of a worker or from the environment, and needs no Temporal.',
  );
  defineLogin(command.command('login'));
  defineWhoami(command.command('whoami'));
  defineRules(command.command('rules'));
  defineDiscover(command.command('discover'));
  defineProvision(command.command('provision'));
}

export async function run(options: never, { name }: Call): Promise<number> {
  switch (name) {
    case 'login':
      return login(options);
    case 'whoami':
      return whoami(options);
    case 'rules':
      return rules(options);
    case 'discover':
      return discover(options);
    case 'provision':
      return provision(options);
    default:
      throw new TypeError(`Cannot run "ovh ${name}": there is no such command, needs one that is defined`);
  }
}
