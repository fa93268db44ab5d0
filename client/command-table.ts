import type { Command } from 'commander';

/** Which of a command's subcommands was called, and with which words beside its options. */
export interface Call {
  readonly name: string;
  readonly words: readonly string[];
}

/** A command's file: its options and help, and what it does. */
export interface CommandModule {
  readonly define: (command: Command) => void;
  readonly run: (options: never, call: Call) => Promise<number>;
}

export interface CommandEntry {
  readonly name: string;
  readonly group: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

/** In the order of use. Only the command that was asked for is loaded, so that help comes at once. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'check',
    group: 'Before:',
    summary: 'check the configuration and everything it names',
    load: () => import('./commands/check.js'),
  },
  {
    name: 'plan',
    group: 'Before:',
    summary: 'show what a deployment would do',
    load: () => import('./commands/plan.js'),
  },
  {
    name: 'ovh',
    group: 'Before:',
    summary: 'credentials and objects at OVHcloud',
    load: () => import('./commands/ovh.js'),
  },
  {
    name: 'server',
    group: 'Before:',
    summary: 'set servers up, once and after an upgrade',
    load: () => import('./commands/server.js'),
  },
  {
    name: 'adopt',
    group: 'Before:',
    summary: 'take over what runs already on the idle environment',
    load: () => import('./commands/adopt.js'),
  },
  {
    name: 'deploy',
    group: 'Deploy:',
    summary: 'deploy an artifact',
    load: () => import('./commands/deploy.js'),
  },
  {
    name: 'status',
    group: 'Deploy:',
    summary: 'tell where a deployment is and what happens next',
    load: () => import('./commands/status.js'),
  },
  {
    name: 'approve',
    group: 'Deploy:',
    summary: 'give the new release the traffic',
    load: () => import('./commands/approve.js'),
  },
  {
    name: 'reject',
    group: 'Deploy:',
    summary: 'say no: everything is put back',
    load: () => import('./commands/reject.js'),
  },
  {
    name: 'advance',
    group: 'Deploy:',
    summary: 'end the bake early',
    load: () => import('./commands/advance.js'),
  },
  {
    name: 'extend',
    group: 'Deploy:',
    summary: 'make the bake longer',
    load: () => import('./commands/extend.js'),
  },
  {
    name: 'rollback',
    group: 'When something is wrong:',
    summary: 'go back, in every situation',
    load: () => import('./commands/rollback.js'),
  },
  {
    name: 'converge',
    group: 'When something is wrong:',
    summary: 'bring back the live servers that were left behind',
    load: () => import('./commands/converge.js'),
  },
  {
    name: 'retry',
    group: 'When something is wrong:',
    summary: 'try again what waits for a person',
    load: () => import('./commands/retry.js'),
  },
  {
    name: 'take-over',
    group: 'When something is wrong:',
    summary: 'take a deployment out of our hands',
    load: () => import('./commands/take-over.js'),
  },
  {
    name: 'repair',
    group: 'When something is wrong:',
    summary: 'settle a state that no deployment may start from',
    load: () => import('./commands/repair.js'),
  },
  {
    name: 'switch',
    group: 'When something is wrong:',
    summary: 'move the traffic by hand, with Temporal down',
    load: () => import('./commands/switch.js'),
  },
  { name: 'worker', group: 'Run:', summary: 'run a worker', load: () => import('./commands/worker.js') },
  {
    name: 'sandbox',
    group: 'Run:',
    summary: 'a small OVHcloud on this machine',
    load: () => import('./commands/sandbox.js'),
  },
  {
    name: 'demo',
    group: 'Run:',
    summary: 'see it all in a minute or two',
    load: () => import('./commands/demo.js'),
  },
];
