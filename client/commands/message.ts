import type { Command } from 'commander';
import type { Message } from '../../domain/deployment.js';
import { verbOf, type MessageName } from '../../domain/phase.js';
import { openRun, send } from '../sending.js';
import { inSession, type ServiceOptions, type Session } from '../session.js';
import { waitFor } from '../waiting.js';
import {
  byOption,
  deploymentOption,
  durationArgument,
  jsonOption,
  reasonOption,
  requireFollowed,
  teach,
  whoAsks,
  withService,
} from './options.js';

/** What the commands that send one message to the open run have in common. */

export interface MessageOptions extends ServiceOptions {
  readonly deployment?: string;
  readonly by?: string;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly timeout?: number;
}

export interface Teaching {
  readonly description: string;
  readonly example: string;
  readonly next: string;
}

export function define(command: Command, { description, example, next }: Teaching): void {
  command
    .description(description)
    .addOption(deploymentOption())
    .addOption(byOption())
    .addOption(reasonOption())
    .option('-w, --wait', 'follow it to its end')
    .option('--timeout <duration>', 'stop following after this long (exit 21)', durationArgument)
    .addOption(jsonOption());
  teach(withService(command), example, next);
}

/** Sends the message; `mayGoOn` may ask first. */
export async function run(
  name: MessageName,
  options: MessageOptions,
  extra: Message = {},
  mayGoOn: (session: Session) => Promise<boolean> = () => Promise.resolve(true),
): Promise<number> {
  requireFollowed(options.timeout, options.wait === true, '--wait');
  return inSession(options, async (session) => {
    const { output } = session;
    const open = await openRun(session, verbOf(name), options.deployment);
    if (!(await mayGoOn(session))) {
      output.say('Nothing was sent.');
      return 0;
    }
    const answer = await send(session, open, name, { ...messageOf(options), ...extra });
    output.say(answer.next.charAt(0).toUpperCase() + answer.next.slice(1));
    if (options.wait === true) {
      output.documentLine({ event: 'sent', message: name, ...answer });
      return waitFor(session, open.id, options.timeout === undefined ? {} : { timeoutMs: options.timeout });
    }
    output.document({ message: name, ...answer });
    return 0;
  });
}

export const messageOf = ({ by, reason }: Pick<MessageOptions, 'by' | 'reason'>): Message => ({
  by: whoAsks(by),
  ...(reason === undefined ? {} : { reason }),
});
