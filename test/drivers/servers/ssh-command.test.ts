import { once } from 'node:events';
import type { ClientChannel, ServerChannel } from 'ssh2';
import { expect, test } from 'vitest';
import { endless } from '../../../drivers/patience.js';
import { SessionChannels } from '../../../drivers/servers/ssh-channels.js';
import { execute, LinkLost } from '../../../drivers/servers/ssh-command.js';
import { clientOf, inOnePiece, machine, onCommand } from './ssh-machine.js';

/** Runs a command on a machine that answers as told. */
async function run(answer: (channel: ServerChannel) => void, onLine: (line: string) => void) {
  const client = await clientOf(await inOnePiece(await machine((link) => onCommand(link, answer))));
  const { signal } = endless;
  return execute(client, new SessionChannels(client), 'a command', { signal, deadlineMs: 10_000, onLine });
}

test('how a command ended is known even if all of it came in one piece', async () => {
  const lines: string[] = [];
  const exit = await run(
    (channel) => {
      channel.stderr.write('a remark');
      channel.write('first\nlast');
      channel.exit(3);
      channel.end();
    },
    (line) => lines.push(line),
  );
  expect(exit).toEqual({ code: 3, signal: undefined, stderr: 'a remark' });
  expect(lines).toEqual(['first', 'last']);
});

test('a command that was killed tells by what', async () => {
  const killed = await run(
    (channel) => {
      channel.exit('KILL', false, '');
      channel.end();
    },
    () => undefined,
  );
  expect(killed).toEqual({ code: undefined, signal: 'SIGKILL', stderr: '' });
});

test('a command whose channel ends without a word of how it ended is lost', async () => {
  const lost = run(
    (channel) => channel.end('half a li'),
    () => undefined,
  );
  await expect(lost).rejects.toThrow(LinkLost);
});

test('what a command says after it was given up belongs to nobody any more', async () => {
  const gone = new AbortController();
  let running: ServerChannel | undefined;
  const port = await machine((link) =>
    onCommand(link, (channel) => {
      running = channel.resume();
      channel.write('begun\n');
    }),
  );
  const client = await clientOf(port);
  const channels = new SessionChannels(client);
  const lines: string[] = [];
  const given = execute(client, channels, 'a command', {
    signal: gone.signal,
    deadlineMs: 10_000,
    onLine: (line) => {
      lines.push(line);
      gone.abort(new Error('enough'));
      // The machine has not heard of that yet.
      running?.write('and goes on\n');
    },
  });
  await expect(given).rejects.toThrow('enough');
  // Whose answer comes after all that was said before.
  await channels.open('another', endless.signal, false);
  expect(lines).toEqual(['begun']);
});

test('a channel that came too late for whoever asked is given back', async () => {
  const client = await clientOf(await machine((link) => onCommand(link, (channel) => void channel.resume())));
  const channels = new SessionChannels(client);
  const gone = new AbortController();
  let channel: ClientChannel | undefined;
  const thenGone = {
    async open(...words: Parameters<SessionChannels['open']>) {
      channel = await channels.open(...words);
      gone.abort(new Error('enough'));
      return channel;
    },
  } as SessionChannels;
  const given = execute(client, thenGone, 'a command', {
    signal: gone.signal,
    deadlineMs: 10_000,
    onLine: () => undefined,
  });
  await expect(given).rejects.toThrow('enough');
  await once(channel!, 'close');
});

test('who waits until others have been given their channel may give up meanwhile', async () => {
  // A machine that never says whether it begins a command.
  const client = await clientOf(
    await machine((link) => link.on('session', (accept) => void accept().on('exec', () => undefined))),
  );
  const channels = new SessionChannels(client);
  const first = channels.open('a command', endless.signal, false);
  const gone = new AbortController();
  const second = channels.open('another', gone.signal, false);
  gone.abort(new Error('enough'));
  await expect(second).rejects.toThrow('enough');
  client.destroy();
  await expect(first).rejects.toThrow(LinkLost);
});
