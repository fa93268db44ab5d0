import type { Command } from 'commander';
import { confirm } from '../output.js';
import { Refusal } from '../refusal.js';
import { define as defineMessage, run as runMessage, type MessageOptions } from './message.js';
import type { Session } from '../session.js';

interface TakeOverOptions extends MessageOptions {
  readonly yes?: boolean;
}

export function define(command: Command): void {
  command.option('-y, --yes', 'do not ask; needed where there is no terminal');
  defineMessage(command, {
    description: 'Takes an open deployment out of the hands of Verdigris, when its way back cannot succeed.',
    example: 'verdigris take-over --reason "the load balancer is being moved by hand"',
    next: 'It ends as taken over, with a list of what is left undone. From then on the service is yours: nothing but verdigris repair is accepted, once you have settled it.',
  });
}

export const run = (options: TakeOverOptions): Promise<number> =>
  runMessage('take-over', options, {}, (session) => askFirst(session, options));

async function askFirst({ output, service, command }: Session, { yes }: TakeOverOptions): Promise<boolean> {
  if (yes === true) return true;
  if (output.interactive)
    return confirm(`Take ${service.id} out of the hands of Verdigris? What is left undone stays undone.`);
  throw new Refusal(
    `Cannot take over "${service.id}": nobody can be asked here, needs --yes\n  ${command('take-over --yes')}`,
  );
}
