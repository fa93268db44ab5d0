import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { Client, Server, utils, type ServerChannel } from 'ssh2';
import { afterEach, expect, test } from 'vitest';
import { SessionChannels } from '../../../drivers/servers/ssh-channels.js';
import { execute, LinkLost } from '../../../drivers/servers/ssh-command.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listening(server: TcpServer | Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Hands on what a machine says only after it paused: as it is read by somebody who was busy meanwhile. */
async function inOnePiece(port: number): Promise<number> {
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far);
    void gather(far, near);
    for (const socket of [near, far]) socket.on('error', () => [near, far].forEach((each) => each.destroy()));
  });
  closing.push(() => proxy.close());
  return listening(proxy);
}

async function gather(from: Socket, to: Socket): Promise<void> {
  const held: Buffer[] = [];
  from.on('data', (chunk: Buffer) => held.push(chunk));
  while (!from.destroyed) {
    const before = held.length;
    await wait(30);
    if (held.length === before && before > 0) to.write(Buffer.concat(held.splice(0)));
  }
}

/** Runs a command on a machine that answers as told. */
async function run(answer: (channel: ServerChannel) => void, onLine: (line: string) => void) {
  const { private: hostKey } = utils.generateKeyPairSync('ed25519');
  const machine = new Server({ hostKeys: [hostKey] }, (link) => {
    link.on('authentication', (attempt) => attempt.accept());
    link.on('session', (accept) => accept().on('exec', (acceptCommand) => answer(acceptCommand())));
    link.on('error', () => undefined);
  });
  closing.push(() => machine.close());
  const client = new Client();
  closing.push(() => client.end());
  client.connect({ host: '127.0.0.1', port: await inOnePiece(await listening(machine)), username: 'deploy' });
  await once(client, 'ready');
  const { signal } = new AbortController();
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
